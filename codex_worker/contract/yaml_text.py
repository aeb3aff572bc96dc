"""YAML as plain data: read tolerantly within bounds, written so that every reader understands it."""

from datetime import UTC, datetime
from typing import Any

import yaml

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


class PlainTimestamp(datetime):
    """A time that is written as an unquoted YAML timestamp instead of a quoted string."""


class _PlainDumper(_Dumper):
    """Block style without tags, aliases or line folding."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_timestamp(dumper: Any, value: datetime) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:timestamp", format_time(value))


_PlainDumper.add_representer(PlainTimestamp, _represent_timestamp)


def load(data: bytes, where: str) -> Any:
    """Parses one YAML document into plain Python values; a value that is not what it seems to be stays text.

    Raises DataError with a sentence that names `where`: unreadable, too large, or with too many aliases.
    """
    if len(data) > MAX_YAML_BYTES:
        raise DataError(f"{where} is larger than {MAX_YAML_BYTES // 1_000_000} MB and is not read.")
    try:
        text = data.decode("utf-8-sig")
        if text.count("*") > MAX_ALIASES:
            _refuse_alias_bombs(text, where)
        return plain_value(yaml.compose(text, Loader=_Loader))
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text (byte {error.start}).") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{where} is not readable YAML: {_first_line(error)}.") from error


def dump(value: dict[str, Any]) -> bytes:
    """Writes a mapping as plain YAML: keys in the order given, no tags, UTF-8."""
    text = yaml.dump(value, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=4096)
    return text.encode("utf-8", errors="replace")


def format_time(moment: datetime) -> str:
    """UTC in ISO 8601 with milliseconds and `Z`."""
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def read_time(value: Any) -> datetime | None:
    """A time out of what YAML made of it (a datetime, a date, a string); None where it can't be read."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter near the years 1 and 9999
        return None


def _refuse_alias_bombs(text: str, where: str) -> None:
    aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_Loader))
    if aliases > MAX_ALIASES:
        raise DataError(f"{where} uses more than {MAX_ALIASES} YAML aliases and is not read.")


def _first_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{problem} (line {mark.line + 1})" if mark else str(problem)
