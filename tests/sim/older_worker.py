"""A stand-in for an older worker, after what it was seen to do: it never compares before it writes.

It claims by creating response.yaml, beats by overwriting it every five minutes, takes over what looks older
than a day without asking again, writes `failed` over whoever has the job, and writes back whole notebooks
as it read them. Each call is one request to the server's own file interface, which commits at the head.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import yaml

from codex_worker.contract.paths import MANIFEST, log_path, response_path
from tests.sim.servers import BRANCH, Files, Server
from tests.support.notebooks import PATH, dump_notebook, value_edit
from tests.support.present import present

STALE_AFTER_S = 24 * 3600
MAX_RETRIES = 3
FINAL = {"completed", "failed", "canceled"}

OnPush = Callable[[str], None]


class OlderWorker:
    """One older worker; at most one job at a time."""

    def __init__(self, name: str, server: Server, now: Callable[[], float], on_push: OnPush) -> None:
        self.name = name
        self._server = server
        self._now = now
        self._on_push = on_push
        self._seen: dict[str, Mapping[str, Any] | None] = {}  # job -> its response when it was scanned
        self.job_id: str | None = None
        self._retries = 1
        self._log_of: str | None = None
        self._notebook = b""

    def act(self, action: str, number: int) -> None:
        """One step; one that needs a job, or none, does the nearest thing."""
        if action == "crash":
            self.job_id = None
        elif action == "log" and self._log_of:
            self._write({log_path(self._log_of): b"log of an older worker\n"})
            self._log_of = None
        elif action == "scan" or (self.job_id is None and not self._seen):
            self._scan()
        elif self.job_id is None:
            self._claim(number)
        elif action == "notebook":
            self._write_notebook(number)
        else:
            self._say("completed", result={"processed_count": 1})
            self._leave()

    def heartbeat(self) -> None:
        """Every five minutes while it has a job."""
        if self.job_id is None:
            return
        files = self._files()
        entry = next((e for e in _entries(files) if e["job_id"] == self.job_id), None)
        response = _response(files, self.job_id) or {}
        if entry is None or entry.get("canceled") or response.get("worker_id") != self.name:
            # Its handlers take cancellation and the loss of the claim for failures.
            self._say("failed", error_message="Traceback (most recent call last): ...")
            self._leave()
        else:
            self._say("running", epochs_completed=1)

    def _scan(self) -> None:
        files = self._files()
        self._seen = {}
        for entry in _entries(files):
            response = _response(files, entry["job_id"])
            is_free = response_path(entry["job_id"]) not in files
            if entry.get("canceled") is not True and (is_free or self._is_stale(response)):
                self._seen[entry["job_id"]] = None if is_free else response

    def _is_stale(self, response: Mapping[str, Any] | None) -> bool:
        if response is None or response.get("state") in FINAL:
            return False
        try:
            moment = datetime.fromisoformat(response["timestamp"])
        except (KeyError, TypeError, ValueError):
            return False  # an unquoted timestamp is a datetime already, which it cannot parse
        if moment.tzinfo is None:
            return False
        return self._now() - moment.timestamp() > STALE_AFTER_S

    def _claim(self, number: int) -> None:
        job_id = sorted(self._seen)[number % len(self._seen)]
        scanned = self._seen.pop(job_id)
        if scanned is None and response_path(job_id) in self._files():
            return  # the server refuses to create a file that exists
        self._retries = 1 if scanned is None else int(scanned.get("retry_count") or 0) + 1
        self.job_id = job_id
        if self._retries > MAX_RETRIES:
            self._say("failed", error_message="Max retries exceeded")
            self.job_id = None
            return
        self._say("running")
        self._notebook = self._files()[PATH]

    def _write_notebook(self, number: int) -> None:
        document = json.loads(self._notebook)
        cell = document["cells"][number % len(document["cells"])]
        cell["value"] = f"transcribed by {self.name}"
        now_ms = int(self._now() * 1000)
        cell["metadata"]["edits"].append(value_edit(cell["value"], now_ms, "llm-generation", self.name))
        self._write({PATH: dump_notebook(document)})

    def _leave(self) -> None:
        self._log_of, self.job_id = self.job_id, None

    def _say(self, state: str, **more: object) -> None:
        moment = datetime.fromtimestamp(self._now(), UTC).isoformat()
        content = {"worker_id": self.name, "state": state, "timestamp": moment, "retry_count": self._retries}
        data = yaml.dump(content | more, Dumper=yaml.CSafeDumper, sort_keys=False).encode()
        self._write({response_path(present(self.job_id)): data})

    def _files(self) -> Files:
        return self._server.files(self._server.refs()[BRANCH])

    def _write(self, files: Files) -> None:
        head = self._server.refs()[BRANCH]
        before = self._server.files(head)
        if any(before.get(path) != data for path, data in files.items()):
            self._on_push(self._server.commit({**before, **files}, (head,)))


def _entries(files: Files) -> list[dict[str, Any]]:
    return yaml.load(files[MANIFEST], yaml.CSafeLoader)["jobs"]


def _response(files: Files, job_id: str) -> Mapping[str, Any] | None:
    data = files.get(response_path(job_id))
    return None if data is None else yaml.load(data, yaml.CSafeLoader)
