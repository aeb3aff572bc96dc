"""The environment of the child and the walls around it: what computing needs, and nothing that is secret."""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from codex_worker import cores
from codex_worker.child import landlock
from codex_worker.child.walls import Walls
from codex_worker.supervisor.another_user import groups_of, problem, user_for
from codex_worker.supervisor.reach import devices, gpus, readable
from codex_worker.supervisor.settings import RuntimeSettings

# Everything else stays behind: a variable that nobody thought of may hold a secret.
_PASSED = {
    "PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CUDA_HOME", "SSL_CERT_FILE",
    "OPENBLAS_NUM_THREADS", "PYTORCH_CUDA_ALLOC_CONF", *cores.NAMES,
    "PYTORCH_ALLOC_CONF", "TORCH_NUM_THREADS", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE",
}  # fmt: skip
_PASSED_PREFIXES = ("LC_", "CUDA_VISIBLE", "CUDA_DEVICE", "NVIDIA_", "NCCL_", "ROCR_", "HIP_")
# Folders of libraries, passed on unless the owner's credentials for a hub lie in them.
_FOLDERS = ("HF_HOME", "TORCH_HOME")
# Libraries ask for a name, and another user's number has none.
_USER = "job"
_TOKEN_FILES = ("token", "stored_tokens")


@dataclass(frozen=True)
class Equipment:
    """What a child is started with."""

    environment: Mapping[str, str]
    walls: Walls


def equipment_for(
    folder: Path,
    settings: RuntimeSettings,
    own: Mapping[str, str],
    redact: Callable[[str], str],
    added: Mapping[str, str] | None = None,
) -> Equipment:
    """What the child that works in `folder` is started with, as things are now.

    `own` are our variables, of which it gets some; `added` are its job's.
    """
    roots = [settings.handlers_root, settings.code_root]
    environment = child_environment(own, folder, roots, redact) | dict(added or {})
    return Equipment(environment, walls_around(folder, settings, environment))


def child_environment(
    own: Mapping[str, str], folder: Path, code_roots: list[Path], redact: Callable[[str], str]
) -> dict[str, str]:
    """The variables of a child that works in `folder` and imports from `code_roots`.

    A variable in which `redact` finds a secret is left out, whatever its name.
    """
    environment = {
        name: value
        for name, value in own.items()
        if (name in _PASSED or name.startswith(_PASSED_PREFIXES)) and redact(value) == value
    }
    environment.update({name: own[name] for name in _FOLDERS if name in own and _is_safe(Path(own[name]))})
    environment.update(cores.variables(environment, cores.cpu_quota()))
    environment.update(
        HOME=str(folder / "home"),
        USER=_USER,
        TMPDIR=str(folder / "tmp"),
        PYTHONPATH=":".join(dict.fromkeys(str(root) for root in code_roots)),
        PYTHONUNBUFFERED="1",
        PYTHONNOUSERSITE="1",
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TOKENIZERS_PARALLELISM="false",
    )
    return environment


def walls_around(folder: Path, settings: RuntimeSettings, environment: Mapping[str, str]) -> Walls:
    """The walls of a job that is started in `folder`."""
    for shared in settings.shared:
        with suppress(OSError):  # what isn't there when the walls rise stays closed; it may be filled later
            shared.mkdir(parents=True, exist_ok=True)
    seen = readable(settings.code_root, settings.handlers_root, settings.shared, environment)
    is_another = problem(folder, seen) is None
    return Walls(
        # Where it is started, whatever name that has by the time it raises them.
        folder=".",
        readable=seen,
        devices=devices(),
        user=user_for(folder) if is_another else None,
        reads_closed=is_another and landlock.version() > 0,
        groups=groups_of(gpus()) if is_another else (),
        memory_bytes=settings.limits.memory_bytes,
    )


def child_command(walls: Walls, read_fd: int, write_fd: int) -> list[str]:
    """-P: the job folder, which is the child's working directory, must not become a place of code."""
    command = [sys.executable, "-P", "-m", "codex_worker.child"]
    return [*command, str(read_fd), str(write_fd), walls.to_text()]


def _is_safe(folder: Path) -> bool:
    return (
        folder.is_absolute()
        and folder.is_dir()
        and not any((folder / name).exists() for name in _TOKEN_FILES)
    )
