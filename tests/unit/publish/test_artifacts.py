"""Models go to the large-file store, small text as it is, and no path is used twice."""

import pytest

from codex_worker.errors import DataError, SystemFault
from codex_worker.git.lfs.pointer import parse_pointer, pointer_for
from codex_worker.publish.artifacts import publish_artifact


def publish(project, name: str, content: bytes, folder: str = "checkpoint") -> str:
    file = project.folder / name
    file.write_bytes(content)
    return publish_artifact(project.owned, project.store, file, folder)


def test_a_model_is_committed_as_a_pointer_after_its_upload(open_fixture):
    project = open_fixture({})
    path = publish(project, "voice.safetensors", b"\0weights")
    assert path == f"gpu_jobs/job_one/checkpoint/voice-{project.owned.attempt.name}.safetensors"
    pointer = parse_pointer(project.files()[path])
    assert pointer == pointer_for(project.folder / "voice.safetensors")
    assert project.store.objects[pointer] == b"\0weights"


def test_a_small_text_is_committed_as_it_is(open_fixture):
    project = open_fixture({})
    path = publish(project, "data.html", "<p>kìkà</p>".encode(), "report")
    assert project.files()[path] == "<p>kìkà</p>".encode()
    assert project.store.objects == {}


def test_a_path_is_never_used_twice(open_fixture):
    project = open_fixture({})
    first = publish(project, "data.html", b"one", "report")
    second = publish(project, "data.html", b"two", "report")
    assert second == first.replace(".html", "-2.html")
    assert project.files()[first] == b"one"
    assert project.files()[second] == b"two"


def test_the_same_bytes_again_are_where_they_were(open_fixture):
    project = open_fixture({})
    first = publish(project, "voice.safetensors", b"weights")
    commits = project.commits()
    assert publish(project, "voice.safetensors", b"weights") == first
    assert project.commits() == commits


@pytest.mark.parametrize(("name", "content"), [("empty.csv", b""), ("model.tar.gz", b"archive")])
def test_what_a_project_would_lose_is_refused(open_fixture, name, content):
    project = open_fixture({})
    with pytest.raises(DataError):
        publish(project, name, content)
    assert project.store.objects == {}


def test_an_artifact_stays_in_the_jobs_own_folders(open_fixture):
    project = open_fixture({})
    with pytest.raises(SystemFault, match="goes to one of"):
        publish(project, "a.csv", b"a", "workers")
