"""Offers the unpublished results of earlier attempts again, where those attempts still own their jobs."""

import logging
from collections.abc import Callable
from pathlib import Path

from codex_worker.clock import Clock
from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.records import Attempt, Lease, now_utc, read_record
from codex_worker.contract.state import State
from codex_worker.errors import DataError, LeaseLost, SystemFault, WorkerError
from codex_worker.queue.facts import lease_at
from codex_worker.queue.job_queue import JobQueue
from codex_worker.queue.owned import HeldClaim, Outcome, OwnedJob, OwnerSettings, OwnLedger
from codex_worker.queue.record_reading import record_at
from codex_worker.queue.recording import next_page
from codex_worker.supervisor.attempt import OpenProject
from codex_worker.supervisor.job_folder import JobFolder, folders_in, has_unpublished
from codex_worker.supervisor.logs import bounded
from codex_worker.supervisor.unpublished import Outbox, publish_waiting

logger = logging.getLogger(__name__)

OpenQueue = Callable[[str], JobQueue]  # by the project's address


def offer_again(work_dir: Path, open_queue: OpenQueue, open_project: OpenProject, clock: Clock) -> int:
    """Publishes what waits in job folders, oldest first; answers how much. The rest goes on waiting."""
    done = 0
    for path in reversed(folders_in(work_dir)):
        if not has_unpublished(path):
            continue
        try:
            with JobFolder(path) as folder:
                done += offer_kept(folder, open_queue, open_project, clock)
        except (WorkerError, OSError) as error:
            logger.warning("The results of %s are kept and still unpublished: %s", path.name, error)
        except Exception:  # one project's data, or one folder, must not hold up the work for all others
            logger.exception("The results of %s are kept and still unpublished", path.name)
    return done


def offer_kept(
    folder: JobFolder,
    open_queue: OpenQueue,
    open_project: OpenProject,
    clock: Clock,
    opened: Callable[[OwnedJob], object] = lambda owned: None,
) -> int:
    """Publishes what waits for one attempt; answers how much.

    `opened` is told of the job once it is known to be there. Raises what the server says to what goes on
    waiting, and SystemFault where nobody knows whose it is.
    """
    outbox = Outbox(folder)
    owner = outbox.owner()
    if owner is None:
        raise SystemFault(f"Nobody knows any more whose results {folder.notes} holds.")
    try:
        owned = reopen(open_queue(owner.project), owner.held, clock)
        opened(owned)
        project = open_project(owned, folder, owner.project)

        def end(outcome: Outcome) -> None:
            log = folder.log_path.read_bytes() if folder.log_path.is_file() else b""
            if owned.end(outcome, log=bounded(log), metrics=folder.metrics()).is_final:
                project.forget_resume()

        done = publish_waiting(outbox, project.publish_cells, project.publish_artifact, end)
    except LeaseLost as error:
        logger.warning("%s What was to be published stays in %s, for you to look at.", error, folder.path)
        outbox.discard()
        return 0
    logger.info("Published %d kept results of job %s", done, owner.held.attempt.job_id)
    return done


def reopen(queue: JobQueue, held: HeldClaim, clock: Clock) -> OwnedJob:
    """An earlier attempt of this machine, to publish for it. Whether it still may is for the fence to say.

    Raises LeaseLost where the job is gone altogether.
    """
    attempt = held.attempt
    heads = queue.repository.look()
    view = queue.view(attempt.job_id, heads)
    if view is None or view.state is State.DELETED:
        raise LeaseLost(f"There is no job {attempt.job_id} in the project any more.")
    ref, lease_id = lease_at(heads, attempt.job_id)
    return OwnedJob(
        entry=view.entry or JobEntry.model_validate({"job_id": attempt.job_id}),
        attempt=attempt,
        lease=_lease(queue, attempt, ref, lease_id, clock),
        lease_id=lease_id,
        commit=held.commit,
        repository=queue.repository,
        beats=queue.repository,
        clock=clock,
        settings=OwnerSettings(),
        ledger=OwnLedger(record_at(heads, attempt.job_id) or held.record_ref, next_page(view.facts)),
        audience=queue.audience,
    )


def _lease(queue: JobQueue, attempt: Attempt, ref: str | None, lease_id: str | None, clock: Clock) -> Lease:
    """The attempt's own lease, which may name a resume state; a fresh one where there is none."""
    if ref is not None and lease_id is not None:
        try:
            lease = read_record(Lease, queue.repository.read_lease(lease_id), f"The lease {ref}")
            if lease.nonce == attempt.nonce:
                return lease
        except DataError as error:
            logger.warning("%s", error)
    return Lease(number=attempt.number, nonce=attempt.nonce, beat="", at=now_utc(clock.time()))
