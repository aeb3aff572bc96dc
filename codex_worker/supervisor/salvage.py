"""What a job's process had finished and not yet published when it died."""

import json
import logging
from collections.abc import Iterator
from typing import Any

from codex_worker.errors import LeaseLost, WorkerError
from codex_worker.job.api import WAITING
from codex_worker.supervisor.job_folder import JobFolder
from codex_worker.supervisor.services import MAX_CELLS, Services

logger = logging.getLogger(__name__)

MAX_BYTES = 64_000_000


def publish_left_behind(folder: JobFolder, services: Services) -> int:
    """Publishes the results that wait in the folder; answers how many. Publishing twice is harmless.

    Raises LeaseLost. Every other failure is reported only: the attempt has its own reason for its end.
    """
    left = folder.read(WAITING, MAX_BYTES)
    if not left:
        return 0
    results = list(_results(left.decode(errors="replace")))
    done = 0
    try:
        for start in range(0, len(results), MAX_CELLS):
            some = results[start : start + MAX_CELLS]
            answer = services.answer("publish_cells", {"results": some})
            done += len(answer["applied"])
    except LeaseLost:
        raise
    except WorkerError as error:
        logger.warning("What the job's process had finished could not be published: %s", error)
        return done
    except Exception:  # whatever the process left there: its own last word counts
        logger.exception("What the job's process had left behind could not be published")
        return done
    folder.remove(WAITING)
    logger.info("Published %d results that the job's process had left behind", done)
    return done


def _results(text: str) -> Iterator[Any]:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            logger.warning("A result was noted only half when the job's process died; it is made again")
