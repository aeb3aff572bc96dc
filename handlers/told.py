"""What a translator should read of a job: the facts that both models count alike."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from codex_worker.codex.choose import Why
from codex_worker.data.project import Cells, SkippedCell
from codex_worker.errors import DataError, UserError
from codex_worker.job.summary import Fact, What


def facts_of_training(cells: Cells, unfetched: Sequence[SkippedCell], unused: Sequence[str]) -> list[Fact]:
    """What was not learnt from, and why; `unused` are sentences about recordings that were fetched."""
    wanted = [one for one in cells.skipped if one.why is Why.NOT_FIT] if cells.selection.include else []
    return [
        *counted(What.TRAINING_NOT_FETCHED, map(_reason, unfetched)),
        *counted(What.TRAINING_NOT_USED, unused),
        *counted(What.NOT_LEARNT, map(_reason, wanted)),
        *([Fact(what=What.MACHINE_MADE, count=cells.machine_made)] if cells.machine_made else []),
        *_unmatched(What.TRAINING_LIST, cells),
    ]


def facts_of_choice(cells: Cells, all_done: What) -> list[Fact]:
    """Why cells of a project are not worked on by a job that writes; of those that nobody asked for, only
    where nothing is left to do. `all_done` says that everything there is is done.
    """
    silent = [one.label for one in cells.skipped if one.why is Why.NOTHING_TO_SAY]
    facts = [*_unmatched(What.INFERENCE_LIST, cells), *counted(What.NOTHING_TO_SAY, silent)]
    by_why: dict[Why, list[SkippedCell]] = {}
    for one in cells.skipped:
        by_why.setdefault(one.why, []).append(one)
    has_lists = bool(cells.selection.include or cells.selection.exclude)
    if cells.chosen and not cells.selection.include:
        return facts
    if Why.ALREADY_THERE in by_why and not has_lists:
        return [Fact(what=all_done, count=len(by_why[Why.ALREADY_THERE])), *facts]
    told = {
        Why.ALREADY_THERE: What.ALREADY_THERE,
        Why.NOT_FIT: What.NOT_FIT,
        Why.LEFT_ALONE: What.LEFT_ALONE,
        **({} if cells.chosen else {Why.EXCLUDED: What.EXCLUDED}),
    }
    for why, what in told.items():
        facts += counted(what, map(_reason, by_why.get(why, ())))
    return facts


@contextmanager
def naming_unmatched(cells: Cells) -> Iterator[None]:
    """Adds to an error that nothing is left to work on which entries of the lists name no cell."""
    try:
        yield
    except (UserError, DataError) as error:
        if not cells.unmatched:
            raise
        raise type(error)(f"{error} {cells.unmatched_sentence}") from error


def counted(what: What, reasons: Iterable[str]) -> list[Fact]:
    """One fact about all of these, with the first as its example; none where there are none."""
    found = list(reasons)
    return [Fact(what=what, count=len(found), example=found[0])] if found else []


def _unmatched(what: What, cells: Cells) -> list[Fact]:
    return [Fact(what=what, count=len(cells.unmatched), names=cells.unmatched)] if cells.unmatched else []


def _reason(one: SkippedCell) -> str:
    return f"{one.label}: {one.reason}"
