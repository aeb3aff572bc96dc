import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codex_worker.errors import DataError, ResourceError
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.pointer import Pointer
from tests.support.present import present


def pointer_to(content: bytes) -> Pointer:
    return Pointer(hashlib.sha256(content).hexdigest(), len(content))


def put(cache: LfsCache, content: bytes, *, used_at: int | None = None) -> Pointer:
    pointer = pointer_to(content)
    with cache.receive(pointer) as writer:
        writer.write(content)
    if used_at is not None:
        os.utime(cache.path_of(pointer), (used_at, used_at))
    return pointer


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]


def test_what_was_received_is_found_again(tmp_path):
    pointer = put(LfsCache(tmp_path, 1000), b"speech")
    found = LfsCache(tmp_path, 1000).find(pointer)
    assert found is not None
    assert found.read_bytes() == b"speech"


@pytest.mark.parametrize(
    ("written", "complaint"), [(b"speecH", "damaged"), (b"spee", "4 bytes"), (b"speech and more", "longer")]
)
def test_wrong_bytes_never_become_an_object(tmp_path, written, complaint):
    cache = LfsCache(tmp_path, 1000)
    pointer = pointer_to(b"speech")
    with pytest.raises(DataError, match=complaint), cache.receive(pointer) as writer:
        writer.write(written)
    assert cache.find(pointer) is None
    assert files_in(tmp_path) == []


def test_an_interrupted_write_leaves_nothing_behind(tmp_path):
    cache = LfsCache(tmp_path, 1000)
    with pytest.raises(KeyboardInterrupt), cache.receive(pointer_to(b"speech")) as writer:
        writer.write(b"spe")
        raise KeyboardInterrupt
    assert files_in(tmp_path) == []


def test_the_least_recently_used_objects_make_room(tmp_path):
    cache = LfsCache(tmp_path, 100)
    oldest = put(cache, b"a" * 40, used_at=1000)
    older = put(cache, b"b" * 40, used_at=2000)
    cache.find(oldest)  # a use of it: the other one is now the oldest
    newest = put(cache, b"c" * 40)
    assert [cache.find(pointer) is not None for pointer in (oldest, older, newest)] == [True, False, True]


def test_what_is_held_stays_even_over_the_limit(tmp_path, caplog):
    cache = LfsCache(tmp_path, 100)
    held = [put(cache, b"a" * 40, used_at=1000), pointer_to(b"b" * 40), pointer_to(b"c" * 40)]
    with cache.hold(held):
        put(cache, b"b" * 40)
        put(cache, b"c" * 40)
        assert all(cache.find(pointer) for pointer in held)
        assert "running jobs need them all" in caplog.text
    cache.make_room()
    assert sum(cache.find(pointer) is not None for pointer in held) == 2


def test_another_process_respects_a_hold_until_its_holder_is_killed(tmp_path):
    cache = LfsCache(tmp_path, 100)
    pointer = put(cache, b"a" * 80, used_at=1000)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib\n"
            "from codex_worker.git.lfs.cache import LfsCache\n"
            "from codex_worker.git.lfs.pointer import Pointer\n"
            f"with LfsCache(pathlib.Path(sys.argv[1]), 100).hold([Pointer({pointer.oid!r}, 80)]):\n"
            "    print('held', flush=True); sys.stdin.read()\n",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert present(holder.stdout).readline() == b"held\n"
        os.utime(cache.path_of(pointer), (1000, 1000))
        first = put(cache, b"b" * 40)
        assert cache.path_of(pointer).exists()
        assert not cache.path_of(first).exists()
        holder.kill()
    put(cache, b"c" * 40)
    assert not cache.path_of(pointer).exists()


def test_two_caches_on_one_folder_keep_one_limit(tmp_path):
    ours, theirs = LfsCache(tmp_path, 1000), LfsCache(tmp_path, 1000)
    for number in range(40):
        put(ours if number % 2 else theirs, b"%040d" % number)
    total_bytes = sum(path.stat().st_size for path in files_in(tmp_path / "objects"))
    # Each counts anew after a twentieth of the limit, so together they are at most that much over.
    assert total_bytes <= 1000 + 2 * (50 + 40)
    ours.make_room()
    assert sum(path.stat().st_size for path in files_in(tmp_path / "objects")) <= 1000


def test_an_object_larger_than_the_cache_is_refused_before_a_byte_is_written(tmp_path):
    with pytest.raises(DataError, match="keeps at most 100 bytes"):
        put(LfsCache(tmp_path, 100), b"a" * 101)


def test_half_written_objects_of_killed_workers_are_removed_at_the_next_start(tmp_path):
    LfsCache(tmp_path, 100)
    (tmp_path / "incoming").mkdir()
    abandoned, in_progress = tmp_path / "incoming" / "abandoned", tmp_path / "incoming" / "in-progress"
    abandoned.write_bytes(b"half")
    in_progress.write_bytes(b"half")
    os.utime(abandoned, (1000, 1000))
    LfsCache(tmp_path, 100)
    assert not abandoned.exists()
    assert in_progress.exists()


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full to stand for a full disk"
)
def test_a_full_disk_is_named(tmp_path):
    cache = LfsCache(tmp_path, 1000)
    pointer = pointer_to(b"speech")
    with (
        pytest.raises(ResourceError, match="disk is full"),
        cache.receive(pointer),
        Path("/dev/full").open("wb") as full,
    ):
        full.write(b"speech")
        full.flush()
    assert cache.find(pointer) is None
