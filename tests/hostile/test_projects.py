"""What one project's files and refs say harms no other project: each beside an innocent one, in one poll."""

import logging

import pytest

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.git.memory import MemoryCommit, MemoryServer
from tests.support.hostile_projects import INNOCENT, Village
from tests.support.queues import job, manifest

HUGE = b"0x" + b"f" * 5000
DIGITS = b"9" * 5000
LONG_AGO = b"'0001-01-01T00:00:00+23:00'"
DEEP = b"[" * 900 + b"]" * 900
BOMB = b"".join(
    b"a%d: &a%d [%s]\n" % (level, level, b", ".join([b"*a%d" % (level - 1)] * 9)) for level in range(1, 11)
).replace(b"*a0", b"x")
LONG_BOMB = (
    b"a0: &a0 '"
    + b"x" * 100_000
    + b"'\n"
    + b"".join(
        b"a%d: &a%d [%s]\n" % (level, level, b", ".join([b"*a%d" % (level - 1)] * 9)) for level in range(1, 8)
    )
)
MANIFEST = "gpu_jobs/manifest.yaml"
ATTEMPT = "gpu_jobs/job_x/workers/wx/attempt-1-aaaaaaaa.yaml"
END = "gpu_jobs/job_x/workers/wx/end-1-aaaaaaaa.yaml"
CLAIMED = (
    b"job_id: x\nnumber: 1\nnonce: aaaaaaaa\nworker_id: wx\nclaimed_at: '2026-01-01T00:00:00Z'\n"
    b"lease_ref: refs/gpu-jobs/x\n"
)
ENDED = (
    b"state: completed\nended_at: '2026-01-01T00:00:00Z'\nended_by: wx\nworker_id: wx\nnumber: 1\n"
    b"nonce: aaaaaaaa\n"
)


def entry(line: bytes) -> dict[str, bytes]:
    return {MANIFEST: b"version: 1\njobs:\n- job_id: x\n  job_type: asr\n  " + line + b"\n"}


def response(line: bytes) -> dict[str, bytes]:
    return {MANIFEST: manifest(job("x")), "gpu_jobs/job_x/response.yaml": line}


def ended(line: bytes) -> dict[str, bytes]:
    key = line.partition(b":")[0] + b":"
    kept = b"".join(part for part in ENDED.splitlines(keepends=True) if not part.startswith(key))
    return {MANIFEST: manifest(job("x")), ATTEMPT: CLAIMED, END: kept + line + b"\n"}


def claimed(line: bytes) -> dict[str, bytes]:
    key = line.partition(b":")[0] + b":"
    kept = b"".join(part for part in CLAIMED.splitlines(keepends=True) if not part.startswith(key))
    return {MANIFEST: manifest(job("x")), ATTEMPT: kept + line + b"\n"}


FILES = {
    "a version that is a list": {MANIFEST: b"version: [1]\njobs: []\n"},
    "a version that is a mapping": {MANIFEST: b"version: {a: 1}\njobs: []\n"},
    "a version of very many digits": {MANIFEST: b"version: " + HUGE + b"\njobs: []\n"},
    "a job id of very many digits": {MANIFEST: b"version: 1\njobs: [{job_id: " + HUGE + b"}]\n"},
    "a job id that is a bomb": {MANIFEST: BOMB + b"version: 1\njobs: [{job_id: *a10}]\n"},
    "epochs of very many digits": entry(b"epochs: " + HUGE),
    "epochs of many decimal digits": entry(b"epochs: " + DIGITS),
    "epochs without end": entry(b"epochs: .inf"),
    "a timeout of very many digits": entry(b"timeout: " + HUGE),
    "a timeout without end": entry(b"timeout: 1e300"),
    "a timeout in the year 1": entry(b"timeout: " + LONG_AGO),
    "a timeout in the year 9999": entry(b"timeout: '9999-12-31T23:59:59-23:00'"),
    "a submission in the year 1": entry(b"submitted_at: " + LONG_AGO),
    "a submission in the year 1, unquoted": entry(b"submitted_at: " + LONG_AGO.strip(b"'")),
    "a name with half a character": entry(b'name: "\\ud800"'),
    "a name with a NUL": entry(b'name: "a\\0b"'),
    "a NUL in the file": entry(b"name: a\0b"),
    "half a character in the file": entry(b"name: a\xed\xa0\x80b"),
    "a number above all characters": entry(b'name: "\\U00ffffff"'),
    "a value nested deeply": entry(b"new: " + DEEP),
    "a bomb of lists": {MANIFEST: BOMB + b"version: 1\njobs: [{job_id: x, job_type: asr, epochs: *a10}]\n"},
    "a bomb of long texts": {MANIFEST: LONG_BOMB + b"version: 1\njobs: [{job_id: x, n: *a7}]\n"},
    "a bomb of keys": {MANIFEST: BOMB + b"version: 1\njobs: [{job_id: x, job_type: asr, ? *a10 : 1}]\n"},
    "a manifest of commas": {MANIFEST: b"version: 1\njobs: [" + b"a," * 500_000 + b"]\n"},
    "a model that is a list": entry(b"model: [1]"),
    "a job type of very many digits": entry(b"job_type: " + HUGE),
    "a response by very many digits": response(b"worker_id: " + HUGE + b"\nstate: running\n"),
    "a response in a state of very many digits": response(b"worker_id: a\nstate: " + HUGE + b"\n"),
    "a response by a bomb": response(BOMB + b"worker_id: *a10\nstate: *a10\ntimestamp: *a10\n"),
    "a response by a list": response(b"worker_id: [1]\nstate: {a: 1}\ntimestamp: 0001-01-01\n"),
    "a response by half a character": response(b'worker_id: "\\ud800"\nstate: "\\ud800"\n'),
    "a response that is a directory": {**response(b""), "gpu_jobs/job_x/response.yaml": b"\0" * 100},
    "an end in the year 1": ended(b"ended_at: " + LONG_AGO),
    "an end without a zone": ended(b"ended_at: 2026-01-01T00:00:00"),
    "an end with epochs of very many digits": ended(b"epochs_completed: " + HUGE),
    "an end with endless epochs": ended(b"epochs_completed: .inf"),
    "an end whose result has very many digits": ended(b"result: {a: " + HUGE + b"}"),
    "an end whose result is nested deeply": ended(b"result: {a: " + DEEP + b"}"),
    "an end whose result is a bomb": ended(BOMB + b"result: {a: *a10}"),
    "an end whose message is a NUL": ended(b'message: "\\0"'),
    "an end whose message is half a character": ended(b'message: "\\ud800"'),
    "an end whose log is an option of git": ended(b"log_blob: --all"),
    "an end whose log is two refs": ended(b'log_blob: "a\\nrefs/heads/main"'),
    "an end by very many digits": ended(b"worker_id: " + HUGE),
    "an attempt in the year 1": claimed(b"claimed_at: " + LONG_AGO),
    "an attempt of very many digits": claimed(b"number: " + HUGE),
    "a job folder that is no UTF-8": {
        path.replace("job_x", "job_\udcff"): data for path, data in {ATTEMPT: CLAIMED, END: ENDED}.items()
    },
    "a job folder that is an option": {
        path.replace("job_x", "job_--all a:b~"): data for path, data in {ATTEMPT: CLAIMED, END: ENDED}.items()
    },
}  # fmt: skip


CALLS = ("look", "snapshot", "records", "history", "read_lease", "push")


def served(village: Village) -> bool:
    """Whether the innocent job was begun in the first poll."""
    code = village.serve()
    return code in {ExitCode.DONE, ExitCode.RELEASED} and ("good", "good") in village.supervisor.begun


@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_files_of_one_project_harm_no_other(files, tmp_path, caplog):
    village = Village(tmp_path, {"bad": MemoryServer(files), "good": MemoryServer(INNOCENT)})
    assert served(village)
    loud = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not loud  # each of them costs its own value, job or manifest: no project as a whole


LEASES = {
    "a lease without a zone": b"number: 1\nnonce: aaaaaaaa\nbeat: b\nat: 2026-01-01T00:00:00\n",
    "a lease in the year 1": b"number: 1\nnonce: aaaaaaaa\nbeat: b\nat: " + LONG_AGO + b"\n",
    "a lease of very many digits": b"number: " + HUGE + b"\nnonce: a\nbeat: b\nat: '2026-01-01T00:00:00Z'\n",
    "a lease of endless epochs": b"number: 1\nnonce: aaaaaaaa\nbeat: b\nat: '2026-01-01T00:00:00Z'\n"
    b"epochs_completed: 'inf'\n",
    "a lease that is a list": b"[1]",
    "a lease of zeros": b"\0" * 1000,
    "a lease that is a bomb": BOMB + b"number: *a10\n",
    "a lease that is not UTF-8": b"\xff\xfe",
}


@pytest.mark.parametrize("lease", LEASES.values(), ids=LEASES)
@pytest.mark.parametrize("files", [{MANIFEST: manifest(job("x"))}, ended(b"state: completed"), {}])
def test_leases_of_one_project_harm_no_other(lease, files, tmp_path, caplog):
    server = MemoryServer({"README.md": b"x", **files})
    for name in ("x", "a\udcffb", "--all", "x^{}", "a" * 300):
        server.refs[f"refs/gpu-jobs/{name}"] = server.add(MemoryCommit(None, {}, lease))
    village = Village(tmp_path, {"bad": server, "good": MemoryServer(INNOCENT)})
    assert served(village)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


RECORDS = {
    "a record of nothing": {"README": b""},
    "a record of zeros": {"about.yaml": b"\0" * 100, "attempt.yaml": b"\0" * 100},
    "a record of a bomb": {"about.yaml": BOMB, "attempt.yaml": BOMB},
    "a record of another job": {
        "about.yaml": b"version: 1\nsince: " + b"0" * 40,
        "attempt.yaml": CLAIMED.replace(b"job_id: x", b"job_id: y"),
    },
    "a record since nowhere": {"about.yaml": b"version: 1\nsince: " + b"0" * 40, "attempt.yaml": CLAIMED},
    "a record of a version of very many digits": {
        "about.yaml": b"version: " + HUGE + b"\nsince: " + b"0" * 40
    },
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
@pytest.mark.parametrize("files", [{MANIFEST: manifest(job("x"))}, ended(b"state: completed"), {}])
def test_records_of_one_project_harm_no_other(record, files, tmp_path, caplog):
    server = MemoryServer({"README.md": b"x", **files})
    for name in ("x", "a\udcffb", "--all", "x^{}"):
        server.refs[f"refs/gpu-records/{name}"] = server.add(MemoryCommit(None, record))
    village = Village(tmp_path, {"bad": server, "good": MemoryServer(INNOCENT)})
    assert served(village)
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "error", [ValueError("odd \ud800"), RecursionError(), MemoryError(), KeyError("x"), OSError()]
)
@pytest.mark.parametrize("call", CALLS)
def test_whatever_a_step_of_one_project_raises_is_said_once_and_the_others_go_on(
    call, error, tmp_path, caplog
):
    def fault(called: str, when: str) -> None:
        if called == call:
            raise error

    jobs = [job("x"), job("y", canceled=True), job("z", mode="sing")]
    bad = MemoryServer({MANIFEST: manifest(*jobs), ATTEMPT.replace("job_x", "job_x2"): CLAIMED})
    bad.refs["refs/gpu-jobs/x"] = bad.add(MemoryCommit(None, {}, b"held"))
    bad.refs["refs/gpu-records/y"] = bad.add(MemoryCommit(None, {"about.yaml": b"x"}))
    good = MemoryServer({MANIFEST: manifest(job("good"), job("bad-ones-are-older"))})
    village = Village(tmp_path, {"bad": bad, "good": good}, fault)
    assert served(village)
    loud = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(loud) == len(set(loud)) and all("Project bad" in line for line in loud)
