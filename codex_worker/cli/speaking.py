"""`codex-worker synthesise`: a voice reads a text, or a table of texts, into files."""

import argparse
import csv
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codex_worker.cli.timed_files import add_kinds, write_kinds
from codex_worker.contract.exit_codes import ExitCode
from codex_worker.errors import DataError, UserError
from codex_worker.settings import add_options, from_variables, read_settings

if TYPE_CHECKING:
    from codex_worker.stabletts.verses import Spoken, Verse

MOST_TEXT_CHARS, MOST_ROWS = 50_000, 100_000
_MOST_CSV_BYTES = 200_000_000
_UNSAFE = re.compile(r"[^\w.\- ]+")


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    speak = commands.add_parser(
        "synthesise",
        help="let a voice read a text, or a table of texts, into sound files",
        description="Lets a voice read a text into a file, or each row of a table into a file of a folder.",
        epilog="codex-worker synthesise voice.safetensors 'In the beginning' -o beginning.mp3\n"
        "codex-worker synthesise voice.safetensors --csv verses.csv -o speech/ --format ogg --timings srt",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    speak.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a voice that a job trained")
    speak.add_argument("text", nargs="?", metavar="TEXT", help="what to say; - reads it from standard input")
    speak.add_argument(
        "--csv", type=Path, metavar="FILE",
        help="a table with a heading; its column `text` is spoken, its column `file` (or `file_name`) names "
        "the files",
    )  # fmt: skip
    speak.add_argument(
        "-o", "--output", type=Path, required=True, metavar="PATH", help="the file, or the table's folder"
    )
    speak.add_argument(
        "--format", metavar="KIND", help="wav, mp3, ogg, webm or m4a (as the file's name says, else wav)"
    )
    speak.add_argument("--speed", type=float, default=1.0, metavar="N", help="0.25 to 4 (1)")
    speak.add_argument("--steps", type=int, default=10, metavar="N", help="steps of the flow, 1 to 1000 (10)")
    speak.add_argument("--seed", type=int, default=0, metavar="N", help="another sounds a little different")
    speak.add_argument(
        "--reference", type=Path, metavar="FILE", help="a recording of the person to speak like"
    )
    add_kinds(speak, ())
    add_options(speak, ("weights_folder",))
    speak.set_defaults(run=run_synthesise)


def run_synthesise(arguments: argparse.Namespace) -> int:
    """Speaks all that is asked for; 1 where some of it could not be spoken."""
    from rich.console import Console

    from codex_worker.cli.progress import Bar
    from codex_worker.contract.options import AUDIO_FORMATS
    from codex_worker.service.voices import open_voice, settings_for
    from codex_worker.stabletts.verses import Failed

    if not 0.25 <= arguments.speed <= 4:
        raise UserError(f"--speed is {arguments.speed:g}; it must be a number from 0.25 to 4.")
    if not 1 <= arguments.steps <= 1000:
        raise UserError(f"--steps is {arguments.steps}; it must be a whole number from 1 to 1000.")
    if (arguments.csv is None) == (arguments.text is None):
        raise UserError("Give either a text or a table (--csv).")
    form = (arguments.format or arguments.output.suffix.lstrip(".") or "wav").lower()
    if arguments.csv is not None and arguments.format is None:
        form = "wav"
    if form not in AUDIO_FORMATS:
        raise UserError(f"Sound of kind {form!r} is not written; choose one of {', '.join(AUDIO_FORMATS)}.")
    rows = _rows(arguments, form)
    voice = open_voice(arguments.checkpoint, fetch_vocoder=_vocoder(arguments), reference=arguments.reference)
    console, failed = Console(stderr=True, soft_wrap=True, markup=False, emoji=False), 0
    for note in voice.notes:
        console.print(f"Note: {note}.")
    settings = settings_for(length_scale=1.0 / arguments.speed, steps=arguments.steps, seed=arguments.seed)
    verses = [verse for verse, _ in rows]
    paths = {verse.id: path for verse, path in rows}
    with Bar(console, "Speaking") as show:
        for done, one in enumerate(voice.speak(verses, settings, lambda: False), start=1):
            show(done, len(verses))
            if isinstance(one, Failed):
                failed += 1
                console.print(f"{one.verse.label}: {one.reason}.")
            else:
                _write(one, paths[one.verse.id], form, arguments.timings)
                for note in one.notes:
                    console.print(f"{one.verse.label}: {note}.")
    if failed:
        console.print(f"{failed} of {len(verses)} could not be spoken.")
    return ExitCode.FAILED if failed else ExitCode.DONE


def _write(one: "Spoken", path: Path, form: str, timings: Sequence[str]) -> None:
    from codex_worker.audio.encode import encode
    from codex_worker.text.timings import TimedText

    path.parent.mkdir(parents=True, exist_ok=True)
    encode(one.samples, one.sample_rate, path, form)
    words = [TimedText(word.text, word.start_s, word.end_s, word.goes_on) for word in one.words]
    write_kinds(words, path, timings)


def _vocoder(arguments: argparse.Namespace) -> Callable[[], Path]:
    def fetch() -> Path:
        from codex_worker.hub.fetch import Hub, hub_settings

        given = {"weights_folder": arguments.weights_folder}
        settings = read_settings(given, from_variables("the environment", os.environ))
        return Hub(hub_settings(settings, os.environ)).fetch("vocos").path

    return fetch


def _rows(arguments: argparse.Namespace, form: str) -> list[tuple["Verse", Path]]:
    """What to say, and where to write it. Raises UserError for texts that cannot be meant."""
    from codex_worker.stabletts.verses import Verse

    if arguments.csv is None:
        text = sys.stdin.read(MOST_TEXT_CHARS + 1) if arguments.text == "-" else arguments.text
        _require_short(text, "The text")
        if arguments.output.is_dir():
            raise UserError(f"{arguments.output} is a folder; name a file for the sound.")
        return [(Verse("text", "The text", text), arguments.output)]
    found: list[tuple[Verse, Path]] = []
    taken: set[str] = set()
    for number, (text, name) in enumerate(_table(arguments.csv), start=1):
        _require_short(text, f"Row {number}")
        stem = _UNSAFE.sub("_", Path(name).stem).strip(". ") or f"{number:05}"
        if stem.casefold() in taken:
            stem = f"{stem}-{number:05}"
        taken.add(stem.casefold())
        found.append((Verse(f"{number}", f"Row {number}", text), arguments.output / f"{stem}.{form}"))
    if not found:
        raise UserError(f"{arguments.csv} has no rows below its heading.")
    return found


def _table(path: Path) -> Iterator[tuple[str, str]]:
    """The text and the file's name of each row; commas, semicolons or tabs between the columns."""
    try:
        if path.stat().st_size > _MOST_CSV_BYTES:
            raise DataError(f"{path} is larger than {_MOST_CSV_BYTES / 1e6:.0f} MB.")
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not written in UTF-8: save it so from the spreadsheet.") from error
    heading = content.partition("\n")[0]
    separator = max(",;\t|", key=heading.count)
    try:
        rows = list(csv.DictReader(content.splitlines(keepends=True), delimiter=separator))
    except csv.Error as error:
        raise DataError(f"{path} is no table: {error}.") from error
    columns = {str(name).strip().casefold(): name for name in (rows[0] if rows else {})}
    if rows and "text" not in columns:
        raise UserError(f"{path} has no column `text`; its columns are {', '.join(map(str, rows[0]))}.")
    if len(rows) > MOST_ROWS:
        raise UserError(f"{path} has {len(rows)} rows; at most {MOST_ROWS} are spoken at once.")
    name = next((columns[each] for each in ("file", "file_name", "filename", "id") if each in columns), None)
    for row in rows:
        yield str(row[columns["text"]] or ""), str(row[name] or "") if name is not None else ""


def _require_short(text: str, what: str) -> None:
    if len(text) > MOST_TEXT_CHARS:
        raise UserError(f"{what} has more than {MOST_TEXT_CHARS} characters; cut it into several.")
