"""Git LFS as GitLab serves it: batch, objects, locks."""

import hashlib
import json
import re
import secrets
from typing import Any

from tests.support.gitlab.messages import Refused, Request, Response
from tests.support.gitlab.state import MAINTAINER, Project
from tests.support.gitlab.wiring import Services

MEDIA_TYPE = "application/vnd.git-lfs+json"
MAX_BATCH_OBJECTS = 100


def batch(services: Services, request: Request, match: re.Match[str]) -> Response:
    project = services.state.project(match["project"])
    asked = request.json()
    operation = asked.get("operation")
    if operation not in {"download", "upload"}:
        raise Refused(404, {"message": "Operation not supported"})
    identity = services.auth.for_repository(request, project, write=operation == "upload")
    assert project is not None
    _check_lfs(project)
    if len(asked["objects"]) > MAX_BATCH_OBJECTS:
        raise Refused(413, {"message": "Too many objects in one batch"})
    header = services.auth.lfs_header(identity, project)
    answers = []
    for wanted in asked["objects"]:
        oid, size = wanted["oid"], wanted["size"]
        found: dict[str, Any] = {"oid": oid, "size": size, "authenticated": True}
        href = f"{services.url}/{project.path}.git/gitlab-lfs/objects/{oid}"
        # GitLab looks for the id alone before a download: that the size is another one shows when it comes.
        there = services.state.has_object(project, oid, size if operation == "upload" else None)
        if operation == "download" and there:
            found["actions"] = {"download": {"href": href, "header": header}}
        elif operation == "download":
            found["error"] = {
                "code": 404,
                "message": "Object does not exist on the server or you don't have permissions to access it",
            }
        elif not there:
            extra = {"Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked"}
            found["actions"] = {"upload": {"href": f"{href}/{size}", "header": {**header, **extra}}}
        answers.append(found)
    return _json({"transfer": "basic", "objects": answers})


def download(services: Services, request: Request, match: re.Match[str]) -> Response:
    project = services.state.project(match["project"])
    services.auth.for_repository(request, project, write=False)
    assert project is not None
    _check_lfs(project)
    if not services.state.has_object(project, match["oid"]):
        raise Refused(404, {"message": "Not found."})
    return object_response(services, match["oid"])


def object_response(services: Services, oid: str) -> Response:
    """The object itself, or where the object storage has it."""
    if services.lfs_redirect_url is not None:
        return Response(
            302, headers={"Location": f"{services.lfs_redirect_url}/{oid}?X-Amz-Signature={'5e' * 32}"}
        )
    return Response(200, services.state.object_path(oid), {"Content-Type": "application/octet-stream"})


def upload(services: Services, request: Request, match: re.Match[str]) -> Response:
    project = services.state.project(match["project"])
    services.auth.for_repository(request, project, write=True)
    assert project is not None
    _check_lfs(project)
    oid, size = match["oid"], int(match["size"])
    path = services.state.object_path(oid)
    temporary = services.state.folder / f"upload-{secrets.token_hex(8)}"
    digest, received = hashlib.sha256(), 0
    try:
        with temporary.open("wb") as file:
            for block in request.body.blocks():
                file.write(block)
                digest.update(block)
                received += len(block)
        if digest.hexdigest() != oid or received != size:
            raise Refused(400, {"message": "SHA256 or size mismatch"})
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    link(services, project, oid)
    return Response(200)


def link(services: Services, project: Project, oid: str) -> None:
    path = services.state.link_path(project, oid)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def create_lock(services: Services, request: Request, match: re.Match[str]) -> Response:
    project, identity = _for_locks(services, request, match["project"])
    path = str(request.json()["path"])
    with services.state.lock:
        if path in project.locks:
            return _json({"message": "already locked", "lock": project.locks[path]}, 409)
        lock = {
            "id": str(len(project.locks) + 1),
            "path": path,
            "locked_at": services.state.clock().isoformat(),
            "owner": {"name": identity.user.username},
        }
        project.locks[path] = lock
    return _json({"lock": lock}, 201)


def list_locks(services: Services, request: Request, match: re.Match[str]) -> Response:
    project, _ = _for_locks(services, request, match["project"], write=False)
    wanted = request.query
    found = [
        lock
        for lock in project.locks.values()
        if wanted.get("path", lock["path"]) == lock["path"] and wanted.get("id", lock["id"]) == lock["id"]
    ]
    return _json({"locks": found, "next_cursor": ""})


def verify_locks(services: Services, request: Request, match: re.Match[str]) -> Response:
    project, identity = _for_locks(services, request, match["project"])
    sides: dict[str, list] = {"ours": [], "theirs": []}
    for lock in project.locks.values():
        sides["ours" if lock["owner"]["name"] == identity.user.username else "theirs"].append(lock)
    return _json({**sides, "next_cursor": ""})


def unlock(services: Services, request: Request, match: re.Match[str]) -> Response:
    project, identity = _for_locks(services, request, match["project"])
    force = bool((request.json() or {}).get("force"))
    with services.state.lock:
        for path, lock in project.locks.items():
            if lock["id"] == match["lock"]:
                own = lock["owner"]["name"] == identity.user.username
                if not own and not (force and identity.level(project) >= MAINTAINER):
                    raise Refused(403, {"message": f"{path} is locked by {lock['owner']['name']}"})
                return _json({"lock": project.locks.pop(path)})
    raise Refused(404, {"message": "Lock not found"})


def _for_locks(services: Services, request: Request, name: str, *, write: bool = True) -> tuple:
    project = services.state.project(name)
    identity = services.auth.for_repository(request, project, write=write)
    return project, identity


def _check_lfs(project: Project) -> None:
    if not project.lfs_enabled:
        raise Refused(501, {"message": "Git LFS is not enabled on this GitLab server, contact your admin."})


def _json(content: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(content).encode(), {"Content-Type": MEDIA_TYPE})


_PROJECT = r"/(?P<project>.+?)\.git"
_OBJECT = _PROJECT + r"/gitlab-lfs/objects/(?P<oid>[0-9a-f]{64})"
ROUTES = [
    ("POST", re.compile(_PROJECT + "/info/lfs/objects/batch"), batch),
    ("GET", re.compile(_OBJECT), download),
    ("PUT", re.compile(_OBJECT + r"/(?P<size>\d+)"), upload),
    ("POST", re.compile(_PROJECT + "/info/lfs/locks"), create_lock),
    ("GET", re.compile(_PROJECT + "/info/lfs/locks"), list_locks),
    ("POST", re.compile(_PROJECT + "/info/lfs/locks/verify"), verify_locks),
    ("POST", re.compile(_PROJECT + r"/info/lfs/locks/(?P<lock>\d+)/unlock"), unlock),
]
