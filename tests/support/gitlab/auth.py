"""Who is asking, with which scopes and which role."""

import base64
import binascii
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.support.gitlab.messages import Refused, Request
from tests.support.gitlab.state import Project, State, Token, User


@dataclass(frozen=True)
class Identity:
    user: User
    scopes: frozenset[str]
    token: Token | None = None
    lfs_project: int | None = None  # an LFS action's own token is good for this project only

    def level(self, project: Project) -> int:
        return project.members.get(self.user.id, 0)


@dataclass(frozen=True)
class _LfsToken:
    user: User
    project: int
    expires_at: datetime


class Auth:
    def __init__(self, state: State) -> None:
        self._state = state
        self._lfs_tokens: dict[str, _LfsToken] = {}
        self._lock = threading.Lock()
        self.lfs_token_lifetime_s = 1800.0

    def identify(self, request: Request) -> Identity | None:
        """The identity a request claims; None for a nameless one. Refuses with 401 what is not valid."""
        value = _token_in(request)
        if value is None:
            return None
        if found := self._lfs_tokens.get(value):
            if self._state.clock() >= found.expires_at:
                raise Refused(401, "HTTP Basic: Access denied. The LFS token has expired.", _CHALLENGE)
            return Identity(found.user, frozenset({"write_repository"}), lfs_project=found.project)
        token = self._state.tokens.get(value)
        today = self._state.clock().date()
        if token is None:
            raise self._unauthorized(request, "401 Unauthorized")
        if token.revoked or (token.expires_at is not None and token.expires_at <= today):
            why = "revoked" if token.revoked else "expired"
            raise self._unauthorized(request, f"Token was {why}. You have to re-authorize from the user.")
        return Identity(token.user, token.scopes, token)

    def for_api(self, request: Request, scopes: Iterable[str]) -> Identity:
        """The identity of an API request whose token has one of the scopes."""
        identity = self.identify(request)
        if identity is None or identity.token is None:
            raise Refused(401, {"message": "401 Unauthorized"})
        self.check_scopes(identity, scopes)
        return identity

    def check_scopes(self, identity: Identity, scopes: Iterable[str]) -> None:
        if not identity.scopes & set(scopes):
            raise Refused(
                403,
                {
                    "error": "insufficient_scope",
                    "error_description": "The request requires higher privileges than provided by the "
                    "access token.",
                    "scope": " ".join(scopes),
                },
            )

    def for_repository(self, request: Request, project: Project | None, *, write: bool) -> Identity:
        """The identity of a git or LFS request that may read, or write, the project."""
        identity = self.identify(request)
        if identity is None:
            raise Refused(401, "HTTP Basic: Access denied.", _CHALLENGE)
        hidden = identity.lfs_project is not None and (project is None or identity.lfs_project != project.id)
        if project is None or hidden or identity.level(project) == 0:
            raise Refused(
                404,
                "The project you were looking for could not be found or you don't have permission to "
                "view it.",
            )
        needed = {"api", "write_repository"} if write else {"api", "write_repository", "read_repository"}
        if not identity.scopes & needed:
            raise Refused(
                403,
                f"You are not allowed to {'upload' if write else 'download'} code: no such scope.",
            )
        if identity.level(project) < (30 if write else 20):
            raise Refused(
                403,
                f"You are not allowed to {'push code to' if write else 'download code from'} this project.",
            )
        if write and project.archived:
            raise Refused(403, "You can't push code to an archived project.")
        return identity

    def lfs_header(self, identity: Identity, project: Project) -> dict[str, str]:
        """What an LFS action's href has to be asked with; good for a while only."""
        value = secrets.token_hex(16)
        lifetime = timedelta(seconds=self.lfs_token_lifetime_s)
        with self._lock:
            self._lfs_tokens[value] = _LfsToken(identity.user, project.id, self._state.clock() + lifetime)
        encoded = base64.b64encode(f"{identity.user.username}:{value}".encode()).decode()
        return {"Authorization": f"Basic {encoded}"}

    def expire_lfs_headers(self) -> None:
        """From now on every action that was handed out is refused with 401."""
        with self._lock:
            now = self._state.clock()
            self._lfs_tokens = {
                value: _LfsToken(token.user, token.project, now) for value, token in self._lfs_tokens.items()
            }

    def _unauthorized(self, request: Request, message: str) -> Refused:
        if request.path.startswith("/api/graphql"):
            return Refused(401, {"errors": [{"message": "Invalid token"}]})
        if request.path.startswith("/api/"):
            return Refused(
                401,
                {"message": message}
                if message.startswith("401")
                else {"error": "invalid_token", "error_description": message},
            )
        return Refused(401, "HTTP Basic: Access denied.", _CHALLENGE)


_CHALLENGE = {"WWW-Authenticate": 'Basic realm="GitLab"'}


def _token_in(request: Request) -> str | None:
    if value := request.headers.get("PRIVATE-TOKEN") or request.query.get("private_token"):
        return value
    kind, _, value = (request.headers.get("Authorization") or "").partition(" ")
    if kind.lower() == "bearer":
        return value
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(value).decode().partition(":")[2] or None
    except (binascii.Error, UnicodeDecodeError):
        raise Refused(401, "HTTP Basic: Access denied.", _CHALLENGE) from None
