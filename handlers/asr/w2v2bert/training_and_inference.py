"""Train a transcriber and write the missing text with it, in one job."""

from functools import partial

from codex_worker.data.project import Project
from handlers.asr.w2v2bert.inference import infer
from handlers.asr.w2v2bert.training import train
from handlers.base import JobCallbacks, JobContext, Result, run_both


def run(job: JobContext, callbacks: JobCallbacks) -> Result:
    """The whole job; both halves share what was read and fetched."""
    project = Project(callbacks.scanner)
    return run_both(job, callbacks, partial(train, project=project), partial(infer, project=project))
