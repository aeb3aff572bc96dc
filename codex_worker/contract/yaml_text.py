"""YAML as plain data: read tolerantly within bounds, written so that every reader understands it."""

import re
from datetime import UTC, date, datetime
from typing import Any

import yaml

from codex_worker.contract.plain_text import REPLACEMENT, plain_text
from codex_worker.contract.yaml_nodes import plain_value
from codex_worker.errors import DataError

try:
    from yaml import CSafeDumper as _Dumper
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML that was built without libyaml
    from yaml import SafeDumper as _Dumper  # type: ignore[assignment]
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_YAML_BYTES = 5_000_000
# Aliases are legal, but a few nested ones can stand for billions of nodes.
MAX_ALIASES = 100
# 5 MB can hold millions of values, each of which is some hundred bytes here. 20,000 long entries fit in.
MAX_NODES = 400_000
FIRST_YEAR = 1970  # no job is older, and no clock tells an earlier time
LONGEST_TIME = 60  # characters

# What libyaml refuses the whole document for: a half character, and a number above all characters.
_HALVES = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|\\U[0-9a-fA-F]{8}")

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class PlainTimestamp(datetime):
    """A time that is written as an unquoted YAML timestamp instead of a quoted string."""


class _PlainDumper(_Dumper):
    """Block style without tags, aliases or line folding."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: Any, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", plain_text(value))


def _represent_timestamp(dumper: Any, value: datetime) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:timestamp", format_time(value))


_PlainDumper.add_representer(str, _represent_text)
_PlainDumper.add_representer(PlainTimestamp, _represent_timestamp)


def load(data: bytes, where: str) -> Any:
    """Parses one YAML document into plain Python values; a value that is not what it seems to be stays text.

    Raises DataError with a sentence that names `where`: unreadable, too large, or with too many values or
    aliases.
    """
    if len(data) > MAX_YAML_BYTES:
        raise DataError(f"{where} is larger than {MAX_YAML_BYTES // 1_000_000} MB and is not read.")
    try:
        text = _CONTROLS.sub(REPLACEMENT, _with_whole_characters(data.decode("utf-8-sig", "surrogatepass")))
        return _plain(text, where)
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text (byte {error.start}).") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{where} is not readable YAML: {_first_line(error)}.") from error


def dump(value: dict[str, Any]) -> bytes:
    """Writes a mapping as plain YAML: keys in the order given, no tags, UTF-8."""
    text = yaml.dump(value, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=4096)
    return text.encode()


def format_time(moment: datetime) -> str:
    """UTC in ISO 8601 with milliseconds and `Z`."""
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def read_time(value: Any) -> datetime | None:
    """A time out of what YAML made of it (a datetime, a date, a string), in UTC.

    None where it can't be read, or lies outside the years 1970 to 9999. A time without a zone is in UTC.
    """
    try:
        moment = _moment(value)
        return None if moment is None else _sane(moment.replace(tzinfo=moment.tzinfo or UTC))
    except (ValueError, OverflowError):  # the latter near the years 1 and 9999
        return None


def read_zoned_time(value: Any) -> datetime | None:
    """A time that says its zone, in UTC; None for any other."""
    try:
        moment = _moment(value)
        return None if moment is None or moment.tzinfo is None else _sane(moment)
    except (ValueError, OverflowError):
        return None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str | int | date) or len(text := str(value).strip()) > LONGEST_TIME:
        return None
    return datetime.fromisoformat(text)


def _sane(moment: datetime) -> datetime | None:
    utc = moment.astimezone(UTC)
    return utc if utc.year >= FIRST_YEAR else None


def _plain(text: str, where: str) -> Any:
    try:
        _refuse_bombs(text, where)
        return plain_value(yaml.compose(text, Loader=_Loader))
    except yaml.YAMLError:
        mended = _HALVES.sub(_without_halves, text)
        if mended == text:
            raise
        _refuse_bombs(mended, where)
        return plain_value(yaml.compose(mended, Loader=_Loader))


def _without_halves(escape: re.Match[str]) -> str:
    """An escape as YAML knows it: a pair of halves is one character, half a one is a mark for it."""
    digits = escape[0]
    if digits.startswith("\\U"):
        return digits if int(digits[2:], 16) < 0x110000 else REPLACEMENT
    return _with_whole_characters("".join(chr(int(half, 16)) for half in digits.split("\\u")[1:]))


def _with_whole_characters(text: str) -> str:
    """Halves that belong together, as JSON spells them, become their character; half a one is lost."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _refuse_bombs(text: str, where: str) -> None:
    """Counts before anything is made of the values: each event is forgotten at once."""
    if text.count("*") <= MAX_ALIASES and len(text) <= MAX_NODES:
        return
    nodes = aliases = 0
    for event in yaml.parse(text, Loader=_Loader):
        nodes += isinstance(event, yaml.NodeEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if aliases > MAX_ALIASES:
            raise DataError(f"{where} uses more than {MAX_ALIASES} YAML aliases and is not read.")
        if nodes > MAX_NODES:
            raise DataError(f"{where} holds more than {MAX_NODES:,} values and is not read.")


def _first_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{problem} (line {mark.line + 1})" if mark else str(problem)
