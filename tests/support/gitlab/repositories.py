"""Reading bare repositories for the API: refs from their files, objects once each."""

import re
import subprocess
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

_COMMIT_ID = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Entry:
    mode: str
    name: str
    oid: str

    @property
    def is_tree(self) -> bool:
        return self.mode == "40000"


class Repositories:
    """Objects never change, so each is read once for all projects, however many stand over one repository."""

    def __init__(self) -> None:
        self._objects: dict[tuple[Path, str], bytes] = {}
        self._last_commits: dict[tuple[Path, str, str], str] = {}
        self._lock = threading.Lock()

    def default_branch(self, repository: Path) -> str | None:
        """None for an empty repository, as GitLab says it."""
        branch = self.head_name(repository)
        return branch if self._read_ref(repository, f"refs/heads/{branch}") else None

    def head_name(self, repository: Path) -> str:
        return (repository / "HEAD").read_text().strip().removeprefix("ref: refs/heads/")

    def commit(self, repository: Path, ref: str | None = None) -> str | None:
        """The commit id of a branch, a tag, HEAD, or a commit id; None where there is none."""
        if ref is None or ref == "HEAD":
            ref = self.head_name(repository)
        for name in (f"refs/heads/{ref}", f"refs/tags/{ref}", ref):
            if oid := self._read_ref(repository, name):
                return oid
        return ref if _COMMIT_ID.fullmatch(ref) else None

    def branches(self, repository: Path) -> dict[str, str]:
        """Commit ids by branch name."""
        found = {}
        for line in self._packed_refs(repository):
            if line[41:].startswith("refs/heads/"):
                found[line[41:].removeprefix("refs/heads/")] = line[:40]
        heads = repository / "refs" / "heads"
        for path in heads.rglob("*"):
            if path.is_file() and path.suffix != ".lock":
                found[path.relative_to(heads).as_posix()] = path.read_text().strip()
        return dict(sorted(found.items()))

    def tree(self, repository: Path, oid: str) -> list[Entry]:
        content = self.read(repository, oid)
        entries, position = [], 0
        while position < len(content):
            middle = content.index(b"\0", position)
            mode, name = content[position:middle].split(b" ", 1)
            entries.append(
                Entry(mode.decode(), name.decode(errors="replace"), content[middle + 1 : middle + 21].hex())
            )
            position = middle + 21
        return entries

    def entry(self, repository: Path, commit: str, path: str) -> Entry | None:
        """What is at a path; the root tree for an empty one."""
        found = Entry("40000", "", self.read(repository, commit)[5:45].decode())
        for part in path.strip("/").split("/") if path.strip("/") else []:
            if not found.is_tree:
                return None
            inside = {entry.name: entry for entry in self.tree(repository, found.oid)}
            if part not in inside:
                return None
            found = inside[part]
        return found

    def last_commit(self, repository: Path, commit: str, path: str) -> str:
        """The newest commit that changed the path."""
        if not path.strip("/"):
            return commit
        key = (repository, commit, path)
        if key not in self._last_commits:
            self._last_commits[key] = (
                self._git(repository, "rev-list", "-1", commit, "--", path).decode().strip()
            )
        return self._last_commits[key]

    def read(self, repository: Path, oid: str) -> bytes:
        """An object's content."""
        key = (repository, oid)
        content = self._objects.get(key)
        if content is None:
            content = self._read_loose(repository, oid)
            if content is None:
                answer = self._git(repository, "cat-file", "--batch", given=f"{oid}\n".encode())
                header, _, content = answer.partition(b"\n")
                if header.endswith(b"missing"):
                    raise KeyError(oid)
                content = content[:-1]
            with self._lock:
                if len(self._objects) > 50_000:
                    self._objects.clear()
                self._objects[key] = content
        return content

    def _read_loose(self, repository: Path, oid: str) -> bytes | None:
        try:
            packed = (repository / "objects" / oid[:2] / oid[2:]).read_bytes()
        except FileNotFoundError:
            return None
        return zlib.decompress(packed).partition(b"\0")[2]

    def _read_ref(self, repository: Path, name: str) -> str | None:
        if ".." in name:
            return None
        try:
            return (repository / name).read_text().strip()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            pass  # it may be packed
        for line in self._packed_refs(repository):
            if line[41:] == name:
                return line[:40]
        return None

    def _packed_refs(self, repository: Path) -> list[str]:
        try:
            lines = (repository / "packed-refs").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line for line in lines if _COMMIT_ID.match(line)]

    def _git(self, repository: Path, *arguments: str, given: bytes = b"") -> bytes:
        return subprocess.run(
            ["git", "-C", str(repository), *arguments], input=given, stdout=subprocess.PIPE, check=True
        ).stdout
