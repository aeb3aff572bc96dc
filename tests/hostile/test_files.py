"""Files that a hostile child hands over, or puts in the way of what the worker writes for it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from codex_worker.errors import SystemFault
from codex_worker.supervisor import job_folder
from codex_worker.supervisor.job_folder import MAX_METRICS_BYTES, JobFolder

SECRET = "GITLAB_TOKEN=not-yours"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text(SECRET)
    with JobFolder.create(tmp_path / "work", "a", "1-0000abcd") as opened:
        yield opened


@pytest.fixture
def outside(tmp_path) -> Path:
    return tmp_path / "outside"


def test_what_a_child_hands_over_stays_what_it_was_whatever_takes_its_place(folder, outside):
    (folder.path / "model.csv").write_text("a model")
    handed = folder.file("model.csv")
    (folder.path / "model.csv").unlink()
    (folder.path / "model.csv").symlink_to(outside / "secret")
    assert handed.name == "model.csv" and handed.read_text() == "a model"
    assert not handed.is_relative_to(folder.path)
    folder.let_go()
    assert not handed.exists()


def test_a_disk_without_hard_links_is_copied_on(folder, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (folder.path / "model.csv").write_text("a model")
    monkeypatch.setattr(job_folder.os, "link", refuse)
    assert folder.file("model.csv").read_text() == "a model"


def link_twice(place: Path, outside: Path) -> None:
    place.with_name("other").symlink_to(outside / "secret")
    place.symlink_to("other")


PLANTED: dict[str, Callable[[Path, Path], None]] = {
    "a link": lambda place, outside: place.symlink_to(outside / "secret"),
    "a link to a link": link_twice,
    "a pipe": lambda place, outside: os.mkfifo(place),
    "a folder": lambda place, outside: place.mkdir(),
    "nothing": lambda place, outside: None,
}


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("name", ["report.csv", "deep/down/report.csv"])
def test_only_a_plain_file_is_handed_over(folder, outside, kind, name):
    place = folder.path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    PLANTED[kind](place, outside)
    with pytest.raises(SystemFault, match="no file inside its job folder"):
        folder.file(name)


@pytest.mark.parametrize("kind", ["a link", "a link to a link", "a pipe", "nothing"])
def test_what_lies_in_the_way_of_a_file_for_the_child_is_replaced_and_not_followed(folder, outside, kind):
    PLANTED[kind](folder.path / "verse.codex", outside)
    assert folder.put("verse.codex", b"{}").read_bytes() == b"{}"
    assert (outside / "secret").read_text() == SECRET


@pytest.mark.parametrize("place", ["files", "files/target"])
def test_a_folder_that_is_a_link_leads_nowhere(folder, outside, place):
    (folder.path / place).parent.mkdir(parents=True, exist_ok=True)
    (folder.path / place).symlink_to(outside)
    name = "files/target/GEN.codex"
    with pytest.raises(SystemFault, match="outside the job folder"):
        folder.put(name, b"{}")
    with pytest.raises(SystemFault):
        folder.file(name)
    assert sorted(path.name for path in outside.rglob("*")) == ["secret"]


@pytest.mark.parametrize("place", ["training_metrics.csv", "checkpoint", "checkpoint/training_metrics.csv"])
def test_metrics_are_not_read_through_a_link(folder, outside, place):
    (outside / "training_metrics.csv").write_text(SECRET)
    (folder.path / place).parent.mkdir(exist_ok=True)
    target = outside if place == "checkpoint" else outside / "secret"
    (folder.path / place).symlink_to(target)
    assert folder.metrics() is None


def test_of_metrics_without_end_the_head_and_the_tail_are_read(folder):
    with (folder.path / "training_metrics.csv").open("wb") as file:
        file.write(b"epoch,loss\n")
        file.seek(3 << 30)
        file.write(b"\n98,0.2\n99,0.1\n")
    found = folder.metrics()
    assert found is not None and len(found) <= MAX_METRICS_BYTES
    assert found.startswith(b"epoch,loss\n") and found.endswith(b"\n98,0.2\n99,0.1\n")


def test_what_a_dead_child_left_is_read_within_bounds_and_through_no_link(folder, outside):
    (folder.path / "waiting.jsonl").symlink_to(outside / "secret")
    assert folder.read("waiting.jsonl", 1000) is None
    folder.remove("waiting.jsonl")
    assert (outside / "secret").exists() and not (folder.path / "waiting.jsonl").is_symlink()
    (folder.path / "waiting.jsonl").write_bytes(b"x" * 1001)
    assert folder.read("waiting.jsonl", 1000) is None
    assert folder.read("waiting.jsonl", 1001) == b"x" * 1001
