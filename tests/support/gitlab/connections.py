"""HTTP/1.1 on loopback: sockets in, requests out, answers back, faults in between."""

import collections
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.gitlab.faults import Rule
from tests.support.gitlab.messages import Body, Request, Response

Serve = Callable[[Request], Response]


@dataclass
class Exchange:
    """One request as the server saw it. Status 0: no answer was sent."""

    method: str
    target: str
    headers: dict[str, str]
    chunked: bool
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A connection that breaks is what many tests are about; anything else is a defect to be seen.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Listener:
    """Serves `serve` on a free port; remembers every exchange in order of arrival."""

    def __init__(
        self, serve: Serve, *, rule_for: Callable[[Request], Rule | None], wait: Callable[[Rule | None], None]
    ) -> None:
        self.exchanges: list[Exchange] = []
        self.clock_offset_s = 0.0  # of the Date in every answer
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = 1 << 16

            def setup(self) -> None:
                super().setup()
                with listener._lock:
                    listener._open.add(self.connection)

            def finish(self) -> None:
                with listener._lock:
                    listener._open.discard(self.connection)
                super().finish()

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string((timestamp or time.time()) + listener.clock_offset_s)

            def log_message(self, format: str, *arguments: Any) -> None:
                """The exchanges are the log."""

            def serve(self) -> None:
                body = Body(self.rfile, self.headers)
                request = Request(self.command, self.path, self.headers, body)
                exchange = Exchange(self.command, self.path, dict(self.headers.items()), body.chunked)
                with listener._lock:
                    listener.exchanges.append(exchange)
                rule = rule_for(request)
                wait(rule)
                try:
                    if rule is not None and rule.drop == "before":
                        return self.drop()
                    response = rule.response if rule is not None and rule.response else serve(request)
                    exchange.bytes_in = body.read_bytes
                    if rule is not None and rule.drop == "after":
                        return self.drop()
                    return self.send(
                        exchange, response, body, midway=rule is not None and rule.drop == "midway"
                    )
                except ConnectionError:
                    self.close_connection = True  # the client went away; its own side sees that

            def send(self, exchange: Exchange, response: Response, body: Body, *, midway: bool) -> None:
                length = response.length
                self.send_response(response.status)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                if response.status != 204:
                    self.send_header("Content-Length", str(length))
                if not body.is_read:
                    # Like nginx, take the rest: closing on unread data would reset the answer away.
                    collections.deque(body.blocks(), maxlen=0)
                self.end_headers()
                exchange.status = response.status
                if self.command == "HEAD" or response.status == 204:
                    return
                for block in response.blocks():
                    if midway:
                        self.wfile.write(block[: min(len(block), length // 2)])
                        self.wfile.flush()
                        self.drop()
                        return
                    self.wfile.write(block)
                    exchange.bytes_out += len(block)

            def drop(self) -> None:
                # Without lingering the close is a reset, as from a proxy that dies.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = serve

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # closed by the other side already
