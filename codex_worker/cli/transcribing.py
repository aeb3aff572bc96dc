"""`codex-worker transcribe` and `align`: what recordings say, and when each word of a text is said in one."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_worker.cli.timed_files import KINDS, add_kinds, write_kinds
from codex_worker.contract.exit_codes import ExitCode
from codex_worker.errors import DataError, UserError

if TYPE_CHECKING:
    from codex_worker.asr.transcribe import Transcriber, Transcript

READING_KINDS = ("txt", *KINDS)
MOST_TEXT_CHARS = 50_000


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the two commands."""
    read = commands.add_parser(
        "transcribe",
        help="let a transcriber write down what recordings say",
        description="Prints what recordings say, or writes it into files of a folder.",
        epilog="codex-worker transcribe reader.safetensors chapter.mp3\n"
        "codex-worker transcribe reader.safetensors *.webm -o texts/ --format srt --format json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_checkpoint(read)
    read.add_argument("files", nargs="+", type=Path, metavar="FILE", help="recordings of any usual kind")
    read.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="write files here")
    read.add_argument(
        "--format", action="append", choices=READING_KINDS, default=[], metavar="KIND",
        help="txt, srt, vtt, labels (of Audacity) or json; may be given several times with -o (txt)",
    )  # fmt: skip
    read.add_argument(
        "--decoding", choices=("greedy", "beam"),
        help="by sound alone, or with the checkpoint's language (what it was seen to be best at)",
    )  # fmt: skip
    read.set_defaults(run=run_transcribe)
    align = commands.add_parser(
        "align",
        help="say when each word of a text is said in its recording",
        epilog="codex-worker align reader.safetensors verse.webm 'In the beginning' --timings srt",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_checkpoint(align)
    align.add_argument("recording", type=Path, metavar="FILE", help="a recording")
    align.add_argument("text", metavar="TEXT", help="what is said in it; - reads it from standard input")
    align.add_argument("-o", "--output", type=Path, metavar="PATH", help="files are named after this one")
    add_kinds(align, ())
    align.set_defaults(run=run_align)


def run_transcribe(arguments: argparse.Namespace) -> int:
    """Reads all recordings; 1 where one could not be read."""
    from rich.console import Console

    from codex_worker.asr.corpus import TranscribedClip
    from codex_worker.cli.progress import Bar

    kinds = tuple(dict.fromkeys(arguments.format)) or ("txt",)
    if arguments.output is None and len(kinds) > 1:
        raise UserError("Name a folder (-o) to write several kinds of files.")
    names = _names(arguments.files)
    reader = _transcriber(arguments.checkpoint, arguments.decoding)
    console, failed = Console(stderr=True, soft_wrap=True, markup=False, emoji=False), 0
    for remark in reader.remarks:
        console.print(remark)
    clips = [TranscribedClip(name, path, "") for name, path in names.items()]
    with Bar(console, "Reading") as show:
        for transcript in reader.transcribe(clips, on_progress=show):
            path = names[transcript.key]
            if transcript.error is not None:
                failed += 1
                console.print(f"{path}: {transcript.error}")
                continue
            if transcript.is_uncertain:
                sure = f"about {100 * transcript.confidence:.0f} of 100 letters should be right"
                console.print(f"{path}: uncertain, {sure}; listen to it before you trust it.")
            for kind in kinds:
                written = rendered(transcript, path, kind)
                if arguments.output is None:
                    sys.stdout.write(written if len(clips) == 1 or kind != "txt" else f"{path}\t{written}")
                else:
                    arguments.output.mkdir(parents=True, exist_ok=True)
                    target = arguments.output / f"{transcript.key}.{_suffix(kind)}"
                    target.write_text(written, encoding="utf-8")
    if failed:
        console.print(f"{failed} of {len(clips)} could not be read.")
    return ExitCode.FAILED if failed else ExitCode.DONE


def run_align(arguments: argparse.Namespace) -> int:
    """Lays a text over a recording, and prints when its words are said or writes that into files."""
    from rich.console import Console
    from rich.table import Table

    from codex_worker.asr.align import align
    from codex_worker.audio.decode import decode
    from codex_worker.text.timings import TimedText

    text = sys.stdin.read(MOST_TEXT_CHARS + 1) if arguments.text == "-" else arguments.text
    if len(text) > MOST_TEXT_CHARS:
        raise UserError(f"The text has more than {MOST_TEXT_CHARS} characters; cut it and its recording.")
    reader = _transcriber(arguments.checkpoint, None)
    recipe = reader.checkpoint.text_recipe
    samples = decode(arguments.recording, sample_rate=reader.checkpoint.frontend.sample_rate).samples
    found = align(reader, samples, " ".join((text if recipe is None else recipe.apply(text)).split()))
    words = [TimedText(word.text, word.start_s, word.end_s, word.goes_on) for word in found.words]
    if arguments.timings:
        write_kinds(words, arguments.output or arguments.recording, arguments.timings)
    else:
        table = Table("from s", "to s", "word", "fits")
        for word in found.words:
            table.add_row(f"{word.start_s:.2f}", f"{word.end_s:.2f}", word.text, f"{word.score:.0%}")
        Console(markup=False, emoji=False).print(table)
    console = Console(stderr=True, soft_wrap=True, markup=False)
    console.print(f"The text fits its recording to {found.score:.0%}.")
    return ExitCode.DONE


def rendered(transcript: "Transcript", path: Path, kind: str) -> str:
    """A reading as a file of this kind."""
    from codex_worker.text.timings import WRITERS, TimedText

    if kind == "txt":
        return f"{transcript.text}\n"
    if kind == "json":
        return json.dumps(_told(transcript, path), ensure_ascii=False, indent=1) + "\n"
    return WRITERS[kind]([TimedText(word.text, word.start_s, word.end_s) for word in transcript.words])


def _told(transcript: "Transcript", path: Path) -> dict[str, Any]:
    words = [
        {
            "word": word.text,
            "start": round(word.start_s, 3),
            "end": round(word.end_s, 3),
            "confidence": round(word.confidence, 3),
        }
        for word in transcript.words
    ]
    return {
        "file": path.name,
        "text": transcript.text,
        "duration": round(transcript.duration_s, 3),
        "confidence": round(transcript.confidence, 3),
        "uncertain": transcript.is_uncertain,
        "words": words,
        "notes": list(transcript.notes),
    }


def _names(files: Sequence[Path]) -> dict[str, Path]:
    """A name for what is written of each file: its own without the ending, unless two would share it."""
    stems = [path.stem.casefold() for path in files]
    found: dict[str, Path] = {}
    for path in files:
        name = path.stem if stems.count(path.stem.casefold()) == 1 else path.name
        number = 2
        while name in found:
            name, number = f"{path.name}-{number}", number + 1
        found[name] = path
    return found


def _suffix(kind: str) -> str:
    return "labels.txt" if kind == "labels" else kind


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="a transcriber that a job trained"
    )


def _transcriber(checkpoint: Path, decoding: str | None) -> "Transcriber":
    from codex_worker.asr.decoding.decoder import Decoding
    from codex_worker.asr.load import load_checkpoint
    from codex_worker.asr.transcribe import DecodingSettings, Transcriber

    try:
        loaded = load_checkpoint(checkpoint)
    except OSError as error:
        raise DataError(f"{checkpoint} cannot be read: {error.strerror}.") from error
    way = None if decoding is None else Decoding(decoding)
    return Transcriber(loaded, DecodingSettings(decoding=way))
