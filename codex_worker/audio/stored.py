"""One array in a file of its own, to be read back by any thread.

Numpy's own files have a header of Python code, and CPython 3.11.7 was seen to fail at parsing such code while
other threads did so, too ("AST constructor recursion depth mismatch").
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

SUFFIX = ".safetensors"
_NAME = "array"


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Writes an array. Raises OSError where the disk does not take it."""
    path.write_bytes(save({_NAME: np.ascontiguousarray(array)}))


def read_array(path: Path) -> NDArray[Any]:
    """The array that a file holds. Raises OSError, and ValueError for what is damaged."""
    try:
        return np.array(load(path.read_bytes())[_NAME])
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path.name} holds no array: {error}") from error
