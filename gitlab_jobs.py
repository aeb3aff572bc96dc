"""The job queue's public names, and `python gitlab_jobs.py PROJECT`: a project's jobs as a table."""

import sys

from codex_worker.queue.job_queue import JobQueue, JobView, ProjectLook, QueueSettings
from codex_worker.queue.owned import Cause, Outcome, OwnedJob

__all__ = ["Cause", "JobQueue", "JobView", "Outcome", "OwnedJob", "ProjectLook", "QueueSettings"]

if __name__ == "__main__":
    from codex_worker.cli.main import main

    sys.exit(main(["jobs", *sys.argv[1:]]))
