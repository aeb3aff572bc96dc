"""Models go to the large-file store, small text as it is, and no path is used twice."""

import pytest

from codex_worker.errors import DataError, SystemFault
from codex_worker.git.lfs.pointer import parse_pointer, pointer_for
from codex_worker.publish.artifacts import publish_artifact


def publish(desk, name: str, content: bytes, folder: str = "checkpoint") -> str:
    file = desk.folder / name
    file.write_bytes(content)
    return publish_artifact(desk.owned, desk.store, file, folder)


def test_a_model_is_committed_as_a_pointer_after_its_upload(open_desk):
    desk = open_desk({})
    path = publish(desk, "voice.safetensors", b"\0weights")
    assert path == f"gpu_jobs/job_one/checkpoint/voice-{desk.owned.attempt.name}.safetensors"
    pointer = parse_pointer(desk.files()[path])
    assert pointer == pointer_for(desk.folder / "voice.safetensors")
    assert desk.store.objects[pointer] == b"\0weights"


def test_a_small_text_is_committed_as_it_is(open_desk):
    desk = open_desk({})
    path = publish(desk, "data.html", "<p>kìkà</p>".encode(), "report")
    assert desk.files()[path] == "<p>kìkà</p>".encode()
    assert desk.store.objects == {}


def test_a_path_is_never_used_twice(open_desk):
    desk = open_desk({})
    first = publish(desk, "data.html", b"one", "report")
    second = publish(desk, "data.html", b"two", "report")
    assert second == first.replace(".html", "-2.html")
    assert desk.files()[first] == b"one"
    assert desk.files()[second] == b"two"


def test_the_same_bytes_again_are_where_they_were(open_desk):
    desk = open_desk({})
    first = publish(desk, "voice.safetensors", b"weights")
    commits = desk.commits()
    assert publish(desk, "voice.safetensors", b"weights") == first
    assert desk.commits() == commits


@pytest.mark.parametrize(("name", "content"), [("empty.csv", b""), ("model.tar.gz", b"archive")])
def test_what_a_project_would_lose_is_refused(open_desk, name, content):
    desk = open_desk({})
    with pytest.raises(DataError):
        publish(desk, name, content)
    assert desk.store.objects == {}


def test_an_artifact_stays_in_the_jobs_own_folders(open_desk):
    desk = open_desk({})
    with pytest.raises(SystemFault, match="goes to one of"):
        publish(desk, "a.csv", b"a", "workers")
