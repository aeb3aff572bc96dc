"""`codex-worker data`, `dataset` and `explore`: what a project's recordings are like, and copies of them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_worker import cores
from codex_worker.cli.dataset_config import DatasetConfig
from codex_worker.cli.forecast import Forecaster, add_options
from codex_worker.cli.progress import Bar
from codex_worker.cli.source import add_source, open_source
from codex_worker.contract.exit_codes import ExitCode
from codex_worker.errors import UserError

if TYPE_CHECKING:
    from codex_worker.data.audiofolder import DatasetOptions
    from codex_worker.doctor.examine import Align, Compare


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the three commands; each has its function in `run`."""
    data = commands.add_parser(
        "data", help="listen to a project's recordings and say what is wrong with them"
    )
    add_source(data)
    data.add_argument("--output", type=Path, default=Path("data.html"), metavar="FILE", help="the page")
    data.add_argument(
        "--checkpoint", type=Path, metavar="FILE",
        help="a transcriber of this language: tells where text and recording do not fit",
    )  # fmt: skip
    add_options(data)
    data.set_defaults(run=run_data)
    dataset = commands.add_parser("dataset", help="write a project as a Hugging Face audio folder")
    add_source(dataset)
    dataset.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="a new or empty folder")
    dataset.add_argument("--max-records", type=int, metavar="N", help="at most so many clips")
    dataset.add_argument(
        "--min-duration", type=float, dest="min_duration_s", metavar="SECONDS", help="leave out shorter clips"
    )
    dataset.add_argument(
        "--max-duration", type=float, dest="max_duration_s", metavar="SECONDS", help="leave out longer clips"
    )
    dataset.add_argument("--min-characters", type=int, metavar="N", help="of a clip's text")
    dataset.add_argument("--validation-share", type=float, metavar="SHARE", help="of the clips (0.1)")
    dataset.add_argument("--test-share", type=float, metavar="SHARE", help="of the clips (0.1)")
    dataset.add_argument("--sample-rate", type=int, metavar="HZ", help="of the clips (16000)")
    dataset.add_argument("--audio-format", metavar="FORMAT", help="wav, ogg, webm, mp3 or m4a (wav)")
    dataset.add_argument("--metadata-format", metavar="FORMAT", help="csv or jsonl (csv)")
    dataset.set_defaults(run=run_dataset)
    explore = commands.add_parser("explore", help="count what a project holds")
    add_source(explore)
    explore.set_defaults(run=run_explore)


def run_data(arguments: argparse.Namespace) -> int:
    """Listens to everything, and writes the page."""
    from rich.console import Console

    from codex_worker.data.project import languages_of
    from codex_worker.data.recordings import read_recorded
    from codex_worker.doctor.examine import examine
    from codex_worker.doctor.page import data_page
    from codex_worker.doctor.situation import situation_of
    from codex_worker.text.normalise import lost_letters, recipe_for, unlearnt_letters

    console = Console()
    forecaster = Forecaster(arguments)
    source = open_source(arguments)
    recorded = read_recorded(source.reader, source.selection)
    align, compare, reader_cer = _reader(arguments.checkpoint) if arguments.checkpoint else (None, None, None)
    recipe = recipe_for([cell.text for cell in recorded.cells], languages=languages_of(source.reader))
    rare = unlearnt_letters([recipe.apply(cell.text) for cell in recorded.cells])
    with Bar(console, "Listening") as on_progress:
        report = examine(
            recorded,
            align=align,
            compare=compare,
            reader_cer=reader_cer,
            lost_letters=lambda text: lost_letters(recipe, text, rare),
            workers=cores.count(),
            on_progress=on_progress,
        )
    for line in report.lines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    arguments.output.write_text(data_page(report, source.name), encoding="utf-8")
    console.print(f"The page is in {arguments.output}", markup=False, soft_wrap=True)
    if forecaster.is_asked:
        usable = {each.key for each in report.examined}
        expected = forecaster.forecast(
            situation_of(report),
            [cell for cell in recorded.cells if cell.key in usable],
            recipe,
            source.settings,
            say=lambda sentence: console.print(sentence, markup=False, highlight=False, soft_wrap=True),
        )
        arguments.output.write_text(data_page(report, source.name, expected), encoding="utf-8")
        for line in expected.lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    return ExitCode.DONE if report.examined else ExitCode.FAILED


def run_dataset(arguments: argparse.Namespace) -> int:
    """Writes clips and metadata."""
    from rich.console import Console

    from codex_worker.codex.choose import cells_for_training, cells_with_recording
    from codex_worker.data.audiofolder import write_audiofolder
    from codex_worker.data.project import Project
    from codex_worker.data.recordings import fetch_recordings
    from codex_worker.data.sources import TextChoice, text_of

    console = Console()
    config = DatasetConfig.read(arguments.config)
    options = _options(arguments, config)
    choice = TextChoice(
        config.get("dataset.text_source") or "value", config.get("dataset.edit_history_selection") or "last"
    )
    folder = _output(arguments, config)
    source = open_source(arguments)
    project = Project(source.reader)
    rule = cells_for_training if choice.source == "value" else cells_with_recording
    cells = project.choose_from(rule, source.selection)
    # Some of them will turn out to be unusable: those that are not needed then were fetched for nothing.
    wanted = cells.chosen if options.max_records is None else cells.chosen[: 2 * options.max_records]
    recorded = fetch_recordings(source.reader, wanted)
    text = text_of(project, choice)
    if config.get("uroman.enabled"):
        from codex_worker.text.romanise import romanise

        language = config.get("uroman.language")
        plain = text
        text = lambda chosen: romanise(plain(chosen), language)  # noqa: E731 - a def would have to repeat its type
    with Bar(console, "Writing clips") as on_progress:
        summary = write_audiofolder(recorded.cells, folder, options, text_of=text, on_progress=on_progress)
    for split, count in summary.records.items():
        clips = "1 clip" if count == 1 else f"{count} clips"
        console.print(f"{split}: {clips}, {summary.seconds[split] / 60:.1f} minutes", highlight=False)
    skipped = (*cells.skipped, *recorded.skipped, *summary.left_out)
    for note in project.notes:
        console.print(note, markup=False, soft_wrap=True)
    left_out = "1 cell is" if len(skipped) == 1 else f"{len(skipped)} cells are"
    console.print(f"{left_out} left out; `codex-worker data` says why.", markup=False)
    console.print(f'load_dataset("audiofolder", data_dir={str(folder)!r})', markup=False, soft_wrap=True)
    return ExitCode.DONE


def run_explore(arguments: argparse.Namespace) -> int:
    """Prints a table of documents; fetches no recording."""
    from rich.console import Console
    from rich.table import Table

    from codex_worker.data.explore import holdings
    from codex_worker.data.project import Project

    source = open_source(arguments)
    project = Project(source.reader)
    table = Table(title=f"What {source.name} holds", title_justify="left")
    for column in ("document", "cells", "text and recording", "minutes", "only recording", "only text"):
        table.add_column(column, overflow="fold")
    rows = holdings(project)
    for row in rows:
        counts = (row.cells, row.to_train, f"{row.noted_s / 60:.1f}", row.to_transcribe, row.to_speak)
        table.add_row(row.document, *(str(count) for count in counts))
    table.add_row(
        "all", str(sum(row.cells for row in rows)), str(sum(row.to_train for row in rows)),
        f"{sum(row.noted_s for row in rows) / 60:.1f}", str(sum(row.to_transcribe for row in rows)),
        str(sum(row.to_speak for row in rows)),
    )  # fmt: skip
    console = Console(markup=False, emoji=False)  # documents have names like "[/b].codex"
    console.print(table)
    for note in project.notes:
        console.print(note, markup=False, soft_wrap=True)
    return ExitCode.DONE


def _options(arguments: argparse.Namespace, config: DatasetConfig) -> "DatasetOptions":
    from dataclasses import fields

    from codex_worker.data.audiofolder import DatasetOptions

    wanted: dict[str, Any] = {}
    kinds = {field.name: type(field.default) for field in fields(DatasetOptions)}
    for name, kind in kinds.items():
        value = getattr(arguments, name, None)
        value = config.get(f"dataset.{name}") if value is None else value
        if value is None:
            continue
        allowed = (int, float) if kind is float else int if kind is type(None) else kind
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise UserError(f"dataset.{name}: {value!r} is not of the right kind.")
        wanted[name] = value
    return DatasetOptions(**{"workers": cores.count(), **wanted})


def _output(arguments: argparse.Namespace, config: DatasetConfig) -> Path:
    folder = arguments.folder or config.get("dataset.output_dir")
    if folder is None:
        raise UserError("Name a folder for the dataset: on the command line, or as dataset.output_dir.")
    return Path(folder)


def _reader(checkpoint: Path) -> "tuple[Align, Compare, float | None]":
    """How texts and recordings fit according to a transcriber, and how badly it reads itself."""
    from codex_worker.asr.align import fit_of
    from codex_worker.asr.likelihood import likelihoods_of
    from codex_worker.asr.load import load_checkpoint
    from codex_worker.asr.transcribe import Transcriber

    loaded = load_checkpoint(checkpoint)
    reader = Transcriber(loaded)
    return fit_of(reader), likelihoods_of(reader), loaded.held_out_cer
