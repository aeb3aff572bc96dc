"""Which walls around a job this machine has, in an operator's words."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from codex_worker.child import landlock, seccomp
from codex_worker.child.keeper import can_adopt
from codex_worker.supervisor.another_user import problem, user_for
from codex_worker.supervisor.machine import Condition
from codex_worker.supervisor.reach import readable
from codex_worker.supervisor.settings import RuntimeSettings

_TCP_SINCE, _SIGNALS_SINCE = 4, 6
_NEWER_LINUX = (
    "Use Linux {} or newer with Landlock among its security modules (/sys/kernel/security/lsm); a container "
    "needs a seccomp profile that allows it. docs/security.md says what is open without it."
)


def walls_here(settings: RuntimeSettings, environment: Mapping[str, str]) -> Iterator[Condition]:
    """A condition for each wall. One that is missing has a remedy; no job is refused for it."""
    version, filters = landlock.version(), seccomp.is_here()
    seen = readable(settings.code_root, settings.handlers_root, settings.shared, environment)
    yield _files(version, settings.work_dir, seen)
    yield _network(version, filters)
    yield _processes(version)
    yield _user(settings.work_dir / "job", seen)
    yield _leftovers()


def _files(version: int, work_dir: Path, seen: tuple[str, ...]) -> Condition:
    if version == 0:
        return Condition(
            "wall: files", "none, a job reads and writes what its user can", _NEWER_LINUX.format("5.13")
        )
    place = work_dir.resolve()
    around = next((each for each in seen if place.is_relative_to(each)), None)
    if around is not None:
        return Condition(
            "wall: files",
            f"Landlock {version}, but the work directory {place} lies in {around}, which jobs may read",
            "Give another one by --work-dir.",
        )
    return Condition(
        "wall: files",
        f"Landlock {version}: a job reads code, weights and its inputs, and writes only in its own folder",
    )


def _network(version: int, filters: bool) -> Condition:
    if filters:
        return Condition("wall: network", "seccomp: a job opens no connection of any kind")
    if version >= _TCP_SINCE:
        return Condition(
            "wall: network", f"Landlock {version}: no TCP", "Other kinds are open without seccomp."
        )
    return Condition("wall: network", "none, a job can connect to anything", _NEWER_LINUX.format("6.7"))


def _processes(version: int) -> Condition:
    if version >= _SIGNALS_SINCE:
        return Condition(
            "wall: processes", f"Landlock {version}: a job neither looks into others nor ends them"
        )
    return Condition(
        "wall: processes",
        "a job can end other processes of its user"
        + ("" if version else ", and look into those that do not forbid it"),
        _NEWER_LINUX.format("6.12"),
    )


def _user(folder: Path, seen: tuple[str, ...]) -> Condition:
    why = problem(folder, seen)
    if why is None:
        return Condition("wall: user", f"a job runs as a user of its own (such as {user_for(folder)})")
    return Condition("wall: user", f"a job runs as the worker's own user, because {why}")


def _leftovers() -> Condition:
    with suppress(OSError):
        can_adopt()
        return Condition("wall: leftovers", "everything that a job starts ends with it")
    return Condition("wall: leftovers", "what a job starts in a session of its own outlives it", "Use Linux.")
