"""Two ways to see all projects at once: a GraphQL sweep, and REST where GraphQL is refused."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from codex_worker.clock import Clock
from codex_worker.errors import AccessDenied, ServerUnreachable, SystemFault
from codex_worker.gitlab.client import GitLabClient, NotFound, ScopeMissing, TokenRefused

logger = logging.getLogger(__name__)

JOBS_FOLDER = "gpu_jobs"
PAGE_SIZES = (100, 50, 25, 12, 6, 3)
ROOT_FOLDERS = 100  # the most that one answer lists
# `last_activity_at` is rewritten only when it is an hour old, and a little later than the push.
HOT_FOR = timedelta(hours=2)
FULL_LIST_EVERY_S = 3600.0
# So many projects may be broken for themselves; more, and it is the server.
MAX_LONE_FAULTS = 3

QUERY = """\
query Sweep($first: Int!, $after: String) {
  projects(membership: true, first: $first, after: $after) {
    pageInfo { endCursor hasNextPage }
    nodes {
      id fullPath archived
      repository { tree { lastCommit { sha } trees(first: 100) { nodes { name sha } } } }
    }
  }
}
"""


@dataclass(frozen=True)
class Sighting:
    """A project at one moment. `jobs` changes with anything below `gpu_jobs`; None: no such folder."""

    project_id: int
    name: str  # with its namespace
    head: str | None
    jobs: str | None


@dataclass(frozen=True)
class Sweep:
    """What one look at the server saw. Only a complete one tells which projects are ours no more."""

    sightings: dict[int, Sighting]
    is_complete: bool


class GraphQLRefused(SystemFault):
    """This server answers no such query."""


class GraphQLSweep:
    """All member projects by GraphQL, one request for each hundred."""

    def __init__(self, client: GitLabClient) -> None:
        self._client = client
        self._size = 0  # which of PAGE_SIZES; what the server refused once is not asked again

    def look(self, before: dict[int, Sighting]) -> Sweep:
        """One sweep. Raises GraphQLRefused, ServerUnreachable or AccessDenied."""
        sightings: dict[int, Sighting] = {}
        cursor: str | None = None
        while True:
            page, has_errors = self._page(cursor)
            for node in page.get("nodes") or ():
                sighting = _sighting(node)
                if sighting is None:
                    continue
                # An answer with errors leaves out what it could not read; that is no news.
                known = before.get(sighting.project_id)
                if has_errors and known and sighting.jobs is None:
                    sighting = replace(known, head=None)
                sightings[sighting.project_id] = sighting
            info = page.get("pageInfo") or {}
            if not info.get("hasNextPage"):
                return Sweep(sightings, is_complete=True)
            if info.get("endCursor") in (None, cursor):
                raise GraphQLRefused(f"{self._client.url} has more projects and does not say where.")
            cursor = info["endCursor"]

    def _page(self, cursor: str | None) -> tuple[dict[str, Any], bool]:
        while True:
            try:
                answer = self._client.graphql(QUERY, {"first": PAGE_SIZES[self._size], "after": cursor})
            except NotFound as error:
                raise GraphQLRefused(str(error)) from error
            page = (answer.get("data") or {}).get("projects")
            words = " ".join(str(error.get("message", "")) for error in answer.get("errors") or ())
            if page is not None:
                return page, bool(words)
            is_too_much = "complexity" in words.lower() or "timeout" in words.lower()
            if not is_too_much or self._size == len(PAGE_SIZES) - 1:
                raise GraphQLRefused(f"{self._client.url} refuses the GraphQL sweep: {words[:300]}")
            self._size += 1
            logger.info(
                "The server finds %d projects in one query too much; asking for %d from now on.",
                PAGE_SIZES[self._size - 1], PAGE_SIZES[self._size],
            )  # fmt: skip


class RestSweep:
    """The same by REST: all projects now and then, and in between those where something happened of late."""

    def __init__(self, client: GitLabClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._full_at_s: float | None = None

    def look(self, before: dict[int, Sighting]) -> Sweep:
        """One look. Raises ServerUnreachable or AccessDenied."""
        now_s = self._clock.monotonic()
        is_full = self._full_at_s is None or now_s - self._full_at_s >= FULL_LIST_EVERY_S
        since = datetime.fromtimestamp(self._clock.time(), UTC) - HOT_FOR
        filters = {} if is_full else {"last_activity_after": since.isoformat()}
        sightings: dict[int, Sighting] = {}
        faults = 0
        for project_id, name, active_at in self._list(filters):
            known = before.get(project_id)
            if known and known.name == name and active_at is not None and active_at < since:
                sightings[project_id] = known
                continue
            try:
                sightings[project_id] = Sighting(project_id, name, None, self._jobs_tree(project_id, name))
            except ServerUnreachable as error:
                faults += 1
                if faults > MAX_LONE_FAULTS:
                    raise
                logger.warning("Project %s is looked at again at the next poll: %s", name, error)
                if known:
                    sightings[project_id] = known
        if is_full:
            self._full_at_s = now_s
        return Sweep(sightings, is_complete=is_full)

    def _list(self, filters: dict[str, str]) -> Iterator[tuple[int, str, datetime | None]]:
        listed = self._client.call(
            lambda server: list(
                server.projects.list(
                    iterator=True, membership=True, archived=False, simple=True, per_page=100,
                    pagination="keyset", order_by="id", sort="asc", **filters,
                )
            ),
            "the list of projects",
        )  # fmt: skip
        for project in listed:
            yield project.id, project.path_with_namespace, _moment(getattr(project, "last_activity_at", None))

    def _jobs_tree(self, project_id: int, name: str) -> str | None:
        def find(server: Any) -> str | None:
            project = server.projects.get(project_id, lazy=True)
            entries = project.repository_tree(per_page=100, iterator=True)
            return next(
                (
                    entry["id"]
                    for entry in entries
                    if entry["name"] == JOBS_FOLDER and entry["type"] == "tree"
                ),
                None,
            )

        try:
            return self._client.call(find, f"the folders of {name}")
        except NotFound:
            return None  # an empty repository
        except (TokenRefused, ScopeMissing):
            raise
        except AccessDenied as error:
            logger.debug("Project %s is passed over: %s", name, error)
            return None  # its repository is switched off, or not for us


def _sighting(node: Any) -> Sighting | None:
    """None for an archived project, and for one that was deleted while it was listed."""
    if not isinstance(node, dict) or node.get("archived"):
        return None
    number = str(node.get("id", "")).rpartition("/")[2]
    name = node.get("fullPath")
    if not number.isdecimal() or not isinstance(name, str):
        return None
    tree = (node.get("repository") or {}).get("tree") or {}
    head = (tree.get("lastCommit") or {}).get("sha")
    folders = (tree.get("trees") or {}).get("nodes") or ()
    jobs = next((folder["sha"] for folder in folders if folder and folder["name"] == JOBS_FOLDER), None)
    if jobs is None and len(folders) >= ROOT_FOLDERS:
        jobs = head  # so many folders that ours may be among those left out: any change may be one of jobs
    return Sighting(int(number), name, head, jobs)


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None  # then it counts as active
