"""python-gitlab, for one server: the token goes nowhere else; what may pass is tried again."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import gitlab
import requests
from gitlab.exceptions import GitlabError

from codex_worker.clock import Clock
from codex_worker.errors import AccessDenied, ServerUnreachable, SystemFault, UserError, clause
from codex_worker.git.plain_session import TrustingAdapter
from codex_worker.retry import API, BackOff, asked_for_s
from codex_worker.tally import Tally

logger = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT_S = 60.0  # the server ends a GraphQL query of its own after 30
# Those of requests that another try may not meet again; the others are about the request itself.
PASSING_REQUEST_ERRORS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
SCOPES = "read_api, read_repository and write_repository"


class TokenHolder(Protocol):
    """Where the token comes from; it may be another one after `refresh`."""

    @property
    def token(self) -> str | None:
        """The token, for requests to its server only."""

    def refresh(self) -> bool:
        """Reads the token again; True when it is another one."""

    def redact(self, text: str) -> str:
        """The text without tokens."""


class NotFound(SystemFault):
    """404: what was asked for does not exist, or not for us."""


class TokenRefused(AccessDenied):
    """401: the token is expired, revoked or mistyped."""


class ScopeMissing(AccessDenied):
    """The token is valid, and is not for this."""


class GitLabClient:
    """One server, as the token's user sees it. For one thread."""

    def __init__(self, url: str, credentials: TokenHolder, clock: Clock, tally: Tally | None = None) -> None:
        self._tally = tally
        self.url = url.rstrip("/")
        self._credentials = credentials
        self._clock = clock
        self._gitlab: gitlab.Gitlab | None = None
        self._token: str | None = None

    def call(self, action: Callable[[gitlab.Gitlab], T], what: str) -> T:
        """The action's answer; `what` names it in messages, as in "the list of projects".

        A refused token is read again once. Raises ServerUnreachable, AccessDenied (TokenRefused or
        ScopeMissing where it is about the token), NotThere or SystemFault.
        """
        try:
            return self._try(action, what)
        except AccessDenied:
            if not self._credentials.refresh():
                raise
            logger.info("The token was read again; it is another one now.")
            return self._try(action, what)

    def graphql(self, query: str, variables: Mapping[str, object]) -> dict[str, Any]:
        """The whole answer, `data` and `errors`. Raises what `call` raises."""
        asked = {"query": query, "variables": dict(variables)}
        answer = self.call(
            lambda server: server.http_post(f"{self.url}/api/graphql", post_data=asked), "the GraphQL query"
        )
        if not isinstance(answer, dict):
            raise SystemFault(f"{self.url} does not answer GraphQL queries with JSON.")
        return answer

    def get(self, path: str, what: str) -> requests.Response:
        """A raw answer, for its headers. Raises what `call` raises."""
        return self.call(lambda server: server.http_request("get", path), what)

    def _try(self, action: Callable[[gitlab.Gitlab], T], what: str) -> T:
        try:
            return action(self._server())
        except GitlabError as error:
            raise self._translated(error, what) from error
        except requests.RequestException as error:
            # The error's own text may hold more than a log should.
            raise ServerUnreachable(
                f"{self.url} gave no usable answer to {what} ({type(error).__name__})."
            ) from error

    def _server(self) -> gitlab.Gitlab:
        token = self._credentials.token
        if token is None:
            raise UserError(
                f"There is no token for {self.url}: give one by --env-file or $GITLAB_TOKEN "
                f"(scopes {SCOPES}), or name repositories with --project."
            )
        if self._gitlab is None or token != self._token:
            self._gitlab = gitlab.Gitlab(
                self.url,
                private_token=token,
                session=OneServerSession(self.url, self._clock, self._tally),
                timeout=TIMEOUT_S,
                keep_base_url=True,
            )
            self._token = token
        return self._gitlab

    def _translated(self, error: GitlabError, what: str) -> SystemFault:
        words = clause(self._credentials.redact(str(error.error_message or error)))[:300]
        code = error.response_code
        if code == 401:
            return TokenRefused(
                f"{self.url} refuses the token ({words}): it is expired, revoked or mistyped. Make a new one "
                f"with the scopes {SCOPES}, and put it into the --env-file or $GITLAB_TOKEN."
            )
        if code == 403 and b"insufficient_scope" in (error.response_body or b""):
            return ScopeMissing(
                f"{self.url} refuses {what}: the token lacks a scope. It needs {SCOPES}; "
                "leaving a project takes api."
            )
        if code == 403:
            return AccessDenied(f"{self.url} refuses {what}: {words}.")
        if code == 404:
            return NotFound(f"{self.url} does not have {what}: {words}.")
        if code is None or code < 400:
            return SystemFault(f"{self.url} does not answer {what} as a GitLab server would: {words}.")
        return SystemFault(f"{self.url} answered {what} with {code}: {words}.")


class OneServerSession(requests.Session):
    """Requests that never leave one server, and are sent again when that may help.

    All that is asked here may be asked twice: reading, and leaving a project.
    """

    def __init__(self, url: str, clock: Clock, tally: Tally | None = None) -> None:
        super().__init__()
        self.mount("https://", TrustingAdapter())
        self._url = url
        self._clock = clock
        self._back_off = BackOff(API, clock.monotonic, clock.sleep, retried=(tally or Tally()).retried)

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """Raises ServerUnreachable where the server is overloaded or broken, also after some tries."""
        return self._back_off.insist(lambda: self._once(*arguments, **options))

    def get_redirect_target(self, response: requests.Response) -> str | None:
        """python-gitlab's token header would go along to any host."""
        target = super().get_redirect_target(response)
        if target is not None and not requests.compat.urljoin(response.url, target).startswith(
            f"{self._url}/"
        ):
            there = requests.compat.urlsplit(target)
            raise SystemFault(
                f"{self._url} sends us on to {there.scheme}://{there.netloc.rpartition('@')[2]}, where the "
                "token does not go. If the server has moved, give its new address by --gitlab-url."
            )
        return target

    def _once(self, *arguments: Any, **options: Any) -> requests.Response:
        try:
            response = super().request(*arguments, **options)
        except PASSING_REQUEST_ERRORS as error:
            raise ServerUnreachable(f"{self._url} gave no usable answer ({type(error).__name__}).") from error
        status = response.status_code
        if status in {408, 429} or status >= 500:
            raise ServerUnreachable(
                f"{self._url} answered {status}: it is overloaded or out of order.",
                asked_for_s(response.headers, self._clock.time()),
            )
        return response
