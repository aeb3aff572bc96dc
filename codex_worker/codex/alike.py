"""Which file of a project a written path means, where both are spelled in another way.

The editor asks the file system, so a path means what Windows and macOS take it for: names are the same
whatever the case of their letters, and whether an accent is a sign of its own (NFD) or not (NFC). Other
programs write `%20` for a space. The path as it is written always comes first; where two other files could be
meant, neither is guessed.
"""

import unicodedata
from collections.abc import Callable, Iterable
from functools import cached_property
from urllib.parse import unquote_to_bytes

from codex_worker.errors import DataError


class TwoAlike(DataError):
    """A path that could mean either of several files."""


def folded(path: str) -> str:
    """One spelling for all that Windows or macOS takes for the same path: canonical caseless matching.

    Source: The Unicode Standard, section 3.13, D145.
    """
    decomposed = unicodedata.normalize("NFD", path.replace("\\", "/"))
    return unicodedata.normalize("NFD", decomposed.casefold())


def decoded(path: str) -> str:
    """A path without %-codes; as it is where they stand for no UTF-8."""
    try:
        return unquote_to_bytes(path).decode("utf-8")
    except UnicodeError:
        return path


class FilesByName:
    """The files of a folder, to find those whose names are spelled in another way.

    `list_paths` is called once, and only when it is needed: most paths are there as they are written.
    """

    def __init__(self, list_paths: Callable[[], Iterable[str]]) -> None:
        self._list_paths = list_paths

    def meant_by(self, path: str) -> str | None:
        """The file that a path means, None where there is none. Raises TwoAlike with all that it could be."""
        if path in self._paths:
            return path
        found = sorted({file for key in _keys(path) for file in self._by_key.get(key, ())})
        if len(found) > 1:
            raise TwoAlike(
                f"{path!r} could mean {_listed(found)}, {_difference(found)}: nobody can tell which. "
                "Rename or remove all but one of them."
            )
        return found[0] if found else None

    @cached_property
    def _paths(self) -> frozenset[str]:
        return frozenset(self._list_paths())

    @cached_property
    def _by_key(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self._paths:
            for key in _keys(path):
                found.setdefault(key, []).append(path)
        return found


def _keys(path: str) -> set[str]:
    """A path in the spellings that are compared: as it is written, and without its %-codes."""
    return {folded(path), folded(decoded(path))} if "%" in path else {folded(path)}


def _listed(paths: list[str]) -> str:
    quoted = [repr(path) for path in paths[:3]]
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return (" or ".join(quoted) if not more else ", ".join(quoted)) + more


def _difference(paths: list[str]) -> str:
    """How names differ that may look the same."""
    if len({unicodedata.normalize("NFC", path) for path in paths}) == 1:
        return "which differ only in how accents are stored (Unicode forms)"
    if len({folded(path) for path in paths}) == 1:
        return "which differ only in the case of letters"
    return "which are spelled alike"
