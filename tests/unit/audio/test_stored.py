"""An array in a file: as it was, or refused where the file is damaged."""

import ast

import numpy as np
import pytest

from codex_worker.audio.stored import read_array, write_array


@pytest.mark.parametrize("shape", [(0,), (1,), (50, 320), (3, 4, 5)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_an_array_comes_back_as_it_was_and_can_be_changed(tmp_path, shape, dtype):
    array = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    write_array(tmp_path / "a", array.T if len(shape) > 1 else array)
    found = read_array(tmp_path / "a")
    assert found.dtype == dtype
    assert np.array_equal(found, array.T)
    found += 1


def test_reading_parses_no_python(tmp_path, monkeypatch):
    def parses(*arguments, **others):
        raise SystemError("AST constructor recursion depth mismatch (before=42, after=39)")

    write_array(tmp_path / "a", np.ones(3, np.float32))
    monkeypatch.setattr(ast, "parse", parses)
    assert read_array(tmp_path / "a").sum() == 3


@pytest.mark.parametrize("content", [b"", b"half a file", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0{}"])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match="a holds no array"):
        read_array(tmp_path / "a")


def test_a_file_that_is_not_there_is_said_as_such(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_array(tmp_path / "a")
