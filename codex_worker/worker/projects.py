"""Where a worker finds projects."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from codex_worker.contract.ids import job_id_problem
from codex_worker.errors import UserError
from codex_worker.git.credentials import origin_of
from codex_worker.token_server import without_user


@dataclass(frozen=True)
class ProjectAddress:
    """A project: a name for people, and its repository's address."""

    name: str
    address: str


class ProjectSource(Protocol):
    """Projects whose jobs may have changed since the last time; all of them the first time."""

    def changed(self) -> Sequence[ProjectAddress]:
        """Raises ServerUnreachable or AccessDenied."""


class FixedProjects:
    """The projects of the command line: always all of them, for a look at each costs one request."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._projects = list(dict.fromkeys(project_at(address) for address in addresses))

    def changed(self) -> Sequence[ProjectAddress]:
        """All projects."""
        return self._projects


def project_at(address: str) -> ProjectAddress:
    """A project by its URL or path. Raises UserError where that cannot be one."""
    address = address.strip()
    shown = without_user(address)
    no_project = UserError(f"{shown!r} is no project: give an https:// address or the path of a repository.")
    try:
        parts = urlsplit(address)
    except ValueError:
        raise no_project from None
    if parts.scheme in {"http", "https"}:
        return _project_on_server(address, parts)
    try:
        folder = Path(unquote(parts.path) if parts.scheme == "file" else address).expanduser()
    except RuntimeError:  # "~somebody" who has no home here
        raise no_project from None
    if not address or "\0" in address or (parts.scheme not in {"", "file"} and not folder.exists()):
        raise no_project
    if not folder.is_dir():
        raise UserError(
            f"There is no repository at {without_user(str(folder))}: give the path of one that is there, "
            "or an https:// address."
        )
    name = folder.resolve().name.removesuffix(".git")
    return ProjectAddress(name, address if parts.scheme == "file" else str(folder.resolve()))


def _project_on_server(address: str, parts: SplitResult) -> ProjectAddress:
    if "@" in parts.netloc:
        raise UserError(
            f"The address {without_user(address)} holds a user name or a token, which would show in logs. "
            "Give the token by --env-file or $GITLAB_TOKEN."
        )
    # Behind "/-/" GitLab has the pages of a project: people copy such addresses from a browser.
    path = parts.path.partition("/-/")[0].rstrip("/").removesuffix(".git")
    if origin_of(address) is None or not path.strip("/"):
        raise UserError(
            f"{address!r} is not the address of a project: it has to look like "
            "https://gitlab.example.org/group/project."
        )
    return ProjectAddress(
        path.strip("/"), urlunsplit(parts._replace(path=f"{path}.git", query="", fragment=""))
    )


def job_of(text: str) -> tuple[ProjectAddress, str]:
    """The project and the job that `PROJECT:JOB` names. Raises UserError where it names none."""
    project, colon, job_id = text.rpartition(":")
    if not (project and colon and job_id) or "/" in job_id:
        raise UserError(
            f"--force-job wants PROJECT:JOB, not {without_user(text)!r}: an address or a path, and a "
            "job's id."
        )
    if problem := job_id_problem(job_id):
        raise UserError(f"--force-job names no job. {problem}")
    return project_at(project), job_id


@dataclass(frozen=True)
class Standing:
    """What there is to do in a project, and whether anybody could tell."""

    has_work: bool = False
    was_read: bool = True


class Found(Protocol):
    """A project as a server names it."""

    @property
    def project_id(self) -> int:
        """The server's number for it."""

    @property
    def name(self) -> str:
        """With its namespace."""

    @property
    def url(self) -> str:
        """Of its repository."""

    @property
    def head(self) -> str | None:
        """Its default branch as the last look saw it; None where that look can't tell."""


class Told(Protocol):
    """What a server tells of a project's jobs at a glance."""

    @property
    def manifest(self) -> str:
        """The manifest's text."""

    @property
    def has_folders(self) -> bool:
        """Whether any job was ever begun."""


class Finder(Protocol):
    """Whatever asks a server for projects with news."""

    def changed(self) -> Sequence[Found]:
        """Raises ServerUnreachable or AccessDenied."""

    @property
    def members(self) -> Collection[Found]:
        """All projects at the last look."""

    def glances(self, urls: Collection[str]) -> Mapping[str, Told]:
        """What can be told of the jobs of projects, by address, without their repositories."""


class LeavesProjects(Protocol):
    """Whatever leaves projects without work."""

    def saw(self, url: str, *, has_work: bool, was_read: bool) -> None:
        """Notes what a poll saw of a project."""

    def is_due(self, url: str) -> bool:
        """Whether it should be left."""

    def leave(self, url: str, project_id: int, name: str) -> bool:
        """Leaves it where that is allowed; True when it was left."""

    def keep(self, urls: Collection[str]) -> None:
        """Forgets all other projects."""


class ServerProjects:
    """The projects of a server that this worker is a member of."""

    def __init__(self, finder: Finder, leaver: LeavesProjects) -> None:
        self._finder = finder
        self._leaver = leaver

    def changed(self) -> Sequence[ProjectAddress]:
        """Those with news."""
        return [ProjectAddress(found.name, found.url) for found in self._finder.changed()]

    def manifests_of_new_jobs(self, addresses: Collection[str]) -> dict[str, str]:
        """The manifests of those of the projects where no job was ever begun, as far as the server tells."""
        told = self._finder.glances(addresses) if addresses else {}
        return {url: glance.manifest for url, glance in told.items() if not glance.has_folders}

    def heads(self) -> dict[str, str | None]:
        """The default branch of each project as the last look saw it, by address."""
        return {found.url: found.head for found in self._finder.members}

    def settle(self, standing: Callable[[str], Standing], look_again: Callable[[str], Standing]) -> set[str]:
        """Leaves what has no work, after a complete poll; answers the addresses that are still ours.

        `standing` tells what the poll saw at an address; `look_again` asks the repository once more, for
        a job may have come in the meantime.
        """
        ours = {found.url: found for found in self._finder.members}
        for url in ours:
            self._saw(url, standing(url))
        for url, found in list(ours.items()):
            if self._leaver.is_due(url):
                self._saw(url, look_again(url))
                if self._leaver.is_due(url) and self._leaver.leave(url, found.project_id, found.name):
                    del ours[url]
        self._leaver.keep(ours)
        return set(ours)

    def _saw(self, url: str, standing: Standing) -> None:
        self._leaver.saw(url, has_work=standing.has_work, was_read=standing.was_read)
