"""Where new recordings of a document go: into the folder that its recordings have, however that is spelled.

On Windows and macOS two folders whose names differ only by case or Unicode form are one, and git loses track
of files in it. So a second spelling is never made where there is a first.
"""

from collections.abc import Iterable
from dataclasses import replace

from codex_worker.codex.alike import FilesByName, TwoAlike, same_file
from codex_worker.codex.attachments import POINTERS_FOLDER
from codex_worker.codex.patch import RecordingPatch
from codex_worker.git.ports import Snapshot
from codex_worker.job.api import CellResult


class PointerFolders:
    """The pointers of one commit."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._pointers = FilesByName(lambda: (entry.path for entry in snapshot.files(POINTERS_FOLDER)))
        self._folders = FilesByName(
            lambda: {path.removeprefix(POINTERS_FOLDER).rpartition("/")[0] for path in self._pointers.paths}
        )

    def at_home(self, result: CellResult) -> CellResult:
        """The result with its recording in the folder of its document; one without a recording as it is."""
        patch = result.patch
        if not isinstance(patch, RecordingPatch):
            return result
        recording = replace(patch.recording, document=self._folder_of(patch.recording.document))
        return replace(result, patch=replace(patch, recording=recording))

    def taken(self, paths: Iterable[str]) -> dict[str, str]:
        """Those of the paths that are taken, each with what is there: it, or what looks the same to some."""
        found = {}
        for path in paths:
            try:
                there = self._pointers.meant_by(path)
            except TwoAlike:
                there = path
            if there is not None:
                found[path] = there
        return found

    def _folder_of(self, document: str) -> str:
        """Its own name where there is no folder yet, or more than one that is alike: none is guessed."""
        try:
            found = self._folders.meant_by(document)
        except TwoAlike:
            return document
        return found if found is not None and same_file(found, document) else document
