"""Whether a server, a token and a project allow the work: one finding a line, each with what to do."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from codex_worker.clock import Clock
from codex_worker.errors import AccessDenied, WorkerError
from codex_worker.gitlab.client import SCOPES, GitLabClient, NotFound, ScopeMissing

OLDEST_TESTED = (15, 0)
LARGEST_SKEW_S = 60.0
EXPIRES_SOON = timedelta(days=14)
DEVELOPER = 30
ROLES = {
    0: "no member",
    10: "Guest",
    15: "Planner",
    20: "Reporter",
    30: "Developer",
    40: "Maintainer",
    50: "Owner",
}
NO_ONE = 0

# One of each row is enough. `api` holds all of them; writing over git holds reading.
_NEEDED_SCOPES = (
    ({"api", "read_api"}, "read_api", "to find projects"),
    ({"api", "read_repository", "write_repository"}, "read_repository", "to read projects and recordings"),
    ({"api", "write_repository"}, "write_repository", "to publish results"),
)


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"  # no job can be done until it is fixed


@dataclass(frozen=True)
class CheckResult:
    """What was looked at, what it is like and, where that is not well, how to fix it."""

    level: Level
    subject: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        said = f"{self.subject}: {self.text}"
        return " ".join([said if said.endswith(".") else f"{said}.", self.remedy]).strip()


def check_server(client: GitLabClient, clock: Clock) -> list[CheckResult]:
    """Version, clock, token. Where one question cannot be answered, the finding says so."""
    try:
        response = client.get("/version", "its version")
        findings = [_version(response.json()), *_skew(response.headers.get("Date"), clock.time())]
    except ScopeMissing:
        findings = []  # the token has a finding of its own
    except WorkerError as error:
        return [CheckResult(Level.PROBLEM, "server", str(error))]
    try:
        return [*findings, *check_token(client, clock), *_user(client)]
    except WorkerError as error:
        return [*findings, CheckResult(Level.PROBLEM, "server", str(error))]


def check_token(client: GitLabClient, clock: Clock) -> list[CheckResult]:
    """What the token may do, and until when. Raises ServerUnreachable or another SystemFault."""
    try:
        token = client.get("/personal_access_tokens/self", "the token's own description").json()
    except NotFound:
        return [
            CheckResult(
                Level.WARNING, "token", "the server does not say what the token may do",
                f"Check yourself that it has the scopes {SCOPES}.",
            )
        ]  # fmt: skip
    except AccessDenied as error:
        return [CheckResult(Level.PROBLEM, "token", str(error))]
    return token_findings(token, datetime.fromtimestamp(clock.time(), UTC))


def token_findings(token: dict[str, Any], now: datetime) -> list[CheckResult]:
    """What `personal_access_tokens/self` says, in sentences."""
    scopes = {str(scope) for scope in token.get("scopes") or ()}
    missing = [(name, purpose) for enough, name, purpose in _NEEDED_SCOPES if not scopes & enough]
    findings = [
        CheckResult(
            Level.PROBLEM, "token", f"the scope {name} is missing; it is needed {purpose}",
            f"Make a new token with the scopes {SCOPES}, and put it into the --env-file or $GITLAB_TOKEN.",
        )
        for name, purpose in missing
    ]  # fmt: skip
    if not missing:
        leaving = "" if "api" in scopes else "; without api the worker cannot leave projects by itself"
        findings.append(CheckResult(Level.OK, "token", f"its scopes are enough for all jobs{leaving}"))
    return [*findings, *_expiry(token.get("expires_at"), now)]


def check_project(client: GitLabClient, project: int | str) -> list[CheckResult]:
    """Role, LFS, and the right to push to the default branch; `project` is its number or its full path."""
    name = str(project)
    try:
        facts = client.call(lambda server: server.projects.get(project), f"project {project}").attributes
        name = str(facts.get("path_with_namespace", project))
        return _project(client, name, facts)
    except NotFound:
        return [
            CheckResult(
                Level.PROBLEM, name, "there is no such project for this user",
                "Check the name, and add the worker's user to the project as a Developer.",
            )
        ]  # fmt: skip
    except WorkerError as error:
        return [CheckResult(Level.PROBLEM, name, str(error))]


def _project(client: GitLabClient, name: str, facts: dict[str, Any]) -> list[CheckResult]:
    if facts.get("archived"):
        return [CheckResult(Level.PROBLEM, name, "it is archived", "Ask an owner to unarchive it.")]
    level = _level(facts)
    role = ROLES.get(level, f"level {level}")
    if level < DEVELOPER:
        return [
            CheckResult(
                Level.PROBLEM, name, f"the worker is {role} there and may not push",
                "Ask a maintainer to make it a Developer.",
            )
        ]  # fmt: skip
    findings = []
    if not facts.get("lfs_enabled", True):
        findings.append(
            CheckResult(
                Level.PROBLEM, name, "Git LFS is switched off, so recordings and models cannot be published",
                "Turn on Git LFS in Settings > General > Visibility, project features.",
            )
        )  # fmt: skip
    branch = facts.get("default_branch")
    if not branch:
        return [
            *findings,
            CheckResult(Level.WARNING, name, "its repository is empty", "Push the project first."),
        ]
    if _can_push(client, name, facts["id"], branch):
        return findings or [CheckResult(Level.OK, name, f"{role}, may push to {branch}")]
    return [*findings, _not_pushable(client, name, facts["id"], branch, role)]


def _can_push(client: GitLabClient, name: str, project_id: int, branch: str) -> bool:
    def ask(server: Any) -> bool:
        return bool(server.projects.get(project_id, lazy=True).branches.get(branch).can_push)

    return client.call(ask, f"the branch {branch} of {name}")


def _not_pushable(client: GitLabClient, name: str, project_id: int, branch: str, role: str) -> CheckResult:
    def ask(server: Any) -> list[dict[str, Any]]:
        rules = server.projects.get(project_id, lazy=True).protectedbranches.list(get_all=True)
        return [rule.attributes for rule in rules if rule.name == branch or "*" in rule.name]

    try:
        rules = client.call(ask, f"the protected branches of {name}")
    except AccessDenied:
        rules = []  # only the reason stays unknown
    levels = [access.get("access_level") for rule in rules for access in rule.get("push_access_levels") or ()]
    known = [level for level in levels if level is not None]
    who = "nobody" if NO_ONE in known else f"{ROLES.get(max(known, default=40), 'Maintainer')}s only"
    return CheckResult(
        Level.PROBLEM, name, f"the worker is {role} there, and the branch {branch} may be pushed to by {who}",
        f"Ask a maintainer to allow Developers to push to {branch} in Settings > Repository > Protected "
        "branches, or to give the worker that role.",
    )  # fmt: skip


def _level(facts: dict[str, Any]) -> int:
    permissions = facts.get("permissions") or {}
    accesses = [permissions.get(key) or {} for key in ("project_access", "group_access")]
    return max(int(access.get("access_level") or 0) for access in accesses)


def _version(answer: dict[str, Any]) -> CheckResult:
    version = str(answer.get("version", "of an unknown version"))
    numbers = [part for part in version.split(".")[:2] if part.isdecimal()]
    if len(numbers) == 2 and (int(numbers[0]), int(numbers[1])) < OLDEST_TESTED:
        return CheckResult(
            Level.WARNING, "server", f"GitLab {version} is older than what this worker was made for",
            "Projects may be found more slowly; update GitLab to 15 or newer.",
        )  # fmt: skip
    return CheckResult(Level.OK, "server", f"GitLab {version}")


def _skew(date: str | None, now_s: float) -> list[CheckResult]:
    try:
        server_s = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return []  # nothing to compare with
    skew_s = now_s - server_s
    if abs(skew_s) <= LARGEST_SKEW_S:
        return [CheckResult(Level.OK, "clock", f"within {max(abs(skew_s), 1):.0f} s of the server's")]
    return [
        CheckResult(
            Level.WARNING, "clock",
            f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the server's",
            "Set the clock, for example with `timedatectl set-ntp true`.",
        )
    ]  # fmt: skip


def _expiry(text: Any, now: datetime) -> list[CheckResult]:
    if not text:
        return []
    try:
        ends = datetime.fromisoformat(str(text)).replace(tzinfo=UTC)  # midnight UTC
    except ValueError:
        return [CheckResult(Level.WARNING, "token", f"it expires on {text}, which is no date")]
    remedy = "Make a new one and put it into the --env-file; a running worker reads it again."
    if ends <= now:
        return [CheckResult(Level.PROBLEM, "token", f"it expired on {text}", remedy)]
    if ends - now <= EXPIRES_SOON:
        return [CheckResult(Level.WARNING, "token", f"it expires on {text}", remedy)]
    return [CheckResult(Level.OK, "token", f"valid until {text}")]


def _user(client: GitLabClient) -> list[CheckResult]:
    try:
        name = client.get("/user", "our user").json().get("username")
    except AccessDenied:
        return []  # the token has a finding of its own
    return [CheckResult(Level.OK, "user", f"{name}; share projects with this user as a Developer")]
