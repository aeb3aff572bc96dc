"""Git over smart HTTP, by git's own `http-backend`."""

import re
import subprocess
from email.parser import BytesParser

from tests.support.gitlab.messages import Refused, Request, Response
from tests.support.gitlab.state import DEVELOPER, Project
from tests.support.gitlab.wiring import Services, git_environment

_SERVICES = {"git-upload-pack": False, "git-receive-pack": True}  # service: whether it writes


def info_refs(services: Services, request: Request, match: re.Match[str]) -> Response:
    service = request.query.get("service", "")
    if service not in _SERVICES:
        raise Refused(403, "Only smart HTTP is served here.")
    return _run(services, request, match["project"], "/info/refs", service)


def exchange(services: Services, request: Request, match: re.Match[str]) -> Response:
    return _run(services, request, match["project"], f"/{match['service']}", match["service"])


def _run(services: Services, request: Request, name: str, path: str, service: str) -> Response:
    project = services.state.project(name)
    writes = _SERVICES[service]
    identity = services.auth.for_repository(request, project, write=writes)
    assert project is not None
    environment = {
        **git_environment(),
        "GIT_PROJECT_ROOT": str(project.repository),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": path,
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": f"service={service}" if request.method == "GET" else "",
        "REMOTE_USER": identity.user.username,
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        **_rules(services, project, identity.level(project)),
    }
    for header, variable in {
        "Git-Protocol": "GIT_PROTOCOL",
        "Content-Encoding": "HTTP_CONTENT_ENCODING",
    }.items():
        if value := request.headers.get(header):
            environment[variable] = value
    body = request.body.read()
    environment["CONTENT_LENGTH"] = str(len(body))
    finished = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True)
    if writes and request.method == "POST" and b"ok refs/" in finished.stdout:
        project.touch(services.state.clock())
    return _response(finished.stdout)


def _rules(services: Services, project: Project, level: int) -> dict[str, str]:
    """What the pre-receive hook has to know about this push."""
    closed = [
        pattern for pattern, needed in project.protected_branches.items() if level < max(needed, DEVELOPER)
    ]
    rules = {
        "STANDIN_CLOSED_BRANCHES": " ".join(closed),
        "STANDIN_PROTECTED_BRANCHES": " ".join(project.protected_branches),
    }
    if project.branches_and_tags_only:
        rules["STANDIN_BRANCHES_AND_TAGS_ONLY"] = "1"
    if project.lfs_enabled:
        rules["STANDIN_LFS_LINKS"] = str(services.state.lfs_links / str(project.id))
    return rules


def _response(output: bytes) -> Response:
    head, _, body = output.partition(b"\r\n\r\n")
    headers = {name: str(value) for name, value in BytesParser().parsebytes(head + b"\r\n\r\n").items()}
    status = int(headers.pop("Status", "200").split()[0])
    return Response(status, body, headers)


ROUTES = [
    ("GET", re.compile(r"/(?P<project>.+?)\.git/info/refs"), info_refs),
    ("POST", re.compile(r"/(?P<project>.+?)\.git/(?P<service>git-upload-pack|git-receive-pack)"), exchange),
]
