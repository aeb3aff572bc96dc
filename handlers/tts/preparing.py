"""What the trainings of both kinds of voices do with recordings before any network sees them."""

import json
from collections.abc import Callable, Iterable, Sequence

from codex_worker.data.project import SkippedCell
from codex_worker.data.recordings import RecordedCell
from codex_worker.stabletts.dataset import Dataset
from codex_worker.stabletts.preparation import SpokenText
from handlers.base import JobCallbacks, JobContext
from handlers.steps import publish_report


def spoken_texts(cells: Iterable[RecordedCell]) -> list[SpokenText]:
    """Recordings with their texts, as `prepare` takes them."""
    return [
        SpokenText(
            one.key,
            one.label,
            one.text,
            one.path,
            one.start_s,
            one.end_s,
            one.expected_duration_s,
            one.chapter,
        )
        for one in cells
    ]


def preparation_report(callbacks: JobCallbacks) -> Callable[[int, int], None]:
    """Tells the supervisor every twentieth recording, which is often enough for a person."""

    def report(done: int, total: int) -> None:
        if done % 20 == 0 or done == total:
            callbacks.heartbeat(0, f"Prepared {done} of {total} recordings", "preprocess")

    return report


def publish_decisions(
    job: JobContext,
    callbacks: JobCallbacks,
    dataset: Dataset,
    skipped: Sequence[SkippedCell],
    *,
    text: Sequence[str],
    start: Sequence[str],
    recipe: Sequence[str],
) -> None:
    """Everything that was decided about the data before training, for people."""
    content = {
        "recordings": dataset.report(),
        "text": list(text),
        "start": list(start),
        "recipe": list(recipe),
        "cells_not_used": [f"{one.label}: {one.reason}" for one in skipped],
    }
    publish_report(job, callbacks, "training_data.json", json.dumps(content, ensure_ascii=False, indent=1))
