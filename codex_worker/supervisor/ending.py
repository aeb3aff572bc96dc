"""The last word of an attempt: kept first, then written, or left to wait behind results not taken yet."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from codex_worker.contract.records import EndState
from codex_worker.errors import LeaseLost, WorkerError
from codex_worker.job.failures import describe
from codex_worker.queue.owned import Outcome, OwnedJob
from codex_worker.retry import BackOff
from codex_worker.supervisor.unpublished import Outbox, kept_sentence

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AttemptEnd:
    """Ends one attempt. `log` and `metrics` give what goes along with the end.

    `shorten` takes paths of this machine out of what people read; `when_over` is called once a final end
    stands in the project.
    """

    owned: OwnedJob
    outbox: Outbox
    back_off: BackOff
    log: Callable[[], bytes | None]
    metrics: Callable[[], bytes | None]
    shorten: Callable[[str], str] = str
    when_over: Callable[[], None] = lambda: None

    def write(self, outcome: Outcome) -> None:
        """Writes the end that was kept, unless results wait that belong before it; raises nothing."""
        reason = self.outbox.reason
        if reason is not None:
            self._tell_of_kept(outcome, reason)
            return
        try:
            end = self.back_off.insist(
                lambda: self.owned.end(outcome, log=self.log(), metrics=self.metrics())
            )
            if end.is_final:
                self.when_over()
        except LeaseLost as error:
            logger.warning("The end of the attempt is not written: %s", error)
        except (WorkerError, OSError) as error:
            logger.error("The end of the attempt is not written now: %s It is offered again.", error)
            return
        except Exception as error:  # a defect of ours must not leave the job without an end
            logger.exception("The end of the attempt could not be written")
            kind, message = describe(error)
            self._write_plainly(Outcome(EndState.FAILED, kind, self.shorten(message)))
            return
        self.outbox.discard()

    def keep(self, outcome: Outcome) -> None:
        """Before `write`, and before anything that may take long: a worker can be gone at any moment."""
        try:
            self.outbox.keep_end(outcome)
        except Exception:  # it may still be taken
            logger.exception("The end of the attempt cannot be kept")

    def _write_plainly(self, outcome: Outcome) -> None:
        """An end with nothing in it that could be in its way; the worker goes on in any case."""
        self.outbox.discard()
        self.keep(outcome)
        try:
            self.owned.end(outcome)
            self.outbox.discard()
        except Exception:  # it is kept, and the worker goes on to the next job
            logger.exception("Not even a plain end could be written; it is offered again")

    def _tell_of_kept(self, outcome: Outcome, reason: str) -> None:
        """What people read while results wait; it brings the log and the metrics as well."""
        epochs = outcome.epochs_completed
        message = self.shorten(kept_sentence(self.owned.attempt.worker_id, reason))
        try:
            self.owned.tell("publishing", epochs, message, self.log(), self.metrics())
            self.owned.beat("publishing", epochs, message)
        except (WorkerError, OSError) as error:
            logger.info("The project does not tell of it yet: %s", error)
        except Exception:  # as above
            logger.exception("The project could not be told of it")
