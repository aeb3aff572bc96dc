"""Which projects of a server are ours, and leaving those that have no work for us."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from codex_worker.runtime.projects import Project


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


class Finder(Protocol):
    """Whatever asks a server for projects with news."""

    def changed(self) -> Sequence[Found]:
        """Raises ServerUnreachable or AccessDenied."""

    @property
    def members(self) -> Collection[Found]:
        """All projects at the last look."""


class Leaver(Protocol):
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

    def __init__(self, finder: Finder, leaver: Leaver) -> None:
        self._finder = finder
        self._leaver = leaver

    def changed(self) -> Sequence[Project]:
        """Those with news."""
        return [Project(found.name, found.url) for found in self._finder.changed()]

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
