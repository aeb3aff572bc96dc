"""Files of timed words beside sound: `--timings`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codex_worker.text.timings import TimedText

KINDS = ("srt", "vtt", "labels", "json")
_SUFFIXES = {"labels": "labels.txt"}


def add_kinds(parser: argparse.ArgumentParser, default: Sequence[str]) -> None:
    """Adds the option."""
    parser.add_argument(
        "--timings", action="append", choices=KINDS, default=list(default), metavar="KIND",
        help="also write when each word is said: srt, vtt, labels (of Audacity) or json; may be given "
        "several times",
    )  # fmt: skip


def write_kinds(words: "Sequence[TimedText]", beside: Path, kinds: Sequence[str]) -> None:
    """Writes the words in these kinds beside a file."""
    from codex_worker.text.timings import WRITERS

    for kind in dict.fromkeys(kinds):
        path = beside.with_suffix(f".{_SUFFIXES.get(kind, kind)}")
        path.write_text(WRITERS[kind](words), encoding="utf-8")
