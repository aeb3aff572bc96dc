import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from codex_worker.git import peers
from codex_worker.git.peers import is_family
from tests.support.present import present

needs_proc = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs /proc")
CONNECT_AND_WAIT = "import socket, sys; s = socket.create_connection(('127.0.0.1', {port})); sys.stdin.read()"
WAIT = "import sys; print(1, flush=True); sys.stdin.read()"


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def stranger():
    """A process of ours that has nothing to do with any connection."""
    command = [sys.executable, "-c", WAIT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        present(process.stdout).readline()
        yield process.pid
        present(process.stdin).close()


@needs_proc
def test_a_process_and_whoever_started_it_are_known_by_their_connection(listener, stranger):
    script = CONNECT_AND_WAIT.format(port=listener.getsockname()[1])
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        connection, _ = listener.accept()
        with connection:
            assert is_family(process.pid, connection) and is_family(os.getpid(), connection)
            assert not is_family(stranger, connection)
        present(process.stdin).close()


@pytest.mark.parametrize("name", ["not-there", "closed"])
def test_where_nobody_can_look_everybody_passes(listener, tmp_path, monkeypatch, stranger, name):
    def closed(path):
        raise PermissionError(path)

    if name == "closed":
        monkeypatch.setattr(peers, "_holds", lambda pid, inode: closed(pid))
    else:
        monkeypatch.setattr(peers, "_TABLE", tmp_path / "net")
    with socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert is_family(stranger, connection)
