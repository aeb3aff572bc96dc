"""Leaving projects that have had no work for us for long."""

import json
import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from codex_worker.clock import Clock
from codex_worker.errors import WorkerError
from codex_worker.gitlab.client import GitLabClient, NotFound, ScopeMissing

logger = logging.getLogger(__name__)

OWNER = 50


class Decision(Enum):
    """What to do about a project."""

    STAY = "stay"
    ASK_ROLE = "ask what we are there, and decide again"
    LEAVE = "leave"


@dataclass(frozen=True)
class Role:
    """What the worker is in a project. `level` is None for one who is there through a group only."""

    level: int | None
    is_creator: bool = False


@dataclass(frozen=True)
class Idleness:
    """A project as one poll saw it; times in seconds since 1970."""

    first_seen_s: float
    last_work_s: float | None = None  # when a job that is not over was last seen there
    has_work: bool = False
    was_read: bool = True  # False: it could not be read, so nobody knows


def decide(seen: Idleness, now_s: float, leave_after_s: float, role: Role | None = None) -> Decision:
    """Whether to leave a project; a `leave_after_s` of 0 means never.

    Somebody may share a project first and ask for a job later: the time counts from whatever came last.
    """
    if leave_after_s <= 0 or seen.has_work or not seen.was_read:
        return Decision.STAY
    since_s = max(seen.first_seen_s, seen.last_work_s or seen.first_seen_s)
    if now_s - since_s < leave_after_s:
        return Decision.STAY
    if role is None:
        return Decision.ASK_ROLE
    if role.is_creator or role.level is None or role.level >= OWNER:
        return Decision.STAY
    return Decision.LEAVE


class Leaver:
    """Remembers since when projects are idle, also from one start to the next, and leaves them."""

    def __init__(self, client: GitLabClient, clock: Clock, leave_after_s: float, notes: Path) -> None:
        """`notes` is the file that remembers."""
        self._client = client
        self._clock = clock
        self._leave_after_s = leave_after_s
        self._notes = notes
        self._seen = _read(notes)
        self._settled: set[str] = set()  # projects where our role keeps us
        self._may_leave = True
        self._user_id: int | None = None

    def saw(self, url: str, *, has_work: bool, was_read: bool) -> None:
        """Notes what a poll saw of a project."""
        now_s = self._clock.time()
        before = self._seen.get(url) or Idleness(first_seen_s=now_s)
        last_work_s = now_s if has_work else before.last_work_s
        self._seen[url] = replace(before, last_work_s=last_work_s, has_work=has_work, was_read=was_read)

    def is_due(self, url: str) -> bool:
        """Whether the project should be left, as far as one knows without asking the server."""
        seen = self._seen.get(url)
        return (
            self._may_leave
            and url not in self._settled
            and seen is not None
            and decide(seen, self._clock.time(), self._leave_after_s) is Decision.ASK_ROLE
        )

    def leave(self, url: str, project_id: int, name: str) -> bool:
        """Leaves a project that is due, where our role there lets us; True when we have left."""
        try:
            role = self._role(project_id, name)
            if decide(self._seen[url], self._clock.time(), self._leave_after_s, role) is not Decision.LEAVE:
                logger.info("Project %s has no work; the worker stays as %s.", name, _reason(role))
                self._settled.add(url)
                return False
            self._remove(project_id, name)
        except ScopeMissing:
            self._may_leave = False
            logger.warning(
                "Project %s has had no work for long, and the token may not leave it: that takes the scope "
                "api. Remove the worker from such projects yourself, or set --leave-after-hours 0.", name,
            )  # fmt: skip
            return False
        except WorkerError as error:
            logger.warning("Project %s was not left: %s", name, error)
            return False
        logger.info(
            "Left project %s: it has had no work for %.0f hours. Share it with the worker again for more.",
            name, self._leave_after_s / 3600,
        )  # fmt: skip
        self._seen.pop(url, None)
        return True

    def keep(self, urls: Collection[str]) -> None:
        """Forgets all other projects, and writes the notes."""
        self._seen = {url: seen for url, seen in self._seen.items() if url in urls}
        self._settled &= set(urls)
        content = {url: [seen.first_seen_s, seen.last_work_s] for url, seen in self._seen.items()}
        try:
            partial = self._notes.with_suffix(".part")
            partial.write_text(json.dumps(content))
            partial.replace(self._notes)
        except OSError as error:
            logger.warning("%s was not written, so idle projects are left later: %s", self._notes, error)

    def _role(self, project_id: int, name: str) -> Role:
        if self._user_id is None:
            self._user_id = int(self._client.call(lambda server: server.http_get("/user"), "our user")["id"])  # type: ignore[index]
        project = self._client.call(lambda server: server.projects.get(project_id), f"project {name}")
        access = (getattr(project, "permissions", None) or {}).get("project_access")
        creators = {getattr(project, "creator_id", None), (getattr(project, "owner", None) or {}).get("id")}
        return Role(access["access_level"] if access else None, self._user_id in creators)

    def _remove(self, project_id: int, name: str) -> None:
        try:
            self._client.call(
                lambda server: server.projects.get(project_id, lazy=True).members.delete(self._user_id),
                f"our leaving of {name}",
            )
        except NotFound:
            return  # an earlier try has landed


def _reason(role: Role) -> str:
    if role.is_creator:
        return "its creator"
    return "a member of its group" if role.level is None else "its owner"


def _read(notes: Path) -> dict[str, Idleness]:
    """What an earlier start remembered; nothing where that cannot be read."""
    try:
        content: Any = json.loads(notes.read_text())
        return {
            str(url): Idleness(float(first), None if last is None else float(last))
            for url, (first, last) in content.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        logger.warning("%s cannot be read, so idle projects are left later: %s", notes, error)
        return {}
