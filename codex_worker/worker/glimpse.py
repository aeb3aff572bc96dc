"""The jobs of a project that nobody has looked at yet, by its manifest alone."""

from codex_worker.contract import yaml_text
from codex_worker.contract.limits import MANIFEST_BYTES
from codex_worker.contract.manifest import read_manifest
from codex_worker.contract.paths import MANIFEST
from codex_worker.contract.state import Budgets, JobFacts, job_state
from codex_worker.errors import DataError, UserError
from codex_worker.queue.job_queue import JobView


def waiting_jobs(manifest: str) -> list[JobView] | None:
    """The jobs of a project without any job folder; None where more than to wait is to be done for them.

    An entry that is canceled or is no job gets an end, and what cannot be read has to be told.
    """
    data = manifest.encode("utf-8", "surrogateescape")
    if len(data) > MANIFEST_BYTES:
        return None
    try:
        found = read_manifest(yaml_text.load(data, MANIFEST))
    except (DataError, UserError):
        return None
    if found.bad or not found.jobs or any(entry.canceled for entry in found.jobs.values()):
        return None
    return [_waiting(JobFacts(job_id, entry=entry)) for job_id, entry in found.jobs.items()]


def _waiting(facts: JobFacts) -> JobView:
    state = job_state(facts, Budgets())
    return JobView(facts.job_id, state.state, state.reason, facts)
