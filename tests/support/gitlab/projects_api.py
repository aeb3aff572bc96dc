"""The REST API, as far as workers use it: version, user, token, projects, members, repository files."""

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlencode

from tests.support.gitlab.auth import Identity
from tests.support.gitlab.lfs import object_response
from tests.support.gitlab.messages import Refused, Request, Response, answer
from tests.support.gitlab.repositories import Entry
from tests.support.gitlab.state import DEVELOPER, MAINTAINER, NO_ONE, OWNER, Project, User
from tests.support.gitlab.wiring import Services

READ = ("api", "read_api")
READ_USER = ("api", "read_api", "read_user")
READ_FILES = ("api", "read_api", "read_repository")
WRITE = ("api",)
VERSION = {"version": "17.5.2-ee", "revision": "5e6f7a8b9c0"}

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:(?P<oid>[0-9a-f]{64})\n"
)


def version(services: Services, request: Request, match: re.Match[str]) -> Response:
    services.auth.for_api(request, READ_USER)
    return answer(VERSION)


def current_user(services: Services, request: Request, match: re.Match[str]) -> Response:
    identity = services.auth.for_api(request, READ_USER)
    return answer(_user(identity.user))


def current_token(services: Services, request: Request, match: re.Match[str]) -> Response:
    identity = services.auth.identify(request)
    if identity is None or identity.token is None:
        raise Refused(401, {"message": "401 Unauthorized"})
    token = identity.token
    return answer(
        {
            "id": token.id,
            "name": f"token of {token.user.username}",
            "revoked": token.revoked,
            "active": True,
            "scopes": sorted(token.scopes),
            "user_id": token.user.id,
            "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        }
    )


def list_projects(services: Services, request: Request, match: re.Match[str]) -> Response:
    identity = services.auth.for_api(request, READ)
    query = request.query
    least = max(int(query.get("min_access_level", 0)), 1)  # the stand-in has no public projects
    found = [project for project in services.state.projects.values() if identity.level(project) >= least]
    if "archived" in query:
        found = [project for project in found if project.archived == (query["archived"] == "true")]
    if "last_activity_after" in query:
        since = datetime.fromisoformat(query["last_activity_after"])
        found = [project for project in found if project.last_activity_at > since]
    if "updated_after" in query:
        if query.get("order_by") != "updated_at":
            raise Refused(400, {"error": "`updated_at` filter and `updated_at` sorting must be paired"})
        since = datetime.fromisoformat(query["updated_after"])
        found = [project for project in found if project.updated_at > since]
    order = query.get("order_by", "created_at")
    orders: dict[str, Callable[[Project], Any]] = {
        "id": lambda project: project.id,
        "created_at": lambda project: (project.created_at, project.id),
        "updated_at": lambda project: (project.updated_at, project.id),
        "last_activity_at": lambda project: (project.last_activity_at, project.id),
        "path": lambda project: project.path,
    }
    if order not in orders:
        raise Refused(400, {"error": "order_by does not have a valid value"})
    found.sort(key=orders[order], reverse=query.get("sort", "desc") == "desc")
    simple = query.get("simple") == "true"
    return _page(
        services, request, found, lambda project: _project(services, project, identity, simple=simple)
    )


def get_project(services: Services, request: Request, match: re.Match[str]) -> Response:
    identity, project = _find(services, request, match["project"], READ)
    return answer(_project(services, project, identity))


def list_members(services: Services, request: Request, match: re.Match[str]) -> Response:
    _, project = _find(services, request, match["project"], READ)
    by_id = {user.id: user for user in services.state.users.values()}
    members = [_member(by_id[number], level) for number, level in sorted(project.members.items())]
    return _page(services, request, members, lambda member: member)


def get_member(services: Services, request: Request, match: re.Match[str]) -> Response:
    _, project = _find(services, request, match["project"], READ)
    for user in services.state.users.values():
        if user.id == int(match["user"]) and user.id in project.members:
            return answer(_member(user, project.members[user.id]))
    raise Refused(404, {"message": "404 Not found"})


def remove_member(services: Services, request: Request, match: re.Match[str]) -> Response:
    identity, project = _find(services, request, match["project"], WRITE)
    number = int(match["user"])
    if number not in project.members:
        raise Refused(404, {"message": "404 Not found"})
    level = project.members[number]
    owners = [user for user, level in project.members.items() if level == OWNER]
    if identity.user.id != number and identity.level(project) < MAINTAINER:
        raise Refused(403, {"message": "403 Forbidden"})
    if level == OWNER and owners == [number]:
        raise Refused(403, {"message": "403 Forbidden - the last owner cannot be removed"})
    del project.members[number]
    return Response(204)


def protected_branches(services: Services, request: Request, match: re.Match[str]) -> Response:
    identity, project = _find(services, request, match["project"], READ)
    if identity.level(project) < DEVELOPER:
        raise Refused(403, {"message": "403 Forbidden"})
    rules = [
        _protection(number, *rule) for number, rule in enumerate(project.protected_branches.items(), start=1)
    ]
    return _page(services, request, rules, lambda rule: rule)


def list_branches(services: Services, request: Request, match: re.Match[str]) -> Response:
    identity, project = _find(services, request, match["project"], READ)
    branches = list(services.repositories.branches(project.repository).items())
    return _page(services, request, branches, lambda branch: _branch(services, project, identity, *branch))


def get_branch(services: Services, request: Request, match: re.Match[str]) -> Response:
    identity, project = _find(services, request, match["project"], READ)
    name = unquote(match["branch"])
    branches = services.repositories.branches(project.repository)
    if name not in branches:
        raise Refused(404, {"message": "404 Branch Not Found"})
    return answer(_branch(services, project, identity, name, branches[name]))


def tree(services: Services, request: Request, match: re.Match[str]) -> Response:
    _, project = _find(services, request, match["project"], READ_FILES)
    path = request.query.get("path", "").strip("/")
    commit = services.repositories.commit(project.repository, request.query.get("ref"))
    found = commit and services.repositories.entry(project.repository, commit, path)
    if not found or not found.is_tree:
        raise Refused(404, {"message": "404 Tree Not Found"})
    entries = _listing(
        services, project, found, path, deep=request.query.get("recursive", "").lower() == "true"
    )
    return _page(services, request, entries, lambda entry: entry)


def file(services: Services, request: Request, match: re.Match[str]) -> Response:
    project, commit, path, entry, content = _file(services, request, match)
    facts = {
        "file_name": path.rpartition("/")[2],
        "file_path": path,
        "size": len(content),
        "encoding": "base64",
        "content_sha256": hashlib.sha256(content).hexdigest(),
        "ref": request.query.get("ref", "HEAD"),
        "blob_id": entry.oid,
        "commit_id": commit,
        "last_commit_id": services.repositories.last_commit(project.repository, commit, path),
        "execute_filemode": entry.mode == "100755",
    }
    headers = {"X-Gitlab-" + name.replace("_", "-").title(): str(value) for name, value in facts.items()}
    if request.method == "HEAD":
        return Response(200, b"", headers)
    return answer({**facts, "content": base64.b64encode(content).decode()}, headers=headers)


def raw_file(services: Services, request: Request, match: re.Match[str]) -> Response:
    project, _, _, _, content = _file(services, request, match)
    pointer = _POINTER.match(content) if request.query.get("lfs") == "true" and len(content) < 1024 else None
    if pointer is None:
        return Response(200, content, {"Content-Type": "text/plain"})
    oid = pointer["oid"].decode()
    if not services.state.has_object(project, oid):
        raise Refused(404, {"message": "404 Not Found"})
    return object_response(services, oid)


def refuse_writing(services: Services, request: Request, match: re.Match[str]) -> Response:
    """Only the refusal that weak tokens get is served; workers write by push."""
    services.auth.for_api(request, WRITE)
    raise Refused(501, {"message": "The stand-in does not write files over REST."})


def _find(
    services: Services, request: Request, name: str, scopes: tuple[str, ...]
) -> tuple[Identity, Project]:
    identity = services.auth.for_api(request, scopes)
    project = services.state.project(unquote(name))
    if project is None or not identity.level(project):
        raise Refused(404, {"message": "404 Project Not Found"})
    return identity, project


def _file(
    services: Services, request: Request, match: re.Match[str]
) -> tuple[Project, str, str, Entry, bytes]:
    _, project = _find(services, request, match["project"], READ_FILES)
    path = unquote(match["path"])
    commit = services.repositories.commit(project.repository, request.query.get("ref"))
    entry = services.repositories.entry(project.repository, commit, path) if commit else None
    if commit is None or entry is None or entry.is_tree:
        raise Refused(404, {"message": "404 File Not Found"})
    return project, commit, path, entry, services.repositories.read(project.repository, entry.oid)


def _listing(services: Services, project: Project, found: Entry, path: str, *, deep: bool) -> list[dict]:
    entries = []
    for entry in services.repositories.tree(project.repository, found.oid):
        inner = f"{path}/{entry.name}".lstrip("/")
        kind = "tree" if entry.is_tree else "blob"
        entries.append(
            {"id": entry.oid, "name": entry.name, "type": kind, "path": inner, "mode": entry.mode.zfill(6)}
        )
        if deep and entry.is_tree:
            entries += _listing(services, project, entry, inner, deep=True)
    return entries


def _page(services: Services, request: Request, items: list, render: Callable[[Any], Any]) -> Response:
    """One page of a list: by page number with X- headers, or by id (keyset), both with a Link header."""
    size = min(max(int(request.query.get("per_page", 20)), 1), 100)
    if request.query.get("pagination") == "keyset" and items and isinstance(items[0], Project):
        return _keyset_page(services, request, items, size, render)
    page = max(int(request.query.get("page", 1)), 1)
    pages = max((len(items) + size - 1) // size, 1)
    links = {"first": 1, "last": pages}
    if page > 1:
        links["prev"] = page - 1
    if page < pages:
        links["next"] = page + 1
    headers = {
        "X-Page": str(page),
        "X-Per-Page": str(size),
        "X-Next-Page": str(links.get("next", "")),
        "X-Prev-Page": str(links.get("prev", "")),
        "X-Total": str(len(items)),
        "X-Total-Pages": str(pages),
        "Link": ", ".join(
            f'<{_with(services, request, page=page)}>; rel="{name}"' for name, page in links.items()
        ),
    }
    return answer([render(item) for item in items[(page - 1) * size : page * size]], headers=headers)


def _keyset_page(
    services: Services, request: Request, projects: list[Project], size: int, render: Callable[[Any], Any]
) -> Response:
    if request.query.get("order_by") != "id":
        raise Refused(405, {"error": "Keyset pagination is not yet available for this type of request"})
    if after := request.query.get("id_after"):
        projects = [project for project in projects if project.id > int(after)]
    if before := request.query.get("id_before"):
        projects = [project for project in projects if project.id < int(before)]
    shown = projects[:size]
    headers = {"X-Per-Page": str(size)}
    if len(projects) > size:
        bound = "id_after" if request.query.get("sort", "desc") == "asc" else "id_before"
        headers["Link"] = f'<{_with(services, request, **{bound: shown[-1].id})}>; rel="next"'
    return answer([render(project) for project in shown], headers=headers)


def _with(services: Services, request: Request, **changes: int) -> str:
    return f"{services.url}{request.path}?{urlencode({**request.query, **changes})}"


def _user(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "name": user.username.title(),
        "state": "active",
        "bot": False,
    }


def _member(user: User, level: int) -> dict[str, Any]:
    return {**_user(user), "access_level": level}


def _project(
    services: Services, project: Project, identity: Identity, *, simple: bool = False
) -> dict[str, Any]:
    namespace, _, name = project.path.rpartition("/")
    facts = {
        "id": project.id,
        "name": name,
        "path": name,
        "path_with_namespace": project.path,
        "namespace": {"path": namespace, "full_path": namespace},
        "created_at": shown_time(project.created_at),
        "last_activity_at": shown_time(project.last_activity_at),
        "default_branch": services.repositories.default_branch(project.repository),
        "http_url_to_repo": f"{services.url}/{project.path}.git",
        "web_url": f"{services.url}/{project.path}",
    }
    if simple:
        return facts
    facts |= {
        "archived": project.archived,
        "visibility": "private",
        "empty_repo": facts["default_branch"] is None,
        "lfs_enabled": project.lfs_enabled,
        "creator_id": project.creator_id,
        "updated_at": shown_time(project.updated_at),
        "permissions": {"project_access": {"access_level": identity.level(project)}, "group_access": None},
    }
    if project.owner_id is not None:
        facts["owner"] = {"id": project.owner_id}
    return facts


def _branch(
    services: Services, project: Project, identity: Identity, name: str, commit: str
) -> dict[str, Any]:
    return {
        "name": name,
        "commit": {"id": commit, "short_id": commit[:8]},
        "default": name == services.repositories.head_name(project.repository),
        "protected": not project.may_push_to(name, DEVELOPER) or name in project.protected_branches,
        "developers_can_push": project.may_push_to(name, DEVELOPER),
        "can_push": project.may_push_to(name, identity.level(project)) and not project.archived,
    }


def _protection(number: int, pattern: str, level: int) -> dict[str, Any]:
    shown = 0 if level >= NO_ONE else level
    return {
        "id": number,
        "name": pattern,
        "push_access_levels": [{"access_level": shown, "user_id": None, "group_id": None}],
        "merge_access_levels": [{"access_level": MAINTAINER, "user_id": None, "group_id": None}],
        "allow_force_push": False,
    }


def shown_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


_PROJECT = r"/api/v4/projects/(?P<project>[^/]+)"
_FILE = _PROJECT + r"/repository/files/(?P<path>[^/]+)"
ROUTES = [
    ("GET", re.compile(r"/api/v4/version"), version),
    ("GET", re.compile(r"/api/v4/user"), current_user),
    ("GET", re.compile(r"/api/v4/personal_access_tokens/self"), current_token),
    ("GET", re.compile(r"/api/v4/projects"), list_projects),
    ("GET", re.compile(_PROJECT), get_project),
    ("GET", re.compile(_PROJECT + r"/members(?:/all)?"), list_members),
    ("GET", re.compile(_PROJECT + r"/members/(?:all/)?(?P<user>\d+)"), get_member),
    ("DELETE", re.compile(_PROJECT + r"/members/(?P<user>\d+)"), remove_member),
    ("GET", re.compile(_PROJECT + r"/protected_branches"), protected_branches),
    ("GET", re.compile(_PROJECT + r"/repository/branches"), list_branches),
    ("GET", re.compile(_PROJECT + r"/repository/branches/(?P<branch>[^/]+)"), get_branch),
    ("GET", re.compile(_PROJECT + r"/repository/tree"), tree),
    ("GET", re.compile(_FILE), file),
    ("HEAD", re.compile(_FILE), file),
    ("GET", re.compile(_FILE + "/raw"), raw_file),
    ("POST", re.compile(_PROJECT + r"/repository/commits"), refuse_writing),
    ("POST", re.compile(_FILE), refuse_writing),
    ("PUT", re.compile(_FILE), refuse_writing),
    ("DELETE", re.compile(_FILE), refuse_writing),
]
