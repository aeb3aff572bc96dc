"""Eight workers race for twenty jobs in one repository on disk."""

import random
import threading
from pathlib import Path

from codex_worker.clock import SystemClock
from codex_worker.contract.paths import parse_record
from codex_worker.contract.records import EndState
from codex_worker.contract.state import State
from gitlab_jobs import Outcome
from tests.support.queues import GitProject, job, manifest, queue

WORKERS, JOBS = 8, 20


def test_eight_workers_run_each_of_twenty_jobs_once(tmp_path: Path):
    names = [f"job{n:02d}" for n in range(JOBS)]
    project = GitProject({"gpu_jobs/manifest.yaml": manifest(*(job(name) for name in names))}, tmp_path)
    run_by: dict[str, list[str]] = {name: [] for name in names}
    errors: list[BaseException] = []

    def work(worker: str) -> None:
        try:
            mine = queue(project, worker, SystemClock())
            order = random.Random(worker).sample(names, JOBS)
            while pending := [v.job_id for v in mine.survey() if v.state is State.PENDING]:
                name = min(pending, key=order.index)
                owned = mine.claim(name)
                if owned:
                    run_by[name].append(worker)
                    owned.end(Outcome(EndState.COMPLETED, message="Done"), log=b"done\n")
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=work, args=(f"worker-{n}",)) for n in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not errors
    assert {name: len(workers) for name, workers in run_by.items()} == dict.fromkeys(names, 1)
    records = [record for path in project.files() if (record := parse_record(path))]
    assert sorted(r.job_id for r in records if r.kind == "attempt") == names
    assert sorted(r.job_id for r in records if r.kind == "end") == names
