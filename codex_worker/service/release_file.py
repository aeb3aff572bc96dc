"""The file of releases: read whole or not at all, changed by one person at a time, and every change noted."""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from codex_worker.contract.yaml_text import dump, format_time, load
from codex_worker.errors import DataError, UserError
from codex_worker.service.releases import Releases, plain_releases, read_releases


class ReleaseFile:
    """A file of releases with its log (`<name>.log.jsonl`) beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log_path = path.with_name(f"{path.name}.log.jsonl")

    def read(self) -> Releases:
        """The releases; none where there is no file yet. Raises DataError or UserError for what is wrong."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return Releases()
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error.strerror}.") from error
        try:
            return read_releases(load(content, str(self.path)))
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from error

    def change(
        self, change: Callable[[Releases], Releases], *, who: str, what: str, at: datetime
    ) -> Releases:
        """Apply a change to what the file holds at that moment, and write down who made it.

        A server that reads meanwhile sees the file as it was or as it is, never half of it.
        """
        with self._alone():
            changed = change(self.read())
            line = {"at": format_time(at), "who": who, "what": what}
            with self.log_path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(line, ensure_ascii=False) + "\n")
            partial = self.path.with_name(f"partial-{self.path.name}")
            partial.write_bytes(dump(plain_releases(changed)))
            partial.replace(self.path)
        return changed

    def checkpoint_of(self, releases: Releases, name: str, version: str) -> Path:
        """The file of a version: its path is meant from the folder of the releases."""
        return self.path.parent / releases.models[name].versions[version].checkpoint

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content. Raises DataError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
