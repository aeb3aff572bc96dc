"""Another host, to which a GitLab may send downloads on: it has the objects, and must never see a token."""

from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.gitlab.connections import Exchange, Listener
from tests.support.gitlab.faults import Faults
from tests.support.gitlab.messages import Request, Response

_SECRET_HEADERS = {"authorization", "private-token", "job-token", "cookie", "proxy-authorization"}


class ObjectStorage:
    """Serves objects by oid at signed addresses; `leaks` lists what arrived that should not have.

    As a context manager it fails the test that leaked: AssertionError at its end.
    """

    def __init__(self, objects: Path) -> None:
        self._objects = objects
        self.faults = Faults()
        self.leaks: list[str] = []
        self._listener = Listener(self._serve, rule_for=self.faults.rule_for, wait=lambda rule: None)

    @property
    def url(self) -> str:
        return self._listener.url

    @property
    def requests(self) -> list[Exchange]:
        return self._listener.exchanges

    def close(self) -> None:
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        assert not self.leaks, f"secrets reached another host: {self.leaks}"

    def _serve(self, request: Request) -> Response:
        for name, value in request.headers.items():
            if name.lower() in _SECRET_HEADERS or "glpat-" in value:
                self.leaks.append(f"{request.method} {request.path}: {name}")
        if "glpat-" in request.target:
            self.leaks.append(f"{request.method} with a token in its address")
        request.body.read()
        oid = request.path.strip("/")
        path = self._objects / oid[:2] / oid[2:4] / oid
        if request.method != "GET" or "X-Amz-Signature" not in request.query:
            return Response(403, b"<Error><Code>AccessDenied</Code></Error>")
        return (
            Response(200, path) if path.is_file() else Response(404, b"<Error><Code>NoSuchKey</Code></Error>")
        )
