"""Train a VITS voice and speak the missing verses with it, in one job."""

from functools import partial

from handlers.base import JobCallbacks, JobContext, Result, run_both
from handlers.steps import project_of
from handlers.tts.vits.inference import infer
from handlers.tts.vits.training import train


def run(job: JobContext, callbacks: JobCallbacks) -> Result:
    """The whole job; both halves share what was read."""
    project = project_of(job, callbacks)
    return run_both(job, callbacks, partial(train, project=project), partial(infer, project=project))
