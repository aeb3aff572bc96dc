"""What a file is that stands where sound should be: pointers, web pages, texts, pictures, nothing at all."""

import re
import unicodedata
from pathlib import Path

from codex_worker.codex.pointer_text import named_by, text_of, trouble_of
from codex_worker.errors import DataError

HEAD_BYTES = 1024

_REMEDY = "put the recording itself in its place, or record it again"
# By their first letters: what servers, git and people leave under the name of a recording.
_TEXTS = (
    (re.compile(r"<!doctype html|<html|<head|<body", re.IGNORECASE), "a web page"),
    (re.compile(r"<\?xml|<error\b", re.IGNORECASE), "an XML text (perhaps a server's refusal)"),
    (re.compile(r"[{\[]"), "a JSON text (perhaps a server's refusal)"),
    (
        re.compile(r"<{7,} |gitdir: |ref: refs/|diff --git |tree [0-9a-f]{40}|commit [0-9a-f]{40}"),
        "a text of git's",
    ),
    (re.compile(r"#EXTM3U", re.IGNORECASE), "a playlist, which only names sound"),
    (re.compile(r""), "a text"),
)
_OTHERS = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"\x1f\x8b", "a compressed archive"),
    (b"SQLite format 3\0", "a database"),
)
# Sound whose beginning alone could be read as a text.
_SOUND = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"OggS", b"fLaC", b"caff", b"#!AMR", b"ID3", b".snd")


class NoSound(DataError):
    """A file that holds no sound but something else."""


class SpoiltPointer(DataError):
    """A file that is an LFS pointer where its recording should be."""


def refuse_what_is_no_sound(path: Path, head: bytes) -> None:
    """Raises NoSound or SpoiltPointer with what the file is, by its first HEAD_BYTES, and what to do."""
    if not head:
        raise NoSound(f"{path} is empty (0 bytes); record it again or remove it")
    trouble = trouble_of(head)
    if trouble is not None:
        raise SpoiltPointer(
            f"{path} is {trouble}, and no recording; restore the pointer from the project's history, or "
            "record it again"
        )
    if named_by(head) is not None:
        raise SpoiltPointer(
            f"{path} is a git-lfs pointer, not a recording: the pointer itself was kept where the sound "
            "should be (a pointer to a pointer). Whoever has the recording has to send it, or record again"
        )
    what = _kind_of(head)
    if what is not None:
        raise NoSound(f"{path} is no recording that can be read: it is {what}; {_REMEDY}")


def refuse_zeros(path: Path, head: bytes) -> None:
    """Raises NoSound for a file that no decoder takes and that a crash has filled with zeros."""
    if not head.strip(b"\0"):
        raise NoSound(f"{path} is no recording that can be read: it holds nothing but zeros; record it again")


def _kind_of(head: bytes) -> str | None:
    if head.startswith(_SOUND):
        return None
    text = text_of(head)
    if text is not None and all(map(_is_written, text)):
        begins = text.lstrip()
        return next(name for pattern, name in _TEXTS if pattern.match(begins)) if begins else "an empty text"
    return next((name for begin, name in _OTHERS if head.startswith(begin)), None)


def _is_written(sign: str) -> bool:
    """Whether people write this sign; random bytes that happen to be letters hold others soon."""
    return sign in "\t\n\r\f" or unicodedata.category(sign) not in {"Cc", "Cs", "Cn", "Co"}
