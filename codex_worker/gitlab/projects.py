"""Finding projects with jobs: what was seen at the last poll decides what is news."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import quote

from codex_worker.clock import Clock
from codex_worker.errors import SystemFault
from codex_worker.gitlab.client import GitLabClient
from codex_worker.gitlab.glance import Glance, glances
from codex_worker.gitlab.sweep import GraphQLRefused, GraphQLSweep, RestSweep, Sighting, Sweep

logger = logging.getLogger(__name__)

GRAPHQL_AGAIN_AFTER_S = 6 * 3600.0


@dataclass(frozen=True)
class FoundProject:
    """A project that the worker is a member of."""

    project_id: int
    name: str  # with its namespace
    url: str  # of its repository
    head: str | None = None  # its default branch as the last look saw it; None where that look can't tell


class ProjectFinder:
    """Asks the server at each poll; answers the projects whose `gpu_jobs` changed on the default branch."""

    def __init__(self, client: GitLabClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._graphql = GraphQLSweep(client)
        self._rest = RestSweep(client, clock)
        self._refused_at_s: float | None = None
        self._seen: dict[int, Sighting] = {}
        self._knows_heads = False

    def changed(self) -> list[FoundProject]:
        """Projects with jobs that are news since the last call; at the first call all that have jobs.

        Raises ServerUnreachable or AccessDenied; what was seen before then stays as it is.
        """
        sweep = self._sweep()
        before = self._seen
        self._seen = sweep.sightings if sweep.is_complete else before | sweep.sightings
        return [
            self._found(sighting)
            for sighting in sweep.sightings.values()
            if _is_news(before.get(sighting.project_id), sighting)
        ]

    @property
    def members(self) -> Collection[FoundProject]:
        """All projects that we were a member of at the last look."""
        return [self._found(sighting) for sighting in self._seen.values()]

    def glances(self, urls: Collection[str]) -> dict[str, Glance]:
        """What can be told of the jobs of projects, by address; nothing where the server refuses to."""
        if not self._knows_heads:
            return {}
        wanted = {found.project_id: found.url for found in self.members if found.url in urls}
        try:
            told = glances(self._client, list(wanted))
        except SystemFault as error:
            logger.warning("%s Each project is looked at instead.", error)
            return {}
        return {wanted[number]: glance for number, glance in told.items() if number in wanted}

    def _sweep(self) -> Sweep:
        now_s = self._clock.monotonic()
        if self._refused_at_s is None or now_s - self._refused_at_s >= GRAPHQL_AGAIN_AFTER_S:
            try:
                sweep = self._graphql.look(self._seen)
            except GraphQLRefused as error:
                logger.warning("%s Looking for projects by REST instead, with more requests.", error)
                self._refused_at_s = now_s
            else:
                self._refused_at_s, self._knows_heads = None, True
                return sweep
        self._knows_heads = False  # those that an earlier sweep saw may have moved since
        return self._rest.look(self._seen)

    def _found(self, sighting: Sighting) -> FoundProject:
        # Not the address that the server gives: behind a proxy it may name a host that we can't reach.
        url = f"{self._client.url}/{quote(sighting.name)}.git"
        head = sighting.head if self._knows_heads else None
        return FoundProject(sighting.project_id, sighting.name, url, head)


def _is_news(before: Sighting | None, now: Sighting) -> bool:
    if before is None:
        return now.jobs is not None
    return before.jobs != now.jobs or (before.name != now.name and now.jobs is not None)
