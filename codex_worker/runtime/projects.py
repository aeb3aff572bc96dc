"""Where a worker finds projects."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from codex_worker.errors import UserError


@dataclass(frozen=True)
class Project:
    """A project: a name for people, and its repository's address."""

    name: str
    address: str


class ProjectSource(Protocol):
    """Projects whose jobs may have changed since the last time; all of them the first time."""

    def changed(self) -> Sequence[Project]:
        """Raises ServerUnreachable or AccessDenied."""


class FixedProjects:
    """The projects of the command line: always all of them, for a look at each costs one request."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._projects = [project_at(address) for address in dict.fromkeys(addresses)]

    def changed(self) -> Sequence[Project]:
        """All projects."""
        return self._projects


def project_at(address: str) -> Project:
    """A project by its URL or path. Raises UserError where that cannot be one."""
    parts = urlsplit(address)
    if parts.scheme in {"http", "https"}:
        if "@" in parts.netloc:
            raise UserError(
                f"The address of {parts.hostname}{parts.path} holds a user name or a token, which would show "
                "in logs. Give the token by --env-file or $GITLAB_TOKEN."
            )
        path = parts.path.rstrip("/").removesuffix(".git")
        return Project(path.strip("/"), urlunsplit(parts._replace(path=f"{path}.git")))
    if parts.scheme == "file":
        return Project(Path(parts.path).name.removesuffix(".git"), address)
    if "://" in address or (":" in address and not Path(address).exists()):
        raise UserError(f"{address} is no project: give an https:// address or the path of a repository.")
    folder = Path(address).expanduser().resolve()
    return Project(folder.name.removesuffix(".git"), str(folder))
