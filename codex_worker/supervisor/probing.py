"""Asks a short process whether this machine can compute, as a job's process will have to."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex_worker.supervisor.machine import Condition
from codex_worker.supervisor.sandbox import equipment_for
from codex_worker.supervisor.settings import RuntimeSettings

# Loading torch from a cold disk takes a minute; a driver that hangs takes for ever.
PROBE_LIMIT_S = 300.0
COMMAND = (sys.executable, "-P", "-m", "codex_worker.child.probe")
_MOST_SAID = 600
_GONE_WITHIN_S = 5.0


@dataclass(frozen=True)
class Computing:
    """What a job's process would compute with. `error`: why it could not, as a clause."""

    device: str = "cpu"
    name: str = ""
    memory_bytes: int = 0
    capability: str = ""
    torch: str = ""
    uuid: str = ""  # the GPU's own, without what NVML writes before it
    error: str = ""


def probe_computing(
    environment: Mapping[str, str],
    settings: RuntimeSettings,
    redact: Callable[[str], str],
    limit_s: float = PROBE_LIMIT_S,
) -> Computing:
    """Runs the probe as a job's process: no token, the same libraries and walls. May raise OSError."""
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=settings.work_dir) as name:
        folder = Path(name)
        (folder / "home").mkdir()
        (folder / "tmp").mkdir()
        equipment = equipment_for(folder, settings, environment, redact)
        process = subprocess.Popen(
            (*COMMAND, equipment.walls.to_text()),
            cwd=folder,
            env=equipment.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            output, complaints = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            _end(process)
            return Computing(error=f"loading torch and multiplying took more than {limit_s:.0f} s")
    return read_answer(output, process.returncode, redact(complaints.decode(errors="replace")))


def read_answer(output: bytes, return_code: int, complaints: str) -> Computing:
    """What the probe's output says; libraries may have written other lines before its last one."""
    lines = output.decode(errors="replace").strip().splitlines()
    try:
        found: Any = json.loads(lines[-1])
        if return_code == 0 and isinstance(found, dict):
            return _computing(found)
    except (IndexError, ValueError, TypeError):
        pass  # it came to no answer, and its end says why
    said = f" ({' '.join(complaints.split())[-_MOST_SAID:]})" if complaints.strip() else ""
    if return_code < 0:
        return Computing(error=f"the test process crashed with signal {-return_code}{said}")
    return Computing(error=f"the test process ended without an answer, with exit code {return_code}{said}")


def computing_condition(found: Computing, driver_sees: str | None, allow_cpu: bool) -> Condition:
    """What follows from a probe; `driver_sees` is what nvidia-smi lists, None where there is none."""
    if found.error:
        return Condition(
            "computing", found.error,
            "Install the worker's requirements again, with a torch that fits the driver.", is_fatal=True,
        )  # fmt: skip
    if found.device != "cpu":
        gb = found.memory_bytes / 1e9
        return Condition(
            "computing",
            f"{found.name}, {gb:.0f} GB, capability {found.capability}, multiplies as the processor does "
            f"(torch {found.torch})",
        )
    if allow_cpu:
        return Condition("computing", f"no GPU; the processor does all jobs, slowly (torch {found.torch})")
    if driver_sees and driver_sees.strip():
        gpus = "; ".join(" ".join(line.split()) for line in driver_sees.splitlines() if line.strip())
        return Condition(
            "computing", f"the driver sees {gpus}, but torch {found.torch} cannot use it",
            "Install a torch that fits the driver, or a newer driver. "
            "With --allow-cpu the processor does jobs of the full preset, which takes days.",
            stops_full=True,
        )  # fmt: skip
    return Condition(
        "computing", "there is no GPU that torch can use, and jobs of the full preset need one",
        "Use a machine with a GPU, and start containers with --gpus all. "
        "With --allow-cpu the processor does these jobs, which takes days.",
        stops_full=True,
    )  # fmt: skip


def _computing(found: Mapping[str, Any]) -> Computing:
    error = str(found.get("error") or "")
    if not error and found.get("agrees") is not True:
        device = found.get("name") or found.get("device")
        error = f"{device} multiplies wrongly: its products differ from the processor's"
    return Computing(
        device=str(found.get("device", "cpu")),
        name=str(found.get("name", "")),
        memory_bytes=int(found.get("memory_bytes") or 0),
        capability=str(found.get("capability", "")),
        torch=str(found.get("torch", "")),
        uuid=str(found.get("uuid", "")),
        error=error,
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kills it with all it started; one that hangs in a driver can't be waited for."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GONE_WITHIN_S)
