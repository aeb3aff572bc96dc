"""A repository in memory for the model of the editor's sync: a branch, and everybody's commits."""

from collections.abc import Mapping


class MemoryRepository:
    """`editor_sync.Repository`, and what a worker does to it."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._commits: dict[str, tuple[dict[str, bytes], tuple[str, ...]]] = {}
        self._branch = self.commit(files, ())

    def head(self) -> str:
        return self._branch

    def files(self, commit: str) -> dict[str, bytes]:
        return self._commits[commit][0]

    def parents(self, commit: str) -> tuple[str, ...]:
        return self._commits[commit][1]

    def commit(self, files: Mapping[str, bytes], parents: tuple[str, ...]) -> str:
        name = f"commit-{len(self._commits)}"
        self._commits[name] = (dict(files), parents)
        return name

    def push(self, expected: str, new: str) -> bool:
        if self._branch != expected:
            return False
        self._branch = new
        return True

    def push_changes(self, changes: Mapping[str, bytes | None]) -> str:
        """A worker's commit on the head; None removes a path."""
        files = {**self.files(self._branch), **changes}
        self._branch = self.commit(
            {path: content for path, content in files.items() if content is not None}, (self._branch,)
        )
        return self._branch

    def count_merges(self) -> int:
        """How many merges the head has in its history."""
        reached, waiting = {self._branch}, [self._branch]
        while waiting:
            new = set(self.parents(waiting.pop())) - reached
            reached |= new
            waiting += new
        return sum(len(self.parents(commit)) > 1 for commit in reached)
