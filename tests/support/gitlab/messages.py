"""What one HTTP exchange is made of, apart from sockets."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

BLOCK_BYTES = 1 << 16


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def readline(self) -> bytes: ...


class Body:
    """A request's body, read from the connection as it is needed: of a given length, or chunked."""

    def __init__(self, stream: Stream, headers: Message) -> None:
        self._stream = stream
        self._chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        self._left = 0 if self._chunked else int(headers.get("Content-Length") or 0)
        self._ended = not self._chunked and self._left == 0
        self.chunked = self._chunked
        self.read_bytes = 0

    @property
    def is_read(self) -> bool:
        return self._ended

    def blocks(self) -> Iterator[bytes]:
        source = self._chunks() if self._chunked else self._plain_blocks()
        for block in source:
            self.read_bytes += len(block)
            yield block

    def read(self) -> bytes:
        return b"".join(self.blocks())

    def _plain_blocks(self) -> Iterator[bytes]:
        while self._left > 0:
            block = self._stream.read(min(self._left, BLOCK_BYTES))
            if not block:
                raise ConnectionError("the client closed the connection within a request")
            self._left -= len(block)
            yield block
        self._ended = True

    def _chunks(self) -> Iterator[bytes]:
        while not self._ended:
            size = int(self._stream.readline().split(b";")[0], 16)
            if size:
                yield self._stream.read(size)
            self._stream.readline()
            self._ended = size == 0


@dataclass
class Request:
    method: str
    target: str  # the path with its query, as sent
    headers: Message
    body: Body

    @cached_property
    def path(self) -> str:
        """Without the query; still quoted, as a project's path is one part of it."""
        return urlsplit(self.target).path

    @cached_property
    def query_lists(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @cached_property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in self.query_lists.items()}

    def json(self) -> Any:
        try:
            return json.loads(self.body.read() or b"null")
        except ValueError as error:
            raise Refused(400, {"error": "The body is not JSON"}) from error


@dataclass
class Response:
    status: int = 200
    body: bytes | Path = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        return self.body.stat().st_size if isinstance(self.body, Path) else len(self.body)

    def blocks(self) -> Iterator[bytes]:
        if isinstance(self.body, bytes):
            yield self.body
            return
        with self.body.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block


class Refused(Exception):
    """An answer that ends the handling of a request at once."""

    def __init__(self, status: int, content: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {content}")
        self.response = answer(content, status, headers)


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; a plain string stays plain text."""
    if isinstance(content, str):
        return Response(status, content.encode(), {"Content-Type": "text/plain", **(headers or {})})
    return Response(
        status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})}
    )
