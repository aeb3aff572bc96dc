"""The stand-in itself: a GitLab on loopback, over real bare repositories."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.gitlab import git_http, graphql, lfs, projects_api
from tests.support.gitlab.auth import Auth
from tests.support.gitlab.connections import Exchange, Listener
from tests.support.gitlab.faults import Faults, RateLimit, Rule
from tests.support.gitlab.messages import Refused, Request, Response, answer
from tests.support.gitlab.object_storage import ObjectStorage
from tests.support.gitlab.repositories import Repositories
from tests.support.gitlab.state import Project, State, User
from tests.support.gitlab.wiring import Services

_ROUTES = [*lfs.ROUTES, *git_http.ROUTES, *graphql.ROUTES, *projects_api.ROUTES]


class GitLabServer:
    """See the package's docstring. `sleep` is how latency and slow answers wait."""

    def __init__(
        self, folder: Path, *, latency_s: float = 0.0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.state = State(folder / "gitlab")
        self.auth = Auth(self.state)
        self.faults = Faults()
        self.latency_s = latency_s
        self.rate_limits: list[RateLimit] = []
        self._sleep = sleep
        self._services = Services(self.state, self.auth, Repositories())
        self._listener = Listener(self._serve, rule_for=self.faults.rule_for, wait=self._wait)
        self._services.url = self.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._listener.close()

    def shift_clock(self, offset_s: float) -> None:
        """Tells a wrong time in every answer; where it is right, the machine's clock is wrong."""
        self._listener.clock_offset_s = offset_s

    @property
    def url(self) -> str:
        return self._listener.url

    @property
    def requests(self) -> list[Exchange]:
        """Every request so far; clear the list to count anew."""
        return self._listener.exchanges

    def requests_to(self, pattern: str, method: str | None = None) -> list[Exchange]:
        return [
            exchange
            for exchange in self.requests
            if re.search(pattern, exchange.target) and method in {None, exchange.method}
        ]

    def user(self, username: str) -> User:
        return self.state.user(username)

    def create_token(
        self, username: str, scopes: Sequence[str] = ("api",), expires_at: date | None = None
    ) -> str:
        return self.state.create_token(username, scopes, expires_at)

    def create_project(
        self,
        path: str,
        members: Mapping[str, int] | None = None,
        *,
        repository: Path | None = None,
        creator: str = "creator",
    ) -> Project:
        return self.state.create_project(path, members, repository=repository, creator=creator)

    def git_url(self, project: Project) -> str:
        return f"{self.url}/{project.path}.git"

    def set_complexity_limit(self, limit: int) -> None:
        """GraphQL queries above this score are refused; 250 is GitLab's for signed-in users."""
        self._services.complexity_limit = limit

    def limit_rate(self, requests: int, window_s: float, path: str = "", *, says_when: bool = True) -> None:
        """Answer 429 to more requests than this; with Retry-After unless `says_when` is False."""
        self.rate_limits.append(RateLimit(requests, window_s, re.compile(path), says_when))

    def redirect_objects_to(self, storage: ObjectStorage | None) -> None:
        """Send LFS downloads on to another host."""
        self._services.lfs_redirect_url = storage.url if storage else None

    def object_storage(self) -> ObjectStorage:
        """A second server with the same objects."""
        return ObjectStorage(self.state.lfs_objects)

    def _wait(self, rule: Rule | None) -> None:
        delay_s = self.latency_s + (rule.delay_s if rule else 0.0)
        if delay_s:
            self._sleep(delay_s)

    def _serve(self, request: Request) -> Response:
        for limit in self.rate_limits:
            if refusal := limit.check(request, self.state.clock().timestamp()):
                return refusal
        try:
            for method, pattern, handle in _ROUTES:
                if method == request.method and (match := pattern.fullmatch(request.path)):
                    return handle(self._services, request, match)
        except Refused as refused:
            return refused.response
        return answer({"error": "404 Not Found"}, 404)
