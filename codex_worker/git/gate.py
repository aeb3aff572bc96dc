"""The gate: git reaches the token's server through it, and never has the token.

git is another program: what it is given stands in its environment, its arguments, its memory or a pipe, where
code of the same user can read it. So git is sent to an address on this machine, and the worker itself carries
each request on to the server and adds the token. See docs/decisions/0013.
"""

import logging
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from codex_worker.clock import Clock, SystemClock
from codex_worker.git.advertised import MOST_BYTES, QUESTION, Advertised
from codex_worker.git.credentials import Credentials, origin_of
from codex_worker.git.peers import is_family
from codex_worker.tally import Tally, Traffic

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

# All that git asks a repository for over HTTP (gitprotocol-http): anything else is none of its business.
_QUESTIONS = {
    ("GET", QUESTION),
    ("GET", "info/refs?service=git-receive-pack"),
    ("POST", "git-upload-pack"),
    ("POST", "git-receive-pack"),
}
_TO_THE_SERVER = (
    "Accept", "Accept-Encoding", "Accept-Language", "Content-Encoding", "Content-Type", "Git-Protocol",
    "User-Agent",
)  # fmt: skip
_TO_GIT = ("Cache-Control", "Content-Encoding", "Content-Length", "Content-Type", "Retry-After")
_REPOSITORY = "repository.git"
_REDIRECTS = range(300, 400)
_BLOCK_BYTES = 1 << 16
# git sends longer bodies in chunks.
_MAX_BODY_BYTES = 16 << 20
_TIMEOUTS_S = (15.0, 600.0)  # to connect, and between two blocks of an answer
_START_PATIENCE_S = 30.0


class Passage:
    """One git command's way through the gate, to one repository."""

    def __init__(self, gate: str, address: str) -> None:
        self.address = address.rstrip("/")
        self.fault = ""  # why the server could not be asked, as a sentence
        self.secret = secrets.token_hex(16)
        self._gate = gate
        self._pid: int | None = None
        self._started = threading.Event()

    @property
    def settings(self) -> list[str]:
        """What git has to be told."""
        return [f"url.{self._here}.insteadOf={self.address}", "http.proxy=", "http.followRedirects=false"]

    def admit(self, pid: int) -> None:
        """Only this process and those that it starts may pass."""
        self._pid = pid
        self._started.set()

    def is_open_to(self, connection: socket) -> bool:
        """Whether the one who asks is the git command."""
        if not self._started.wait(_START_PATIENCE_S) or self._pid is None:
            return False
        return is_family(self._pid, connection)

    def words(self, words: str) -> str:
        """What git said, with the repository's own address; or why the server could not be asked at all."""
        # Of that git knows only the gate's own refusal.
        return self.fault or words.replace(self._here, self.address).replace(
            self._gate, str(origin_of(self.address))
        )

    @property
    def _here(self) -> str:
        return f"{self._gate}/{self.secret}/{_REPOSITORY}"


class Gate:
    """Lets git use a token for repositories on the token's own server. Safe to share between threads."""

    def __init__(
        self, credentials: Credentials, tally: Tally | None = None, clock: Clock | None = None
    ) -> None:
        self._credentials = credentials
        self.tally = tally or Tally()
        self.advertised = Advertised(clock or SystemClock())
        self._passages: dict[str, Passage] = {}
        self._lock = threading.Lock()
        self._server: _GateServer | None = None

    @contextmanager
    def passage(self, address: str) -> Iterator[Passage | None]:
        """The way for one git command; None where it needs none, for the token is not for this address."""
        if not self._credentials.headers_for(address):
            yield None
            return
        passage = Passage(self._url(), address)
        self._passages[passage.secret] = passage
        try:
            yield passage
        finally:
            del self._passages[passage.secret]

    def find(self, secret: str) -> Passage | None:
        """The passage of this name, while its command runs."""
        return self._passages.get(secret)

    def headers_for(self, address: str) -> Mapping[str, str]:
        """The token, as it is now."""
        return self._credentials.headers_for(address)

    def redact(self, text: str) -> str:
        """The text without tokens."""
        return self._credentials.redact(text)

    def close(self) -> None:
        """Nobody passes any more."""
        with self._lock:
            if self._server is not None:
                self._server.shutdown()
                self._server.server_close()
                self._server = None

    def _url(self) -> str:
        with self._lock:
            if self._server is None:
                self._server = _GateServer(self)
                threading.Thread(target=self._server.serve_forever, daemon=True, name="gate").start()
            return f"http://127.0.0.1:{self._server.server_port}"


class _GateServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, gate: Gate) -> None:
        # requests takes its time to import, and repositories on disk do without.
        from codex_worker.git.plain_session import plain_session

        super().__init__(("127.0.0.1", 0), _Carrier)
        self.gate = gate
        self.session = plain_session(pool_size=16)

    def handle_error(self, request: object, client_address: object) -> None:
        """git left in the middle of an answer, as it does when a fetch brings too much."""
        logger.debug("A connection of git's ended early.", exc_info=True)


class _Carrier(BaseHTTPRequestHandler):
    """Carries one git command's requests to the server, and the answers back."""

    protocol_version = "HTTP/1.1"
    server: _GateServer
    _admitted_to: Passage | None = None

    def do_GET(self) -> None:
        self._carry()

    def do_POST(self) -> None:
        self._carry()

    def log_message(self, format: str, *arguments: object) -> None:
        """git tells its own user."""

    def _carry(self) -> None:
        found = re.fullmatch(rf"/([0-9a-f]+)/{re.escape(_REPOSITORY)}/(.+)", self.path)
        passage = self.server.gate.find(found[1]) if found else None
        if not found or passage is None or (self.command, found[2]) not in _QUESTIONS:
            self._refuse(404)
        elif not self._is_admitted(passage):
            logger.warning("Something on this machine that is not our git tried to use the worker's token.")
            self._refuse(403)
        elif not self._answer_from_memory(passage, found[2]):
            self._ask(passage, found[2])

    def _is_admitted(self, passage: Passage) -> bool:
        # git asks several questions on one connection, and its other end does not change.
        if self._admitted_to is not passage and passage.is_open_to(self.connection):
            self._admitted_to = passage
        return self._admitted_to is passage

    def _answer_from_memory(self, passage: Passage, question: str) -> bool:
        """Answers what the server has answered lately; False where it has to be asked."""
        known = self.server.gate.advertised.find(passage.address, dict(self.headers.items()))
        if question != QUESTION or known is None:
            return False
        self.send_response(200)
        for name, value in known.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(known.body)))
        self._end_headers()
        self.wfile.write(known.body)
        return True

    def _ask(self, passage: Passage, question: str) -> None:
        import requests

        url = f"{passage.address}/{question}"
        asked = {name: self.headers[name] for name in _TO_THE_SERVER if name in self.headers}
        headers = {**asked, **self.server.gate.headers_for(passage.address)}
        try:
            body = self._body()
            answer = self.server.session.request(
                self.command, url, headers=headers, data=body,
                timeout=_TIMEOUTS_S, stream=True, allow_redirects=False,
            )  # fmt: skip
        except (requests.RequestException, OSError) as error:
            passage.fault = f"The connection to {origin_of(url)} failed: {_cause(error)}."
            self._refuse(502)
            return
        with answer:
            if answer.status_code != 200:
                self.server.gate.advertised.forget(passage.address)
            if answer.status_code in _REDIRECTS:
                passage.fault = _sent_on(url, answer.headers.get("Location", ""))
                self._refuse(502)
            else:
                told = self._answer(answer, keeps=MOST_BYTES if question == QUESTION else 0)
                if question == QUESTION and answer.status_code == 200:
                    self.server.gate.advertised.note(passage.address, asked, answer.headers, told)

    def _body(self) -> bytes | Iterator[bytes] | None:
        if self.command == "GET":
            return None
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            # An answer may come before the last chunk is read: what is left of them is no next request.
            self.close_connection = True
            return self._chunks()
        length = int(self.headers.get("Content-Length", "0"))
        if not 0 <= length <= _MAX_BODY_BYTES:
            raise OSError(f"git sent {length} bytes at once")
        self.server.gate.tally.sent(Traffic.GIT, length)
        return self.rfile.read(length)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(64).split(b";")[0], 16):
            left = size
            while left:
                block = self.rfile.read(min(left, _BLOCK_BYTES))
                if not block:
                    raise OSError("git left in the middle of a push")
                left -= len(block)
                self.server.gate.tally.sent(Traffic.GIT, len(block))
                yield block
            self.rfile.readline(64)

    def _answer(self, answer: "requests.Response", *, keeps: int) -> bytes:
        """Carries an answer on to git; answers its beginning, up to a little more than `keeps` bytes."""
        told = b""
        self.send_response(answer.status_code)
        for name in _TO_GIT:
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        in_chunks = "Content-Length" not in answer.headers
        if in_chunks:
            self.send_header("Transfer-Encoding", "chunked")
        self._end_headers()
        for block in answer.raw.stream(_BLOCK_BYTES, decode_content=False):
            self.server.gate.tally.received(Traffic.GIT, len(block))
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if in_chunks else block)
            if keeps and len(told) <= keeps:
                told += block
        if in_chunks:
            self.wfile.write(b"0\r\n\r\n")
        return told

    def _refuse(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self._end_headers()

    def _end_headers(self) -> None:
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def _sent_on(url: str, location: str) -> str:
    """Of an address that may hold secrets of the server's, its origin is enough."""
    here, there = origin_of(url), origin_of(urljoin(url, location))
    if there == here:
        return f"{here} says that this repository has moved. Give its new address."
    place = there or "an address that is not a plain http(s):// one"
    return (
        f"{here} sends us on to {place}, where the token does not go. If the server has moved, give its new "
        "address by --gitlab-url."
    )


def _cause(error: BaseException) -> str:
    """What is at the bottom of an error of requests; its own text repeats the whole address."""
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return (
            "its certificate is not one that this machine trusts (for a CA of your own: $SSL_CERT_FILE or "
            "$GIT_SSL_CAINFO)"
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy ($HTTPS_PROXY, $ALL_PROXY) does not let us through"
    if isinstance(error, requests.Timeout):
        return "it gave no answer in time"
    while inner := getattr(error, "reason", None) or _last_error(error.args):
        error = inner
    return str(error).rpartition(": ")[2].rstrip(" .") or type(error).__name__


def _last_error(arguments: tuple[object, ...]) -> BaseException | None:
    return next((each for each in reversed(arguments) if isinstance(each, BaseException)), None)
