import functools
import http.server
import os
import socket
import ssl
import subprocess
import threading

import certifi
import pytest
import requests

from codex_worker.clock import SystemClock
from codex_worker.errors import AccessDenied, ServerUnreachable, UserError
from codex_worker.git.git_transport import GitTransport
from codex_worker.git.plain_session import plain_session
from codex_worker.git.ports import RefMove
from codex_worker.git.process import Git, network_error
from codex_worker.git.surroundings import settings_for, variables
from codex_worker.gitlab.client import OneServerSession
from tests.support.queues import GitProject

NETWORK = [
    f"{name}{end}" for name in ("http", "https", "all", "no") for end in ("_proxy", "_PROXY")
]  # fmt: skip
ALL = [*NETWORK, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
       "SSL_CERT_FILE", "GIT_SSL_CAPATH", "SSL_CERT_DIR"]  # fmt: skip


@pytest.fixture(autouse=True)
def without_a_network_of_its_own(monkeypatch):
    for name in ALL:
        monkeypatch.delenv(name, raising=False)


class Proxy:
    """Takes one connection after the other, notes what each asks for, and closes it."""

    def __init__(self):
        self.asked = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            connection, _ = self._socket.accept()
            with connection:
                self.asked.append(connection.recv(1000).split(b"\r\n")[0].decode())


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"])
def test_git_and_requests_go_by_the_same_proxy(monkeypatch, tmp_path, name):
    proxy = Proxy()
    monkeypatch.setenv(name, proxy.url)
    with pytest.raises((ServerUnreachable, AccessDenied)):
        Git(tmp_path).online("ls-remote", "https://gitlab.invalid/team/mark.git")
    with pytest.raises(requests.ConnectionError):
        plain_session(pool_size=1).get("https://gitlab.invalid/team/mark.git")
    assert [line.split()[:2] for line in proxy.asked] == [["CONNECT", "gitlab.invalid:443"]] * 2


@pytest.mark.parametrize(
    ("users", "for_git"),
    [
        ({"HTTP_PROXY": "http://p"}, {"http_proxy": "http://p"}),
        ({"https_proxy": "http://a", "HTTPS_PROXY": "http://b"}, {"https_proxy": "http://a"}),
        ({"https_proxy": "", "HTTPS_PROXY": "http://b"}, {"https_proxy": ""}),
        ({"NO_PROXY": "10.0.0.0/8,.local"}, {"no_proxy": "10.0.0.0/8,.local"}),
        ({"SSL_CERT_FILE": "ours.pem"}, {"GIT_SSL_CAINFO": "ours.pem"}),
        ({"REQUESTS_CA_BUNDLE": "ours.pem"}, {"GIT_SSL_CAINFO": "ours.pem"}),
        ({"GIT_SSL_CAINFO": "ours.pem"}, {"GIT_SSL_CAINFO": "ours.pem"}),
        ({"GIT_SSL_CAPATH": "folder"}, {"GIT_SSL_CAPATH": "folder"}),
        ({"SSL_CERT_FILE": "missing.pem"}, {}),
        ({"GITLAB_TOKEN": "secret", "GIT_DIR": "/x", "GIT_SSH_COMMAND": "evil", "GIT_EXEC_PATH": "/x"}, {}),
    ],
)
def test_git_gets_what_is_harmless_of_the_users_variables(monkeypatch, tmp_path, users, for_git):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours.pem").touch()
    (tmp_path / "folder").mkdir()
    assert variables(users) == variables({}) | for_git


class OwnServer:
    """A server with a certificate that nobody else has signed."""

    def __init__(self, folder):
        self.certificate, key = folder / "server.pem", folder / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", key, "-out", self.certificate, "-days", "2", "-subj", "/CN=127.0.0.1",
             "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
        bare = GitProject({"a.txt": b"text"}, folder).bare
        subprocess.run(["git", "-C", str(bare), "update-server-info"], check=True)

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, format, *arguments):
                """Nobody reads it."""

        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=str(bare))
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def own_server(tmp_path_factory):
    server = OwnServer(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "SSL_CERT_FILE"])
def test_git_and_requests_trust_whom_the_user_names_by_any_of_the_usual_names(
    monkeypatch, tmp_path, own_server, name
):
    def reach():
        Git(tmp_path).online("ls-remote", own_server.url)
        plain_session(pool_size=1).get(f"{own_server.url}/HEAD").raise_for_status()
        session = OneServerSession(own_server.url, SystemClock())
        session.get(f"{own_server.url}/HEAD").raise_for_status()

    with pytest.raises(ServerUnreachable, match="certificate"):
        reach()
    with pytest.raises(requests.exceptions.SSLError):
        plain_session(pool_size=1).get(own_server.url)
    monkeypatch.setenv(name, str(own_server.certificate))
    reach()


@pytest.mark.parametrize("name", ["GIT_SSL_CAINFO", "SSL_CERT_FILE"])
def test_what_requests_trusts_by_itself_is_trusted_beside(monkeypatch, own_server, name):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    monkeypatch.setenv(name, str(own_server.certificate))
    assert plain_session(pool_size=1).get(f"{own_server.url}/HEAD").ok


def test_certificates_that_are_none_are_named(monkeypatch, tmp_path):
    (tmp_path / "ours.pem").write_text("not a certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ours.pem"))
    with pytest.raises(UserError, match=r"ours.pem holds no certificates .*\$SSL_CERT_FILE"):
        plain_session(pool_size=1)


@pytest.mark.parametrize("named", ["{bare}", "*"])
def test_a_repository_of_another_owner_is_used_where_the_user_allows_it(monkeypatch, tmp_path, named):
    bare = GitProject({"a.txt": b"text"}, tmp_path).bare
    real = settings_for.__globals__["variables"]
    monkeypatch.setattr(
        "codex_worker.git.process.variables",
        lambda users: real(users) | {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"},
    )
    monkeypatch.setenv("HOME", str(tmp_path))

    def look(folder):
        (tmp_path / folder).mkdir()
        return GitTransport(str(bare), tmp_path / folder / "cache", author="w", email="w@example.org").look()

    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "nothing"))
    with pytest.raises(AccessDenied, match="dubious ownership") as refused:
        look("refused")
    assert "token" not in str(refused.value)
    settings = tmp_path / "settings"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    subprocess.run(
        ["git", "config", "--global", "--add", "safe.directory", named.format(bare=bare)],
        env=os.environ, check=True,
    )  # fmt: skip
    assert look("allowed").commit


def test_what_is_pushed_to_a_repository_on_disk_is_for_all_who_may_use_it(tmp_path):
    bare = GitProject({"a.txt": b"text"}, tmp_path).bare
    bare.chmod(0o755)
    transport = GitTransport(str(bare), tmp_path / "cache", author="w", email="w@example.org")
    before = os.umask(0o077)
    try:
        with transport.locked():
            made = transport.lease_commit(b"a lease")
            assert transport.push([RefMove("refs/gpu-jobs/one", None, made)], atomic=False).accepted
    finally:
        os.umask(before)
    for path in (bare / "refs/gpu-jobs/one", bare / "objects" / made[:2] / made[2:]):
        assert path.stat().st_mode & 0o044 == 0o044 and path.parent.stat().st_mode & 0o055 == 0o055


def test_a_default_branch_that_is_not_there_is_said_with_what_to_do(tmp_path):
    bare = GitProject({"a.txt": b"text"}, tmp_path).bare
    subprocess.run(["git", "-C", str(bare), "symbolic-ref", "HEAD", "refs/heads/gone"], check=True)
    transport = GitTransport(str(bare), tmp_path / "cache", author="w", email="w@example.org")
    with pytest.raises(AccessDenied, match="git symbolic-ref HEAD refs/heads/NAME"):
        transport.look()


@pytest.mark.parametrize("address", ["file:///srv/mark.git", "https://gitlab.example.org/mark.git", None])
def test_nobody_is_sent_after_a_token_for_a_path(address):
    said = str(
        network_error("fetch", "fatal: '/srv/mark.git' does not appear to be a git repository", address)
    )
    assert ("token" in said) == (address is None or not address.startswith("file:"))
