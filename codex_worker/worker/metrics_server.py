"""`/metrics`, `/healthz` and `/readyz` over HTTP, in threads that no worker waits for."""

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from codex_worker.errors import UserError
from codex_worker.supervisor.figures import Figures

logger = logging.getLogger(__name__)

# A git command may take ten minutes without a word; what is silent for longer hangs.
SILENT_FOR_S = 900.0
# Whoever asks more at once is turned away; an answer takes milliseconds.
MOST_AT_ONCE = 8
# A question that is not complete by then is broken off.
ASKED_WITHIN_S = 5.0
CLOSED_WITHIN_S = 0.1
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class HealthAnswer:
    """Whether it is well, with a sentence."""

    is_well: bool
    sentence: str


def health_of(figures: Figures) -> HealthAnswer:
    """Whether the worker lives: its loop's thread does, and something has gone on lately."""
    if figures.loop is not None and not figures.loop.is_alive():
        return HealthAnswer(False, "The worker's loop has ended.")
    if (silent_s := figures.silent_s) > SILENT_FOR_S and not figures.publishes_kept:
        return HealthAnswer(False, f"The last sign of life was {silent_s:.0f} s ago.")
    return HealthAnswer(True, "ok")


def readiness_of(figures: Figures, is_leaving: bool) -> HealthAnswer:
    """Whether the worker does what jobs there are: it is fit, has read its projects, and stays."""
    if is_leaving:
        return HealthAnswer(False, "The worker is leaving.")
    if figures.is_unfit:
        return HealthAnswer(False, "This machine can do no job as it is: the log says why.")
    if not figures.was_read:
        return HealthAnswer(False, "No poll has read the projects yet.")
    return HealthAnswer(True, "ok")


class MetricsServer:
    """Answers until it is closed, or the process ends."""

    def __init__(
        self,
        registry: CollectorRegistry,
        figures: Figures,
        is_leaving: Callable[[], bool],
        address: str,
        port: int,
        asked_within_s: float = ASKED_WITHIN_S,
    ) -> None:
        """Listens at once. Raises UserError where that is not possible here."""
        answers: dict[str, Callable[[], tuple[int, str, bytes]]] = {
            "/metrics": lambda: (200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)),
            "/healthz": lambda: _said(health_of(figures)),
            "/readyz": lambda: _said(readiness_of(figures, is_leaving())),
        }
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            self._server = _Server((address, port), family, answers, asked_within_s)
        except OSError as error:
            raise UserError(
                f"--metrics-port {port}: nothing can listen there on {address} "
                f"({error.strerror or error}). Choose another port, or another --metrics-address."
            ) from error
        listen = partial(self._server.serve_forever, poll_interval=CLOSED_WITHIN_S)
        threading.Thread(target=listen, name="metrics", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """The same as an address of the web."""
        host, port = self._server.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def close(self) -> None:
        """Nobody gets an answer any more."""
        self._server.shutdown()
        self._server.server_close()


def _said(verdict: HealthAnswer) -> tuple[int, str, bytes]:
    return 200 if verdict.is_well else 503, _TEXT, f"{verdict.sentence}\n".encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        address: tuple[str, int],
        family: socket.AddressFamily,
        answers: dict[str, Callable[[], tuple[int, str, bytes]]],
        asked_within_s: float,
    ) -> None:
        self.address_family = family
        self.answers = answers
        self._asked_within_s = asked_within_s
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)
        super().__init__(address, _Answer)

    def server_bind(self) -> None:
        """Without asking a name server for the machine's name, which may take for ever."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[0], self.server_address[1]  # type: ignore[assignment]

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, while there are places."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started: its place is free again
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One question, which has to be over in time, however slowly somebody asks or reads."""
        threading.current_thread().name = "metrics-answer"  # no line of a job's log
        end = threading.Timer(self._asked_within_s, partial(_break_off, request))
        end.daemon = True
        try:
            end.start()
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Somebody has left in the middle of an answer."""
        logger.debug("A question for metrics ended early.", exc_info=True)


def _break_off(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is over already


class _Answer(BaseHTTPRequestHandler):
    """HTTP/1.0: one question a connection, without a body."""

    server: _Server
    server_version = "codex-worker"
    sys_version = ""

    def do_GET(self) -> None:
        status, kind, body = self._answer()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *arguments: object) -> None:
        """Questions come every few seconds; the log has better things to tell."""

    def _answer(self) -> tuple[int, str, bytes]:
        answer = self.server.answers.get(self.path.partition("?")[0])
        if answer is None:
            return 404, _TEXT, f"There is {', '.join(self.server.answers)}.\n".encode()
        try:
            return answer()
        except Exception:  # a defect of ours must neither end the worker nor hang whoever asks
            logger.exception("The worker's figures could not be read")
            return 500, _TEXT, b"The figures could not be read: the worker's log says why.\n"
