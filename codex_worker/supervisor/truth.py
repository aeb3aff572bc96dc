"""What an attempt's outcome may say: only what is so in the project."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from codex_worker.contract.records import EndState
from codex_worker.job.plain_values import plain_result
from codex_worker.job.summary import with_saved
from codex_worker.publish.standing import AtHead
from codex_worker.queue.owned import Outcome
from codex_worker.supervisor.decide import Departure

logger = logging.getLogger(__name__)


def counted(departure: Departure, at_head: AtHead | None) -> Departure:
    """The departure with counts of what stands at the head, where people have changed cells meanwhile."""
    if departure.summary is None or at_head is None or not at_head.changed:
        return departure
    changed = [f"{cell}: {why}" for cell, why in sorted(at_head.changed.items())]
    logger.info("Changed by people since they were written: %s", "; ".join(changed))
    return replace(departure, summary=departure.summary.at_head(at_head.cells, len(changed)))


def with_notes(outcome: Outcome, notes: Sequence[str]) -> Outcome:
    """The result with what its entry holds in vain, before the handler's own notes."""
    found = outcome.result.get("notes")
    own = found if isinstance(found, list) else []
    return replace(outcome, result={**outcome.result, "notes": [*notes, *own]}) if notes else outcome


def truthful(outcome: Outcome, artifacts: Sequence[str], epochs_seen: float | None) -> Outcome:
    """The result with only what is so: files that are in the project, epochs that were run."""
    result = {
        str(key): value for key, value in outcome.result.items() if key not in {"success", "error_message"}
    }
    models = [path for path in artifacts if "/checkpoint/" in path]
    if result.get("checkpoint_path") is not None and result["checkpoint_path"] not in artifacts:
        logger.warning(
            "The handler names a checkpoint that it did not publish: %s", result["checkpoint_path"]
        )
        del result["checkpoint_path"]
    if "checkpoint_path" not in result and models:
        result["checkpoint_path"] = models[-1]
    epochs = result.get("epochs_completed", epochs_seen)
    epochs = int(epochs) if isinstance(epochs, int | float) else None
    result, lost = plain_result(result)
    for what in lost:
        logger.warning("Of the result: %s.", what)
    return replace(outcome, result=result, epochs_completed=epochs)


def with_cells(outcome: Outcome, at_head: AtHead | None, *, written: int) -> Outcome:
    """The outcome with the cells that are at the head; one that is not whole says what it saved all the same.

    `written` is how many this attempt wrote, and what counts where people have changed none of them.
    """
    are_counted = at_head is not None and at_head.changed
    cells = at_head.cells if at_head is not None and are_counted else written
    if are_counted and "cells_written" in outcome.result:
        outcome = replace(outcome, result={**outcome.result, "cells_written": cells})
    if outcome.state is EndState.COMPLETED:
        return outcome
    saved = with_saved(outcome.message, outcome.result.get("checkpoint_path"), cells)
    return replace(outcome, message=saved)
