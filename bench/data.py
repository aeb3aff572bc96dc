"""Fetching, patching and decoding a project's data. `python -m bench.data`

A stand-in for GitLab on this machine waits 50 ms before it answers a request. This worker's way of fetching
recordings (one look, one shallow fetch, pointers in one go, LFS batches of 100, several downloads at a time,
a cache by content) runs against that of older workers: for each recording, one after the other, the pointer
from the files API, an LFS batch for this one object, and the object. The older way is measured on some
recordings only and scaled up; it kept nothing, so that its second time is like its first.
"""

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import requests

from codex_worker.audio.decode import Clip, decode_many
from codex_worker.audio.encode import encode
from codex_worker.clock import SystemClock
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.patch import TextPatch, apply_patches
from codex_worker.errors import DataError
from codex_worker.git.credentials import Credentials
from codex_worker.git.gate import Gate
from codex_worker.git.git_transport import GitTransport
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.http import HttpStore
from codex_worker.git.lfs.pointer import Pointer, parse_pointer
from codex_worker.git.repository import Repository
from codex_worker.hub.fetch import Hub, hub_settings
from codex_worker.settings import Settings
from codex_worker.supervisor.job_folder import JobFolder
from codex_worker.supervisor.project_access import RepositoryReader
from tests.support.gitlab import DEVELOPER, GitLabServer, Project
from tests.support.notebooks import notebook, written_cell
from tests.support.present import present

LATENCY_S = 0.05
RECORDING_BYTES = 20_000
NOTEBOOKS, CELLS = 66, 1_500
CLIP_S, SAMPLE_RATE = 10.0, 16_000
TARGETS = {
    "fetch_cold_speedup": [">=", 10],
    "fetch_warm_speedup": [">=", 100],
    "patch_66_notebooks_s": ["<", 1.0],
}


def main() -> None:
    """Measures everything and prints one JSON object on the last line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recordings", type=int, default=1_000)
    parser.add_argument("--older-recordings", type=int, default=40, help="measured, and scaled up to all")
    parser.add_argument("--audio-minutes", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        results = measure_fetching(root / "fetch", options.recordings, options.older_recordings)
        results |= measure_patching()
        results |= measure_decoding(root / "decode", options.audio_minutes)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}
    print(json.dumps({"bench": "data", "machine": machine, "results": results, "targets": TARGETS}))


def measure_fetching(folder: Path, count: int, older_count: int) -> dict[str, Any]:
    """Seconds for all recordings, cold and warm, ours and the older way, with the requests of each."""
    folder.mkdir()
    with GitLabServer(folder, latency_s=LATENCY_S) as server:
        project = server.create_project("team/genesis", members={"worker": DEVELOPER})
        paths = _fill(folder / "made", server, project, count)
        token = server.create_token("worker")
        url = server.git_url(project)
        results: dict[str, Any] = {"recordings": count, "latency_s": LATENCY_S}
        for kind in ("cold", "warm"):
            server.requests.clear()
            results[f"fetch_{kind}_s"] = _timed(
                lambda: _fetch(folder / "work", server.url, url, token, paths)
            )
            results[f"fetch_{kind}_requests"] = len(server.requests)
        server.requests.clear()
        some = paths[:older_count]
        older_s = _timed(lambda: _fetch_as_before(server.url, project.path, url, token, some))
        results["older_requests_per_recording"] = len(server.requests) / len(some)
    results["older_measured_recordings"] = len(some)
    results["older_all_s"] = older_s * count / len(some)
    results["fetch_cold_speedup"] = results["older_all_s"] / results["fetch_cold_s"]
    results["fetch_warm_speedup"] = results["older_all_s"] / results["fetch_warm_s"]
    return results


def measure_patching() -> dict[str, Any]:
    """Seconds to put one new text into each of 66 notebooks of 1,500 cells."""
    path = "files/target/MRK.codex"
    data = notebook(
        *(
            written_cell(f"MRK {1 + n // 50}:{1 + n % 50}", f"Words of verse {n}, not many.")
            for n in range(CELLS - 1)
        ),
        written_cell("MRK 99:1", ""),
    )
    cell = present(Notebook.parse(data, path).cell("MRK 99:1"))
    patch = TextPatch("MRK 99:1", cell.state, "What was heard.", "bench")

    def patch_all() -> None:
        for _ in range(NOTEBOOKS):
            assert len(apply_patches(data, path, [patch]).applied) == 1

    return {
        "patch_66_notebooks_s": statistics.median(_timed(patch_all) for _ in range(5)),
        "patch_notebook_bytes": len(data),
    }


def measure_decoding(folder: Path, minutes: float) -> dict[str, Any]:
    """Seconds for an hour of Opus in clips of 10 s, decoded and resampled to 16 kHz on two cores."""
    folder.mkdir()
    clip = folder / "clip.webm"
    t = np.arange(round(CLIP_S * 48_000)) / 48_000
    noise = np.random.default_rng(0).standard_normal(t.size)
    sound = 0.3 * np.sin(2 * np.pi * 140 * t) * (1 + np.sin(2 * np.pi * 4 * t)) + 0.01 * noise
    encode(sound.astype(np.float32), 48_000, clip, "webm")
    clips = [Clip(clip)] * round(minutes * 60 / CLIP_S)

    def decode_all() -> None:
        for _, outcome in decode_many(clips, sample_rate=SAMPLE_RATE, workers=2):
            if isinstance(outcome, DataError):
                raise outcome

    return {"decode_hour_s": _timed(decode_all) * 60 / minutes, "decode_measured_minutes": minutes}


def _fill(made: Path, server: GitLabServer, project: Project, count: int) -> list[str]:
    """Commits `count` pointers, puts their objects into the store, and answers the pointers' paths."""
    generator = np.random.default_rng(0)
    paths = []
    for number in range(count):
        path = f".project/attachments/pointers/GEN/audio-1767225600000-{number:09d}.webm"
        content = generator.bytes(RECORDING_BYTES)
        pointer = Pointer(hashlib.sha256(content).hexdigest(), len(content))
        _write(made / path, pointer.render())
        _write(server.state.object_path(pointer.oid), content)
        _write(server.state.link_path(project, pointer.oid), b"")
        paths.append(path)
    places = {
        "GIT_DIR": str(project.repository),
        "GIT_WORK_TREE": str(made),
        "GIT_INDEX_FILE": f"{made}.index",
    }
    _git(places, "add", "--all", ".")
    tree = _git(places, "write-tree")
    commit = _git(places, "commit-tree", "-m", "A project to fetch", tree)
    _git(places, "update-ref", "refs/heads/main", commit)
    return paths


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _git(places: dict[str, str], *arguments: str) -> str:
    person = {
        "GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "bench@example.org",
        "GIT_COMMITTER_NAME": "bench", "GIT_COMMITTER_EMAIL": "bench@example.org",
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
    }  # fmt: skip
    done = subprocess.run(
        ["git", *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=places["GIT_WORK_TREE"],
        env=os.environ | person | places,
    )
    return done.stdout.strip()


def _fetch(work: Path, server: str, url: str, token: str, paths: list[str]) -> None:
    """This worker's way, from the first look to files in a fresh job folder."""
    credentials = Credentials(token, server)
    transport = GitTransport(
        url,
        work / "cache.git",
        author="bench",
        email="bench@example.org",
        gate=Gate(credentials),
    )
    cache = LfsCache(work / "lfs", 10_000_000_000)
    with JobFolder(work / f"job-{time.monotonic_ns()}") as folder:
        files = RepositoryReader(
            Repository(transport, SystemClock()).snapshot(),
            HttpStore(url, credentials),
            cache,
            Hub(hub_settings(Settings(), {})),
            folder,
        )
        fetched = files.fetch_recordings(paths)
        if len(fetched.files) != len(paths):
            raise SystemExit(
                f"{len(fetched.missing)} recordings are missing: {list(fetched.missing.items())[:2]}"
            )


def _fetch_as_before(server: str, project: str, url: str, token: str, paths: list[str]) -> None:
    """Three requests for each recording, one after the other, over one kept connection."""
    session = requests.Session()
    api = f"{server}/api/v4/projects/{quote(project, safe='')}/repository/files"
    for path in paths:
        raw = session.get(f"{api}/{quote(path, safe='')}/raw", headers={"PRIVATE-TOKEN": token}, timeout=30)
        raw.raise_for_status()
        pointer = present(parse_pointer(raw.content))
        wanted = {"operation": "download", "transfers": ["basic"], "objects": [vars(pointer)]}
        answer = session.post(
            f"{url}/info/lfs/objects/batch",
            json=wanted,
            headers={
                "Accept": "application/vnd.git-lfs+json",
                "Content-Type": "application/vnd.git-lfs+json",
            },
            auth=("oauth2", token),
            timeout=30,
        )
        answer.raise_for_status()
        action = answer.json()["objects"][0]["actions"]["download"]
        content = session.get(action["href"], headers=action.get("header", {}), timeout=30).content
        if len(content) != pointer.size:
            raise SystemExit(f"{path}: {len(content)} bytes instead of {pointer.size}")


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
