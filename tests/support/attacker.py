"""A handler that is an attacker: it tries every way to what is not its own, and says which ways were open.

It is copied into a worker's `handlers` package, beside `targets.json`, which names what lies where. It knows
no secret: it looks for things that look like one.
"""

import ctypes
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

TARGETS = Path(__file__).with_name("targets.json")
LOOKS_LIKE_A_TOKEN = re.compile(rb"glpat-[0-9A-Za-z_-]{20}")
LOOKS_LIKE_A_RECORDING = b"RIFF"
WORLD = Path("/proc")
PTRACE_SEIZE, CLONE_NEWUSER, CLONE_NEWNS = 0x4206, 0x10000000, 0x00020000
libc = ctypes.CDLL(None, use_errno=True)


def run(job: Any, callbacks: Any) -> dict[str, Any]:
    """Tries them all; the result names those that succeeded, and what made them fail."""
    targets = json.loads(TARGETS.read_text())
    attack = Attack(callbacks, targets)
    succeeded, tried = [], {}
    for name in [name for name in vars(Attack) if name.startswith("to_")]:  # those that destroy come late
        try:
            tried[name] = "yes" if getattr(attack, name)() else "found nothing"
        except Exception as error:
            tried[name] = f"{type(error).__name__}: {error}"[:200]
        if tried[name] == "yes":
            succeeded.append(name)
    return {"succeeded": succeeded, "tried": tried, "user": os.getuid(), "pid": os.getpid()}


class Attack:
    """Each method answers whether it got what it wanted; an exception says that it did not."""

    def __init__(self, callbacks: Any, targets: dict[str, str]) -> None:
        self.callbacks = callbacks
        self.folder: Path = callbacks.get_work_dir()
        self.targets = targets
        self.parents = list(_parents())

    # Secrets

    def to_a_token_in_my_own_environment(self) -> bool:
        return has_token(Path("/proc/self/environ").read_bytes())

    def to_a_token_in_the_environment_of_others(self) -> bool:
        return any(has_token(content) for content in read_all(WORLD.glob("[0-9]*/environ")))

    def to_a_token_in_command_lines(self) -> bool:
        return any(has_token(content) for content in read_all(WORLD.glob("[0-9]*/cmdline")))

    def to_a_token_in_the_memory_of_my_parents(self) -> bool:
        return any(has_token(memory) for parent in self.parents for memory in memories(parent))

    def to_a_token_by_reading_with_process_vm_readv(self) -> bool:
        buffer = ctypes.create_string_buffer(64)
        here = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 64)
        return any(
            libc.process_vm_readv(parent, here, 1, (ctypes.c_void_p * 2)(start, 64), 1, 0) > 0
            for parent in self.parents
            for start in (0x400000, id(self))
        )

    def to_my_parents_with_ptrace(self) -> bool:
        return any(libc.ptrace(PTRACE_SEIZE, parent, 0, 0) == 0 for parent in self.parents)

    def to_open_files_of_others(self) -> bool:
        mine = WORLD / str(os.getpid())
        return any(
            has_token(content) or LOOKS_LIKE_A_RECORDING in content
            for content in read_all(p for p in WORLD.glob("[0-9]*/fd/*") if not p.is_relative_to(mine))
        )

    def to_the_secrets_file(self) -> bool:
        return has_token(Path(self.targets["secrets"]).read_bytes())

    def to_the_secrets_file_by_a_link(self) -> bool:
        link = self.folder / "link"
        link.symlink_to(self.targets["secrets"])
        return has_token(link.read_bytes())

    def to_the_secrets_file_by_a_hard_link(self) -> bool:
        link = self.folder / "hard"
        os.link(self.targets["secrets"], link)
        return has_token(link.read_bytes())

    def to_the_secrets_file_by_my_root(self) -> bool:
        return has_token(Path(f"/proc/self/root{self.targets['secrets']}").read_bytes())

    def to_the_secrets_file_through_my_parents(self) -> bool:
        return any(
            has_token(content)
            for content in read_all(Path(f"/proc/{p}/root{self.targets['secrets']}") for p in self.parents)
        )

    def to_the_secrets_file_by_another_program(self) -> bool:
        return has_token(subprocess.run(["cat", self.targets["secrets"]], capture_output=True).stdout)

    def to_the_secrets_file_by_moving_it(self) -> bool:
        Path(self.targets["secrets"]).rename(self.folder / "moved")
        return True

    def to_the_secrets_file_by_publishing_a_link(self) -> bool:
        (self.folder / "report.csv").symlink_to(self.targets["secrets"])
        self.callbacks.scanner.publish_artifact(self.folder / "report.csv", "report")
        return True

    def to_the_secrets_file_by_publishing_its_path(self) -> bool:
        self.callbacks.scanner._line.call("publish_artifact", file=self.targets["secrets"], folder="report")
        return True

    def to_a_shell_of_root(self) -> bool:
        return subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0

    def to_being_root_again(self) -> bool:
        if os.getuid() == 0:
            return has_token(Path(self.targets["secrets"]).read_bytes())
        os.setresuid(0, 0, 0)
        return True

    # Other projects

    def to_a_recording_of_another_job(self) -> bool:
        return LOOKS_LIKE_A_RECORDING in Path(self.targets["recording"]).read_bytes()

    def to_a_recording_in_the_cache(self) -> bool:
        return LOOKS_LIKE_A_RECORDING in Path(self.targets["cached"]).read_bytes()

    def to_the_names_in_the_cache(self) -> bool:
        return any(Path(self.targets["cached"]).parent.iterdir())

    def to_a_clone_of_another_project(self) -> bool:
        return any(Path(self.targets["clone"]).iterdir())

    # Files outside

    def to_a_hook_in_a_clone(self) -> bool:
        return wrote(Path(self.targets["clone"]) / "hooks/reference-transaction")

    def to_the_configuration_of_a_clone(self) -> bool:
        return wrote(Path(self.targets["clone"]) / "config")

    def to_the_work_folder(self) -> bool:
        return wrote(self.folder.parent / "projects.json")

    def to_the_notes(self) -> bool:
        return wrote(self.folder.parent / "notes" / self.folder.name / "attempt.json")

    def to_my_own_log(self) -> bool:
        """As the notes have it; what the folder shows is only its second name."""
        return wrote(self.folder.parent / "notes" / self.folder.name / "logs.txt")

    def to_the_home_of_the_user(self) -> bool:
        return wrote(Path(self.targets["home"]) / ".profile")

    def to_temporary_files_of_all(self) -> bool:
        return any(wrote(Path(place) / f"left-{os.getpid()}") for place in ("/tmp", "/var/tmp", "/dev/shm"))

    def to_the_code(self) -> bool:
        return wrote(Path(self.targets["code"]) / "handlers/__init__.py")

    def to_the_code_of_the_worker(self) -> bool:
        return wrote(Path(sys.modules["codex_worker"].__file__ or "").with_name("left_behind.py"))

    def to_the_interpreter(self) -> bool:
        return wrote(Path(os.__file__).with_name("left_behind.py"))

    def to_a_file_by_cutting_it(self) -> bool:
        os.truncate(self.targets["secrets"], 0)
        return True

    def to_a_file_by_removing_it(self) -> bool:
        Path(self.targets["recording"]).unlink()
        return True

    def to_the_disk_itself(self) -> bool:
        os.mknod(self.folder / "disk", 0o600 | 0o060000, os.makedev(8, 0))
        return bool(os.open(self.folder / "disk", os.O_RDONLY))

    # Network and other processes

    def to_a_server(self) -> bool:
        with socket.create_connection(("127.0.0.1", int(self.targets["port"])), timeout=2):
            return True

    def to_a_server_without_a_connection(self) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            return line.sendto(b"secret", ("127.0.0.1", int(self.targets["port"]))) > 0

    def to_a_port_of_my_own(self) -> bool:
        with socket.socket() as line:
            line.bind(("127.0.0.1", 0))
            return True

    def to_a_local_service(self) -> bool:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self.targets["service"])
            return True

    def to_another_process_by_a_signal(self) -> bool:
        os.kill(int(self.targets["bystander"]), signal.SIGCONT)
        return True

    def to_my_keeper_by_a_signal(self) -> bool:
        os.kill(os.getppid(), signal.SIGCONT)
        return True

    def to_a_world_of_my_own(self) -> bool:
        return libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0

    def to_the_keys_of_the_kernel(self) -> bool:
        return int(libc.syscall(250, 0, -3, 1, 0, 0)) >= 0 if sys.platform == "linux" else False

    def to_a_ring_of_the_kernel(self) -> bool:
        parameters = ctypes.create_string_buffer(256)
        return int(libc.syscall(425, 1, parameters)) >= 0

    # Outliving: not a success yet; the test looks whether anything is left

    def to_outlive_in_a_session_of_my_own(self) -> bool:
        process = subprocess.Popen(["sleep", "600"], start_new_session=True)
        self._note(process.pid)
        return False

    def to_outlive_by_forking_twice(self) -> bool:
        first = os.fork()
        if first == 0:
            os.setsid()
            left = os.fork()
            if left == 0:
                os.setsid()
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):
                    signal.signal(number, signal.SIG_IGN)
                while True:
                    time.sleep(600)
            self._note(left)
            os._exit(0)
        os.waitpid(first, 0)
        return False

    def _note(self, process: int) -> None:
        with (self.folder / "left").open("a") as file:
            file.write(f"{process}\n")


def has_token(content: bytes) -> bool:
    """Whether something in it looks like a token."""
    return LOOKS_LIKE_A_TOKEN.search(content) is not None


def wrote(path: Path) -> bool:
    """Whether something could be written there; False where that is refused."""
    is_new = not path.exists()
    with suppress(OSError):
        with path.open("ab") as file:
            file.write(b"x")
        if is_new:
            path.unlink()
        return True
    return False


def read_all(paths: Iterator[Path]) -> Iterator[bytes]:
    """The beginnings of all that can be read."""
    mine = WORLD / str(os.getpid())
    for path in paths:
        if path.is_relative_to(mine):
            continue
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                yield os.read(descriptor, 1 << 20)
            finally:
                os.close(descriptor)


def memories(process: int) -> Iterator[bytes]:
    """What can be read of a process's memory."""
    with suppress(OSError), Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            start, end = (int(each, 16) for each in line.split()[0].split("-"))
            with suppress(OSError, ValueError, OverflowError):
                memory.seek(start)
                yield memory.read(min(end - start, 64 << 20)) or b""


def _parents() -> Iterator[int]:
    process = os.getppid()
    while process > 1:
        yield process
        try:
            process = int((WORLD / str(process) / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.EACCES, errno.EPERM}:
                raise
            return
