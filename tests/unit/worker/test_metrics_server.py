"""Asking a worker how it is, over HTTP: real questions on a real port."""

import http.client
import socket
import threading
import urllib.request

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from codex_worker.errors import UserError
from codex_worker.supervisor.figures import Figures
from codex_worker.tally import Tally
from codex_worker.worker.metrics import Watched, registry_of
from codex_worker.worker.metrics_server import (
    MOST_AT_ONCE,
    SILENT_FOR_S,
    MetricsServer,
    health_of,
    readiness_of,
)
from tests.support.clock import FakeClock

HERE = "127.0.0.1"


class Asked:
    """A worker's figures, and a server that tells of them."""

    def __init__(self, registry: CollectorRegistry | None = None, asked_within_s: float = 60.0) -> None:
        self.clock = FakeClock()
        self.figures = Figures(self.clock)
        self.is_leaving = False
        watched = Watched(self.figures, Tally(), self.clock)
        self.server = MetricsServer(
            registry or registry_of(watched), self.figures, lambda: self.is_leaving, HERE, 0, asked_within_s
        )

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        line = http.client.HTTPConnection(HERE, self.server.port, timeout=30)
        line.request(method, path)
        answer = line.getresponse()
        text = answer.read().decode()
        line.close()
        return answer.status, text


@pytest.fixture
def asked():
    found = Asked()
    yield found
    found.server.close()


def test_metrics_are_prometheus_text(asked):
    status, text = asked.ask("/metrics")
    assert status == 200 and "# TYPE codex_worker_jobs gauge" in text and text.endswith("\n")
    assert asked.ask("/metrics?name[]=x")[0] == 200
    assert asked.ask("/metrics", "HEAD") == (200, "")


def test_its_address_is_one_that_can_be_asked(asked):
    assert asked.server.url == f"http://127.0.0.1:{asked.server.port}"
    registry = CollectorRegistry()
    server = MetricsServer(registry, asked.figures, lambda: False, "::1", 0)
    assert server.url == f"http://[::1]:{server.port}"
    with urllib.request.urlopen(f"{server.url}/healthz", timeout=30) as answer:
        assert answer.read() == b"ok\n"
    server.close()


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 404),
        ("/metrics/x", "GET", 404),
        ("/../etc/passwd", "GET", 404),
        ("/metrics", "POST", 501),
    ],
)
def test_there_is_nothing_else(asked, path, method, status):
    assert asked.ask(path, method)[0] == status


def test_a_worker_is_healthy_as_long_as_it_gives_signs_of_life(asked):
    assert asked.ask("/healthz") == (200, "ok\n")
    asked.clock.advance(SILENT_FOR_S)
    assert asked.ask("/healthz")[0] == 200
    asked.clock.advance(1)
    assert asked.ask("/healthz") == (503, f"The last sign of life was {SILENT_FOR_S + 1:.0f} s ago.\n")
    asked.figures.sign()
    assert asked.ask("/healthz")[0] == 200


def test_a_worker_that_uploads_what_an_earlier_attempt_left_is_healthy_however_long_that_takes(asked):
    with asked.figures.publishing_kept():
        asked.clock.advance(10 * SILENT_FOR_S)
        assert asked.ask("/healthz")[0] == 200
    assert asked.ask("/healthz")[0] == 200, "its end is a sign of life"
    asked.clock.advance(2 * SILENT_FOR_S)
    assert asked.ask("/healthz")[0] == 503


def test_a_worker_whose_loop_has_ended_is_not_healthy(asked):
    asked.figures.loop = threading.current_thread()
    assert asked.ask("/healthz")[0] == 200
    asked.figures.loop = threading.Thread(target=lambda: None)
    asked.figures.loop.start()
    asked.figures.loop.join()
    assert asked.ask("/healthz") == (503, "The worker's loop has ended.\n")


def test_a_worker_is_ready_once_it_has_read_the_projects_until_it_is_unfit_or_leaves(asked):
    assert asked.ask("/readyz")[0] == 503
    asked.figures.polled(was_read=False)
    assert "No poll has read" in asked.ask("/readyz")[1]
    asked.figures.polled(was_read=True)
    assert asked.ask("/readyz") == (200, "ok\n")
    asked.figures.polled(was_read=False)  # an outage is no reason to start a worker again
    assert asked.ask("/readyz")[0] == 200
    asked.is_leaving = True
    assert "leaving" in asked.ask("/readyz")[1]
    asked.is_leaving, asked.figures.is_unfit = False, True
    assert asked.ask("/readyz")[0] == 503
    assert asked.ask("/healthz")[0] == 200


def test_a_port_that_is_taken_is_a_sentence(asked):
    with pytest.raises(UserError, match=f"--metrics-port {asked.server.port}: nothing can listen there"):
        MetricsServer(CollectorRegistry(), asked.figures, lambda: False, HERE, asked.server.port)
    with pytest.raises(UserError, match=r"on 203\.0\.113\.7 .*--metrics-address"):
        MetricsServer(CollectorRegistry(), asked.figures, lambda: False, "203.0.113.7", 0)


class _Broken(Collector):
    def collect(self):
        raise RuntimeError("what happened")


def test_figures_that_cannot_be_read_are_an_answer_too_and_health_goes_on(caplog):
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Broken())
    asked = Asked(registry)
    status, text = asked.ask("/metrics")
    assert status == 500 and "log says why" in text and "what happened" not in text
    assert asked.ask("/healthz")[0] == 200
    assert "what happened" in caplog.text
    asked.server.close()


def test_those_who_ask_slowly_are_broken_off_and_hold_nobody_up_for_long():
    asked = Asked(asked_within_s=0.2)
    slow = [socket.create_connection((HERE, asked.server.port)) for _ in range(MOST_AT_ONCE)]
    for line in slow:
        line.sendall(b"GET /met")
    for line in slow:
        line.settimeout(30)
        assert line.recv(100) == b"", "the server has closed it"
        line.close()
    assert asked.ask("/healthz")[0] == 200
    asked.server.close()


def test_more_questions_at_once_than_there_are_places_are_turned_away_and_answered_later(asked):
    slow = [socket.create_connection((HERE, asked.server.port)) for _ in range(MOST_AT_ONCE)]
    for line in slow:
        line.sendall(b"GET /metrics HTTP/1.0\r\n")
    with socket.create_connection((HERE, asked.server.port), timeout=30) as one_more:
        assert one_more.recv(100) == b""
    for line in slow:
        line.sendall(b"\r\n")
        assert line.makefile("rb").readline().startswith(b"HTTP/1.0 200")
        line.close()


def test_the_verdicts_need_no_server():
    figures = Figures(FakeClock())
    assert health_of(figures).is_well and not readiness_of(figures, is_leaving=False).is_well
