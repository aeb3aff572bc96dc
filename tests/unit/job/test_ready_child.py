"""A child that waits for its job: what it imports meanwhile, and what it leaves alone until then."""

import importlib
import os
import sys
import tempfile
import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from codex_worker.child import ready


@pytest.fixture
def imported(monkeypatch):
    names: list[str] = []
    monkeypatch.setattr(ready, "_OURS", ())
    monkeypatch.setattr(importlib, "import_module", names.append)
    return names


def test_everything_is_imported_before_it_says_that_it_is_ready(imported):
    is_ready = threading.Event()

    def receive():
        assert is_ready.wait(30)
        return {"handler": "one"}

    def say():
        assert "torch" in imported and "transformers" in imported
        is_ready.set()

    assert ready.wait_ready(receive, say) == {"handler": "one"}


def test_a_job_that_comes_meanwhile_waits_for_no_more_imports(monkeypatch):
    begun, came = threading.Event(), threading.Event()
    names: list[str] = []

    class Pool:
        """Answers at once when the first import has begun."""

        def __init__(self, *_, **__):
            pass

        def submit(self, receive):
            future: Future = Future()

            def answer():
                begun.wait(30)
                future.set_result(receive())
                came.set()

            threading.Thread(target=answer).start()
            return future

    def import_module(name):
        names.append(name)
        begun.set()
        assert came.wait(30)

    monkeypatch.setattr(ready, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(importlib, "import_module", import_module)
    assert ready.wait_ready(lambda: {"handler": "one"}, lambda: None) == {"handler": "one"}
    assert len(names) == 1


def test_an_import_that_fails_is_left_to_the_job(monkeypatch):
    monkeypatch.setattr(ready, "_OURS", ("none_such",))
    monkeypatch.setattr(ready, "_LIBRARIES", ("no_such_library",))
    said = []
    assert ready.wait_ready(lambda: {"a": 1}, lambda: said.append("ready")) == {"a": 1}
    assert said == ["ready"]


def test_variables_lead_into_the_jobs_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/before")
    monkeypatch.setenv("TMPDIR", "/before")
    monkeypatch.setattr(tempfile, "tempdir", "/before")
    (tmp_path / "tmp").mkdir()
    ready.move_into(tmp_path)
    assert os.environ["HOME"] == str(tmp_path / "home")
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(tmp_path / "tmp")


@pytest.mark.parametrize("trouble", [None, RuntimeError("CUDA driver initialization failed")])
def test_the_gpu_is_opened_for_a_job_and_what_goes_wrong_is_the_jobs_to_meet(monkeypatch, trouble):
    opened = threading.Event()

    def is_available():
        opened.set()
        if trouble is not None:
            raise trouble
        return False

    monkeypatch.setitem(
        sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(is_available=is_available))
    )
    ready.wait_ready(lambda: None, lambda: None)
    assert not opened.is_set(), "a process without a job holds no memory of a GPU"
    ready.warm_gpu()
    assert opened.wait(30)
