"""Applies the fixes in `patches` at the moment a package is first imported, whoever imports it."""

import importlib
import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_PATCHES = {"torchaudio": "patches.torchaudio"}


class PatchBeforeImport(importlib.abc.MetaPathFinder):
    """Finds nothing itself: mends what is about to be imported, and lets the others find it.

    Jobs whose handler needs none of these packages don't pay for importing them.
    """

    def __init__(self) -> None:
        self._waiting = dict(_PATCHES)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Part of the import system's protocol."""
        patch = self._waiting.pop(fullname, None)
        if patch is not None:
            importlib.import_module(patch).apply()
        return None


def install() -> None:
    """From now on every import in this process is looked at. Repeating it does no harm."""
    if not any(isinstance(finder, PatchBeforeImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, PatchBeforeImport())
