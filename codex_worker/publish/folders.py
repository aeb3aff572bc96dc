"""Where new recordings of a document go: into the folder that its recordings have, however that is spelled.

On Windows and macOS two folders whose names differ only by case or Unicode form are one, and git loses track
of files in it. So a second spelling is never made where there is a first.
"""

from collections.abc import Iterable
from dataclasses import replace

from codex_worker.codex.alike import FilesByName, TwoAlike, folded
from codex_worker.codex.attachments import POINTERS_FOLDER
from codex_worker.codex.patch import RecordingPatch
from codex_worker.git.ports import Snapshot
from codex_worker.job.api import CellResult


class PointerFolders:
    """The folders of recordings that a project has; all of them are listed once, at the first commit."""

    def __init__(self) -> None:
        self._folders: FilesByName | None = None

    def at_home(self, result: CellResult, snapshot: Snapshot) -> CellResult:
        """The result with its recording in the folder of its document; one without a recording as it is."""
        patch = result.patch
        if not isinstance(patch, RecordingPatch):
            return result
        if self._folders is None:
            listed = snapshot.files(POINTERS_FOLDER)
            names = {entry.path.removeprefix(POINTERS_FOLDER).rpartition("/")[0] for entry in listed}
            self._folders = FilesByName(lambda: names)
        recording = replace(patch.recording, document=_home_of(patch.recording.document, self._folders))
        return replace(result, patch=replace(patch, recording=recording))


def taken(paths: Iterable[str], snapshot: Snapshot) -> dict[str, str]:
    """Those of the paths that are taken, each with what is there: it, or what looks the same to some."""
    paths = list(paths)
    found = {path: path for path in snapshot.existing(paths)}
    for folder in {path.rpartition("/")[0] for path in paths}:
        there = {entry.path for entry in snapshot.files(folder)}
        by_name = {folded(path): path for path in there}
        found |= {
            path: by_name[folded(path)] for path in paths if folded(path) in by_name and path not in there
        }
    return found


def _home_of(document: str, folders: FilesByName) -> str:
    """Its own name where there is no folder yet, or more than one that is alike: none is guessed."""
    try:
        found = folders.meant_by(document)
    except TwoAlike:
        return document
    return found if found is not None and folded(found) == folded(document) else document
