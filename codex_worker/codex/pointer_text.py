"""What the text of an LFS pointer says, also where git, an editor or a shell has spoilt it.

A byte-order mark, UTF-16, blank lines, other line ends and spaces at the ends of lines change nothing of
what a pointer means, and what it names is checked when it comes: such a pointer is read. A merge conflict is
settled only where both sides name the same object.

Format: the Git LFS pointer specification, https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
"""

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass

VERSION = "https://git-lfs.github.com/spec/v1"
# Written by git-lfs before its first release; still read by every client.
_OLD_VERSIONS = {"https://hawser.github.com/spec/v1", "http://git-media.io/v/2"}
MAX_POINTER_BYTES = 1024
MAX_OBJECT_BYTES = 2**63 - 1

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LINE_END = re.compile(r"\r\n|\n|\r")
_FIELD = re.compile(r"([a-z0-9.-]+) +(\S.*)")
_OID = re.compile(r"sha256:([0-9a-f]{64})")
_SIZE = re.compile(r"[0-9]{1,19}")
_MARKER = re.compile(r"(<{7,}|\|{7,}|={7,}|>{7,})(?: .*)?")
_OF_A_POINTER = re.compile(
    r"^[^\w\n]*version https?://(git-lfs|hawser)\.github\.com/|^oid sha256:|git-lfs\.github\.com/spec/v",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Named:
    """An object by the SHA-256 of its bytes (64 hex digits) and its size in bytes."""

    oid: str
    size: int


def text_of(head: bytes) -> str | None:
    """The first bytes of a file as text, None where they are none; half a letter at their end is left out."""
    mark, encoding = next((pair for pair in _BYTE_ORDER_MARKS if head.startswith(pair[0])), (b"", "utf-8"))
    if not mark:
        wide = ("utf-16-le", "utf-16-be")
        encoding = next((name for name in wide if head.startswith("version".encode(name))), encoding)
    try:
        return codecs.getincrementaldecoder(encoding)().decode(head[len(mark) :])
    except UnicodeDecodeError:
        return None


def named_by(content: bytes) -> Named | None:
    """The one object that a file's content names as a pointer; None where it is none, or spoilt."""
    lines = _lines(content)
    sides = _sides(lines) if lines and len(content) < MAX_POINTER_BYTES else None
    if sides is None:
        return None
    ours, theirs = (_object(side) for side in sides)
    return ours if ours == theirs else None


def trouble_of(content: bytes) -> str | None:
    """What is wrong with a pointer that cannot be read: the end of a sentence "it is ...".

    None where it is no pointer, or whole.
    """
    lines = _lines(content)
    if not _OF_A_POINTER.search("\n".join(lines)) or named_by(content) is not None:
        return None
    if any(_MARKER.fullmatch(line) for line in lines):
        return f"an LFS pointer with a merge conflict that nobody has settled{_choice(lines)}"
    named = _oids(lines)
    what = "it names two objects" if len(named) > 1 else "it names no object in full"
    return f"a damaged LFS pointer ({what})"


def _lines(content: bytes) -> list[str]:
    """The lines that say something."""
    text = (text_of(content[: 4 * MAX_POINTER_BYTES]) or "").replace("\ufeff", "")  # each side may have one
    return [line for line in map(str.strip, _LINE_END.split(text)) if line]


def _sides(lines: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """What both sides of a merge say; the same twice without a conflict, None where its marks are odd."""
    ours: list[str] = []
    theirs: list[str] = []
    follows = {"": "<", "<": "|=", "|": "=", "=": ">"}
    within = ""
    for line in lines:
        marker = _MARKER.fullmatch(line)
        if marker:
            if marker[1][0] not in follows[within]:
                return None
            within = marker[1][0].replace(">", "")
            continue
        if within in {"", "<"}:
            ours.append(line)
        if within in {"", "="}:
            theirs.append(line)
    return None if within else (ours, theirs)


def _object(lines: Sequence[str]) -> Named | None:
    """The object that the lines of a pointer name, also where they stand there twice."""
    fields = [match.groups() for line in lines if (match := _FIELD.fullmatch(line))]
    if len(fields) < len(lines) or not fields or fields[0][0] != "version":
        return None
    versions = {value for key, value in fields if key == "version"}
    oids = {value for key, value in fields if key == "oid"}
    sizes = {value for key, value in fields if key == "size"}
    if not versions <= {VERSION, *_OLD_VERSIONS} or len(oids) != 1 or len(sizes) != 1:
        return None
    oid, size = _OID.fullmatch(oids.pop()), _SIZE.fullmatch(sizes.pop())
    if oid is None or size is None or int(size[0]) > MAX_OBJECT_BYTES:
        return None
    return Named(oid[1], int(size[0]))


def _choice(lines: Sequence[str]) -> str:
    """The objects that a conflict is about, as far as they can be told."""
    named = _oids(lines)
    return f" (between {' and '.join(oid[:12] for oid in named)})" if len(named) > 1 else ""


def _oids(lines: Sequence[str]) -> list[str]:
    found = (_OID.fullmatch(line.removeprefix("oid").strip()) for line in lines)
    return list(dict.fromkeys(match[1] for match in found if match))
