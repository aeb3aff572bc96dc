"""The worker's log as one JSON object a line, for programs that collect logs."""

import json
import logging
from datetime import UTC, datetime

from codex_worker.supervisor.figures import Figures
from codex_worker.supervisor.logs import Redact

# Threads that look after other projects and jobs while an attempt runs; all others belong to it.
_NOT_THE_ATTEMPTS = ("watch", "look-", "keeper", "uptime", "grace", "metrics", "spare", "prefetch")


class JsonLines(logging.Formatter):
    """Each record is a line of ASCII: time, level, logger, message, worker, project, job, attempt.

    `project`, `job` and `attempt` are null where the line belongs to no attempt. `traceback` is there where
    there is one. No value holds a secret, or ends the line.
    """

    def __init__(self, worker_id: str, figures: Figures, redact: Redact) -> None:
        super().__init__()
        self._worker_id = worker_id
        self._figures = figures
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Part of logging's protocol."""
        attempt = None if _is_of_other_things(record) else self._figures.attempt
        said_at_s = getattr(record, "said_at_s", record.created)  # a job's own line may have waited
        moment = datetime.fromtimestamp(said_at_s, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "worker": self._worker_id,
            "project": attempt and attempt.project,
            "job": attempt and attempt.job_id,
            "attempt": attempt and attempt.attempt,
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = record.exc_text or self.formatException(record.exc_info)
        return json.dumps({name: text and self._redact(text) for name, text in line.items()})


def _is_of_other_things(record: logging.LogRecord) -> bool:
    return (record.threadName or "").startswith(_NOT_THE_ATTEMPTS)
