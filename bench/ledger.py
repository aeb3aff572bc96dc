"""What it costs that a job's record holds a ledger of what it has published. `python -m bench.ledger`

A stand-in for GitLab on this machine counts requests and bytes (real git over HTTP). The same job is done
on a server that takes records, and on one that refuses them (and leases with them).
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from codex_worker.clock import SystemClock
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.patch import TextPatch
from codex_worker.contract.records import EndState
from codex_worker.git.credentials import Credentials
from codex_worker.git.gate import Gate
from codex_worker.git.git_transport import GitTransport
from codex_worker.git.lfs.store import FileStore
from codex_worker.git.repository import Repository
from codex_worker.job.api import CellResult
from codex_worker.publish.cells import CellPublisher
from codex_worker.publish.standing import Publications
from codex_worker.worker.settling import Settling
from gitlab_jobs import JobQueue, Outcome, OwnedJob
from tests.support.gitlab import DEVELOPER, GitLabServer
from tests.support.notebooks import notebook, recorded_cell
from tests.support.queues import GitProject, claimed, job, manifest

CELLS = 20_000
CELLS_A_NOTEBOOK = 500  # one publication each
IN_THE_WAY = ("gpu-jobs", "gpu-records")  # where a branch has this name, none can lie below it

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """What something took at the server: HTTP requests, kilobytes both ways, commits of the branch."""

    requests: int
    kilobytes: float
    commits: int
    duration_s: float


class Bench:
    """One job of a project on a server that counts."""

    def __init__(self, folder: Path, cells: int, *, with_records: bool) -> None:
        self.books = [
            f"files/target/B{number:02}.codex" for number in range(max(cells // CELLS_A_NOTEBOOK, 1))
        ]
        untouched = notebook(*(recorded_cell(f"MRK 1:{n}") for n in range(CELLS_A_NOTEBOOK)))
        folder.mkdir(parents=True)
        entry = job("one", mode="inference")
        files = {"gpu_jobs/manifest.yaml": manifest(entry), **dict.fromkeys(self.books, untouched)}
        self.project = GitProject(files, folder)
        self.server = GitLabServer(folder / "server")
        hosted = self.server.create_project("team/p", {"worker": DEVELOPER}, repository=self.project.bare)
        if not with_records:
            hosted.branches_and_tags_only = True
            for branch in IN_THE_WAY:
                self._git("branch", branch, "main")
        self._url = self.server.git_url(hosted)
        token = self.server.create_token("worker", ["read_api", "read_repository", "write_repository"])
        self._credentials = Credentials(token, self.server.url)
        self._gate = Gate(self._credentials)
        self._folder, self._untouched = folder, untouched

    def queue(self, name: str) -> JobQueue:
        """A worker's queue with a cache of its own."""
        transport = GitTransport(
            self._url,
            self._folder / f"cache-{name}",
            author=name,
            email="bench@localhost",
            gate=self._gate,
        )
        return JobQueue(Repository(transport, SystemClock()), name, SystemClock())

    def publish(self, owned: OwnedJob, book: str) -> None:
        """Publishes a text for every cell of a notebook."""
        cells = Notebook.parse(self._untouched, book).cells
        results = [
            CellResult(book, TextPatch(cell.id, cell.state, heard(book, cell.id), "bench")) for cell in cells
        ]
        published = CellPublisher(owned, FileStore(self.project.bare)).publish(results)
        assert len(published.applied) == len(results), f"{len(published.dropped)} cells were dropped"

    def cost(self, action: Callable[[], T]) -> tuple[Cost, T]:
        """What an action takes, and what it answers."""
        before = self._commits()
        self.server.requests.clear()
        started = time.perf_counter()
        answer = action()
        duration_s = round(time.perf_counter() - started, 2)
        seen = list(self.server.requests)
        size = sum(exchange.bytes_in + exchange.bytes_out for exchange in seen)
        return Cost(len(seen), round(size / 1000, 1), self._commits() - before, duration_s), answer

    def type_into_one_cell(self) -> None:
        """A person's commit to one notebook."""
        book = self.books[0]
        text = self.project.files()[book].replace(heard(book, "MRK 1:7").encode(), b"What Maria typed.", 1)
        self.project.edit(lambda files: files.update({book: text}))

    @property
    def record_kilobytes(self) -> float:
        """The files of the job's record."""
        refs = [ref for ref in self.project.refs() if "gpu-records/" in ref]
        listed = [self._git("ls-tree", "-r", "--format=%(objectsize)", ref) for ref in refs]
        return round(sum(int(size) for text in listed for size in text.split()) / 1000, 1)

    def _commits(self) -> int:
        return int(self._git("rev-list", "--count", "main"))

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.project.bare), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def heard(book: str, cell_id: str) -> str:
    """Sixty characters that compress no better than text does."""
    return f"{random.Random(book + cell_id).getrandbits(240):060x}"


def measure(folder: Path, cells: int, *, with_records: bool) -> dict[str, Cost | float]:
    """One job from claim to end, and the looks of a worker that comes later."""
    bench = Bench(folder, cells, with_records=with_records)
    try:
        queue = bench.queue("owner")
        queue.survey()
        costs: dict[str, Cost | float] = {}
        costs["claim"], owned = bench.cost(lambda: claimed(queue, "one"))
        publications = [bench.cost(lambda: bench.publish(owned, book))[0] for book in bench.books]  # noqa: B023
        costs["publication"] = sorted(publications, key=lambda cost: cost.kilobytes)[len(publications) // 2]
        costs["end"] = bench.cost(lambda: owned.end(Outcome(EndState.COMPLETED), log=b"Done\n"))[0]
        costs["record_kb"] = bench.record_kilobytes
        return costs | _looks(bench)
    finally:
        bench.server.close()


def _looks(bench: Bench) -> dict[str, Cost | float]:
    queue = bench.queue("later")
    settling = Settling(queue, SystemClock())

    def look() -> None:
        settling.look(queue.look())

    def further_looks() -> None:
        for _ in range(looks - 1):
            look()

    looks = _looks_until_all_is_compared(bench)
    costs: dict[str, Cost | float] = {"looks": looks}
    costs["first_look"] = bench.cost(look)[0]
    costs["further_looks"] = bench.cost(further_looks)[0]
    costs["quiet_look"] = bench.cost(look)[0]
    bench.type_into_one_cell()
    costs["look_after_an_edit"] = bench.cost(look)[0]
    costs["closing"] = bench.cost(lambda: queue.close_ledger("one"))[0]
    costs["look_when_closed"] = bench.cost(look)[0]
    costs["closed_record_kb"] = bench.record_kilobytes
    return costs


def _looks_until_all_is_compared(bench: Bench) -> int:
    publications = Publications("one", bench.queue("counts").repository)
    looks = 1
    while not publications.look().is_complete:
        looks += 1
    return looks


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints, and answers 0 when everything ran."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=CELLS, help=f"results of the job ({CELLS})")
    cells = parser.parse_args(arguments).cells
    results: dict[str, object] = {"cells": cells}
    with tempfile.TemporaryDirectory() as name:
        for with_records in (True, False):
            label = "with" if with_records else "without"
            for what, cost in measure(Path(name) / label, cells, with_records=with_records).items():
                print(f"{label} a record: {what}: {cost}", flush=True)
                results[f"{what}_{label}"] = asdict(cost) if isinstance(cost, Cost) else cost
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}
    print(json.dumps({"bench": "ledger", "machine": machine, "results": results, "targets": {}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
