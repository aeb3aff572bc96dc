"""What a child may reach: the interpreter, code, system libraries, weights, devices, and its own folder."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# Of an installation only what holds code: a work folder or a file of secrets may lie in the same place.
_OF_AN_INSTALLATION = ("bin", "include", "lib", "lib64", "libexec", "share", "pyvenv.cfg", "targets", "nvvm")
_OF_THE_CODE = ("codex_worker", "patches")
_HANDLERS = "handlers"
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/sbin", "/nix/store", "/gnu/store", "/sys",
    # Of /proc only this: other processes of the same user show their environment there. What a handler
    # starts sees less still, for "self" is the job's own process.
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys", "/proc/driver",
    "/proc/devices", "/proc/version", "/proc/filesystems", "/proc/modules", "/proc/uptime", "/proc/loadavg",
    # Of /etc only this: people keep secrets there.
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/alternatives",
    "/etc/localtime", "/etc/timezone", "/etc/os-release", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
    "/etc/mime.types", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/OpenCL", "/etc/vulkan",
    "/run/opengl-driver", "/run/nvidia",
)  # fmt: skip
_DEVICES = ("null", "zero", "full", "random", "urandom")
GPUS = ("nvidia*", "nvidia-caps/*", "dri/*", "kfd")


def readable(
    code_root: Path, handlers_root: Path, shared: Iterable[Path], environment: Mapping[str, str]
) -> tuple[str, ...]:
    """What a child reads: code and what it is made of, and what all jobs share (weights)."""
    found = [*_SYSTEM, *(str(code_root / name) for name in _OF_THE_CODE), str(handlers_root / _HANDLERS)]
    for place in (sys.prefix, sys.exec_prefix, sys.base_prefix, environment.get("CUDA_HOME", "")):
        found += [str(Path(place) / name) for name in _OF_AN_INSTALLATION if place]
    found += [place for place in sys.path if Path(place).name in {"site-packages", "dist-packages"}]
    found += [place for place in environment.get("LD_LIBRARY_PATH", "").split(":") if place]
    found = [place for place in found if Path(place).exists()]
    # These may be filled while the job runs.
    found += [str(place) for folder in shared for place in _with_targets(folder)]
    return tuple(dict.fromkeys(found))


def devices(dev: Path = Path("/dev")) -> tuple[str, ...]:
    """The devices that a child uses."""
    return (*(str(dev / name) for name in _DEVICES), *map(str, gpus(dev)))


def gpus(dev: Path = Path("/dev")) -> list[Path]:
    """The devices of graphics processors."""
    return [path for pattern in GPUS for path in sorted(dev.glob(pattern)) if not path.is_dir()]


def _with_targets(folder: Path) -> Iterator[Path]:
    """A folder, and where its links lead to: people link large files into it."""
    yield folder
    for path in sorted(folder.glob("*")) + sorted(folder.glob("*/*")) + sorted(folder.glob("*/*/*")):
        if path.is_symlink():
            yield path.resolve()
