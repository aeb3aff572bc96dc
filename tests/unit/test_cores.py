"""Threads that wait sleep, and are no more than the cores that a process may use."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codex_worker import cores
from codex_worker.supervisor.sandbox import child_environment
from tests.support.jobs import ROOT, Stage

ASLEEP = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    "KMP_BLOCKTIME": "0",
    "OPENBLAS_THREAD_TIMEOUT": "4",
}
PLAIN = {name: value for name, value in os.environ.items() if name not in cores.NAMES}


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})


@pytest.mark.parametrize(
    ("own", "quota", "expected"),
    [
        ({}, None, ASLEEP),
        ({"HOME": "/root", "GITLAB_TOKEN": "secret"}, None, ASLEEP),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, None, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "100"}, None, {**ASLEEP, "GOMP_SPINCOUNT": "100"}),
        ({"KMP_BLOCKTIME": "200"}, None, {**ASLEEP, "KMP_BLOCKTIME": "200"}),
        ({}, 2.0, {**ASLEEP, "OMP_NUM_THREADS": "2"}),
        ({}, 1.5, {**ASLEEP, "OMP_NUM_THREADS": "2"}),
        ({}, 0.25, {**ASLEEP, "OMP_NUM_THREADS": "1"}),
        ({}, 4.0, ASLEEP),
        ({}, 64.0, ASLEEP),
        ({"OMP_NUM_THREADS": "3"}, 2.0, {**ASLEEP, "OMP_NUM_THREADS": "3"}),
        ({"MKL_NUM_THREADS": "3"}, 2.0, {**ASLEEP, "MKL_NUM_THREADS": "3"}),
    ],
)
@pytest.mark.usefixtures("four_cores")
def test_threads_wait_asleep_and_fit_the_quota_unless_the_operator_says_otherwise(own, quota, expected):
    assert cores.variables(own, quota) == expected


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("0::/\n", {"cpu.max": "nonsense\n"}, None),
        ("0::/work/job\n", {"work/job/cpu.max": "400000 100000\n", "work/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/work/job\n", {"work/job/cpu.max": "max 100000\n", "cpu.max": "300000 100000\n"}, 3.0),
        ("0::/docker/0123\n", {"cpu.max": "50000 100000\n"}, 0.5),  # the host's path, seen from inside
        (
            "4:cpu,cpuacct:/docker/0123\n3:memory:/docker/0123\n",
            {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            2.0,
        ),
        (
            "4:cpu,cpuacct:/a\n",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "50000\n"},
            1.0,
        ),
        ("1:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("2:cpuacct:/\n1:cpuset:/\n", {"cpu.max": "100000 100000\n"}, None),
        (None, {"cpu.max": "100000 100000\n"}, None),
    ],
)
def test_the_quota_is_that_of_the_tightest_group(tmp_path, groups, files, expected):
    if groups is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert cores.cpu_quota(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [(None, 4), (2.0, 2), (2.5, 3), (0.1, 1), (16.0, 4)])
@pytest.mark.usefixtures("four_cores")
def test_pools_have_as_many_threads_as_the_process_may_use_cores(monkeypatch, quota, expected):
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    assert cores.count() == expected


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, ASLEEP),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"OMP_NUM_THREADS": "7", "GOMP_SPINCOUNT": "9"},
         {**ASLEEP, "OMP_NUM_THREADS": "7", "GOMP_SPINCOUNT": "9"}),
    ],
)  # fmt: skip
def test_the_environment_of_a_real_child_says_so(tmp_path, own, expected):
    stage = Stage(
        tmp_path,
        "lines = Path('/proc/self/environ').read_text().split(chr(0))\n"
        "return {'metrics': {}, 'notes': [line for line in lines if line]}",
    )
    stage.environment |= own
    stage.start()
    stage.finish()
    notes = stage.response()["result"]["notes"]
    told = dict(line.split("=", 1) for line in notes)
    assert {name: told[name] for name in cores.NAMES if name in told} == expected


@pytest.mark.parametrize(
    ("own", "policy", "spins"),
    [({}, "PASSIVE", "0"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE", "30000000000"),
     ({"GOMP_SPINCOUNT": "42"}, "PASSIVE", "42")],
)  # fmt: skip
def test_torchs_own_library_of_threads_takes_it_over(tmp_path, own, policy, spins):
    found = importlib.util.find_spec("torch")
    assert found is not None and found.origin is not None
    library = next((Path(found.origin).parent / "lib").glob("libgomp*"), None)
    if library is None:
        pytest.skip("this torch brings no libgomp of its own")
    environment = child_environment(own, tmp_path, [ROOT], str) | {"OMP_DISPLAY_ENV": "VERBOSE"}
    done = subprocess.run(
        [sys.executable, "-c", f"import ctypes; ctypes.CDLL({str(library)!r})"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = done.stderr.replace(" ", "")
    assert f"OMP_WAIT_POLICY='{policy}'" in said and f"GOMP_SPINCOUNT='{spins}'" in said


ENTRANCES = {
    "a command": "from codex_worker.cli.main import main; main(['export', '/nowhere', '/nowhere'])",
    "a benchmark": "import bench.w2v2bert",
    "the sample": "import sample.make_codex_project",
    "the tests": "import tests.conftest",
}
# Torch itself is not needed for that, and takes seconds.
SEEN = """
import os, sys
class Torch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("torch comes after", os.environ.get("OMP_WAIT_POLICY"))
            raise ImportError("this is enough")
sys.meta_path.insert(0, Torch())
try:
    {code}
except ImportError:
    pass
print("now it is", os.environ.get("OMP_WAIT_POLICY"))
"""


@pytest.mark.parametrize("code", ENTRANCES.values(), ids=ENTRANCES)
def test_it_is_settled_before_torch_wherever_something_computes(code):
    done = subprocess.run(
        [sys.executable, "-c", SEEN.format(code=code)],
        env=PLAIN, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "now it is PASSIVE"
    assert "None" not in done.stdout
