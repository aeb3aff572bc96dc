"""What the stand-in knows: users, tokens, projects."""

import fnmatch
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

GUEST, REPORTER, DEVELOPER, MAINTAINER, OWNER = 10, 20, 30, 40, 50
NO_ONE = 60  # a push level nobody reaches, shown as 0 in the API

_ACTIVITY_GRANULARITY = timedelta(hours=1)
_UPDATED_GRANULARITY = timedelta(minutes=5)
# What a GitLab's git servers accept; nothing cleans up behind the tests' backs.
_REPOSITORY_CONFIG = """\
[core]
	repositoryformatversion = 0
	filemode = true
	bare = true
[http]
	receivepack = true
[uploadpack]
	allowFilter = true
	allowAnySHA1InWant = true
[receive]
	advertisePushOptions = true
	advertiseAtomic = true
	autogc = false
	hideRefs = refs/merge-requests/
	hideRefs = refs/keep-around/
	hideRefs = refs/pipelines/
	hideRefs = refs/environments/
[gc]
	auto = 0
"""


@dataclass(frozen=True)
class User:
    id: int
    username: str


@dataclass
class Token:
    id: int
    value: str
    user: User
    scopes: frozenset[str]
    expires_at: date | None = None
    revoked: bool = False


@dataclass
class Project:
    id: int
    path: str  # with its namespace
    repository: Path
    created_at: datetime
    members: dict[int, int] = field(default_factory=dict)  # user id: access level
    creator_id: int = 1
    owner_id: int | None = None
    archived: bool = False
    lfs_enabled: bool = True
    branches_and_tags_only: bool = False  # refuses refs such as refs/gpu-jobs/*
    protected_branches: dict[str, int] = field(default_factory=dict)  # pattern: lowest level that may push
    locks: dict[str, dict] = field(default_factory=dict)  # LFS locks by path

    def __post_init__(self) -> None:
        self.last_activity_at = self.updated_at = self.created_at

    def protect(self, pattern: str, push_level: int = MAINTAINER) -> None:
        """Only members of this level and above may push to branches of this name."""
        self.protected_branches[pattern] = push_level

    def may_push_to(self, branch: str, level: int) -> bool:
        return level >= DEVELOPER and all(
            level >= needed
            for pattern, needed in self.protected_branches.items()
            if fnmatch.fnmatch(branch, pattern)
        )

    def touch(self, now: datetime) -> None:
        """Something happened here; as in GitLab, the time shown is only rewritten when it is old enough."""
        if now - self.last_activity_at >= _ACTIVITY_GRANULARITY:
            self.last_activity_at = now
        if now - self.updated_at >= _UPDATED_GRANULARITY:
            self.updated_at = now


class State:
    """Everything but the bytes of repositories and objects, which lie under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.lock = threading.RLock()
        self.users: dict[str, User] = {}
        self.tokens: dict[str, Token] = {}
        self.projects: dict[int, Project] = {}
        self.by_path: dict[str, Project] = {}
        self.lfs_objects = folder / "lfs-objects"
        self.lfs_links = folder / "lfs-links"
        self._template = folder / "template"
        self._make_template()

    def user(self, username: str) -> User:
        """The user of this name, made when first named."""
        with self.lock:
            return self.users.setdefault(username, User(len(self.users) + 1, username))

    def create_token(
        self, username: str, scopes: Sequence[str] = ("api",), expires_at: date | None = None
    ) -> str:
        value = "glpat-" + secrets.token_urlsafe(15)
        with self.lock:
            number = len(self.tokens) + 1
            self.tokens[value] = Token(number, value, self.user(username), frozenset(scopes), expires_at)
        return value

    def create_project(
        self,
        path: str,
        members: Mapping[str, int] | None = None,
        *,
        repository: Path | None = None,
        creator: str = "creator",
    ) -> Project:
        """A project over a new bare repository, or over one that exists (one may stand behind many projects).

        A repository that was made elsewhere gets the stand-in's hook and settings.
        """
        with self.lock:
            number = len(self.projects) + 1
            if repository is None:
                repository = self.folder / "repositories" / f"{number}.git"
                self._init(repository)
            elif not (repository / "hooks" / "pre-receive").exists():
                shutil.copytree(self._template, repository, dirs_exist_ok=True)
            project = Project(number, path, repository, self.clock(), creator_id=self.user(creator).id)
            project.members = {self.user(name).id: level for name, level in (members or {}).items()}
            project.members.setdefault(project.creator_id, OWNER)
            self.projects[number] = self.by_path[path] = project
            return project

    def project(self, name: str) -> Project | None:
        """By id or by full path."""
        if name.isdigit():
            return self.projects.get(int(name))
        return self.by_path.get(name)

    def object_path(self, oid: str) -> Path:
        return self.lfs_objects / oid[:2] / oid[2:4] / oid

    def link_path(self, project: Project, oid: str) -> Path:
        """An empty file here says that the object belongs to the project; the hook looks at it too."""
        return self.lfs_links / str(project.id) / oid

    def has_object(self, project: Project, oid: str, size: int | None = None) -> bool:
        path = self.object_path(oid)
        if not self.link_path(project, oid).exists() or not path.exists():
            return False
        return size is None or path.stat().st_size == size

    def _make_template(self) -> None:
        hooks = self._template / "hooks"
        hooks.mkdir(parents=True)
        (self._template / "config").write_text(_REPOSITORY_CONFIG)
        hook = hooks / "pre-receive"
        shutil.copy(Path(__file__).with_name("pre_receive.sh"), hook)
        hook.chmod(0o755)

    def _init(self, repository: Path) -> None:
        subprocess.run(
            ["git", "init", "-q", "--bare", "-b", "main", f"--template={self._template}", str(repository)],
            check=True,
            env={"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self.folder)},
        )
