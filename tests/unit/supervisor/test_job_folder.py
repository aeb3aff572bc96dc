"""Job folders: locked while in use, kept as many as wanted, closed to paths that lead out."""

import os

import pytest

from codex_worker.errors import ResourceError, SystemFault, UserError
from codex_worker.supervisor.job_folder import UNPUBLISHED, FolderInUse, JobFolder, notes_of, remove_old


def make(work_dir, name: str, age_s: float):
    with JobFolder.create(work_dir, name, "1-0000abcd") as folder:
        (folder.path / "data").write_text("x")
    os.utime(folder.path, (2e9 - age_s, 2e9 - age_s))
    return folder.path


def test_the_newest_folders_are_kept(tmp_path):
    paths = [make(tmp_path, f"job{n}", age_s=n) for n in range(5)]
    (tmp_path / "lfs").mkdir()
    removed = remove_old(tmp_path, 2)
    assert set(removed) == set(paths[2:])
    assert [path.exists() for path in paths] == [True, True, False, False, False]
    assert (tmp_path / "lfs").exists()


def test_minus_one_keeps_all(tmp_path):
    make(tmp_path, "a", 1)
    assert remove_old(tmp_path, -1) == []


def test_a_folder_that_another_worker_has_open_is_kept(tmp_path):
    path = make(tmp_path, "a", 1)
    with JobFolder(path):
        assert remove_old(tmp_path, 0) == []
        with pytest.raises(SystemFault, match="in use by another worker"):
            JobFolder(path)
    assert remove_old(tmp_path, 0) == [path]
    assert not notes_of(path).exists(), "the notes go with their folder"


def test_a_folder_with_unpublished_results_is_kept(tmp_path):
    path = make(tmp_path, "a", 1)
    (notes_of(path) / UNPUBLISHED).mkdir()
    (notes_of(path) / UNPUBLISHED / "000001.json").write_text("{}")
    assert remove_old(tmp_path, 0) == []


@pytest.mark.parametrize("job_id", ["../a", "", "a/b", ".a", "a" * 200])
def test_a_job_id_that_is_unfit_for_a_path_is_refused(tmp_path, job_id):
    with pytest.raises(UserError):
        JobFolder.create(tmp_path, job_id, "1-0000abcd")


def test_a_folder_becomes_that_of_an_attempt_with_its_notes_and_its_lock(tmp_path):
    with JobFolder(tmp_path / ".spare-1") as folder:
        (folder.path / "home/kept").touch()
        folder.become("one", "1-a")
        folder.log_path.write_text("a line")
        assert folder.path == tmp_path / "job_one_1-a" and (folder.path / "home/kept").exists()
        assert (folder.path / "logs.txt").read_text() == "a line"
        assert not list(tmp_path.glob("**/.spare-1"))
        with pytest.raises(FolderInUse):
            JobFolder.create(tmp_path, "one", "1-a")


def test_a_folder_does_not_become_that_of_an_attempt_that_was_there(tmp_path):
    with JobFolder.create(tmp_path, "one", "1-a") as earlier:
        (earlier.path / "result").touch()
    with JobFolder(tmp_path / ".spare-1") as folder:
        with pytest.raises(OSError):
            folder.become("one", "1-a")
        folder.remove_all()
    assert (earlier.path / "result").exists() and earlier.log_path.exists()


def test_a_work_directory_that_is_a_file_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        JobFolder.create(tmp_path / "file", "a", "1-0000abcd")


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "", "out/x", "a\0b"])
def test_a_path_that_leads_out_is_refused_both_ways(tmp_path, name):
    with JobFolder.create(tmp_path / "work", "a", "1-0000abcd") as folder:
        (folder.path / "out").symlink_to(tmp_path)
        (tmp_path / "x").write_text("not yours")
        with pytest.raises(SystemFault):
            folder.file(name)
        with pytest.raises(SystemFault):
            folder.put(name, b"x")
    assert (tmp_path / "x").read_text() == "not yours"


def test_metrics_are_found_where_training_writes_them(tmp_path):
    with JobFolder.create(tmp_path, "a", "1-0000abcd") as folder:
        assert folder.metrics() is None
        folder.put("checkpoint/training_metrics.csv", b"epoch\n1\n")
        assert folder.metrics() == b"epoch\n1\n"
