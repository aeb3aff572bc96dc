"""Train a transcriber and write the missing text with it, in one job."""

from functools import partial

from handlers.asr.w2v2bert.inference import infer
from handlers.asr.w2v2bert.training import train
from handlers.base import JobCallbacks, JobContext, Result, run_both
from handlers.steps import project_of


def run(job: JobContext, callbacks: JobCallbacks) -> Result:
    """The whole job; both halves share what was read and fetched."""
    project = project_of(job, callbacks)
    return run_both(job, callbacks, partial(train, project=project), partial(infer, project=project))
