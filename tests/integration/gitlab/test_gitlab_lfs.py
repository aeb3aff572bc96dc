"""Large files over HTTP, against a server that behaves like GitLab."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from codex_worker.errors import AccessDenied, DataError, ProjectGone, Refused, SystemFault, UserError
from codex_worker.git.credentials import Credentials
from codex_worker.git.lfs.ask_first import ask_first
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.http import HttpStore
from codex_worker.git.lfs.pointer import Pointer, pointer_for
from codex_worker.git.lfs.transport import HttpSettings
from codex_worker.retry import LARGE_FILES, PASSING
from codex_worker.tally import Tally, Traffic
from tests.support.gitlab import GitLabServer
from tests.support.gitlab.signed_in import signed_in
from tests.support.present import present

SCOPES = ["read_api", "read_repository", "write_repository"]
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Setting:
    """A project on a server, a store that never really waits, and an empty cache."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder
        self.project = server.create_project("team/mark", {"worker": 30})
        self.token = server.create_token("worker", SCOPES)
        self.env_file = folder / "secrets"
        self.credentials = Credentials(self.token, server.url, env_file=self.env_file)
        self.env_file.write_text(f"GITLAB_TOKEN={self.token}\n")
        self.waits = []
        self.tally = Tally()
        self.cache = LfsCache(folder / "cache", 50_000_000)
        self.store = self.open()

    def open(self, **settings):
        return HttpStore(
            self.server.git_url(self.project),
            self.credentials,
            settings=HttpSettings(**settings),
            sleep=self.waits.append,
            clock=NOW.timestamp,
            tally=self.tally,
        )

    def recordings(self, count, size=3000):
        folder = self.folder / f"recordings-{count}-{size}"
        folder.mkdir()
        objects = []
        for number in range(count):
            path = folder / f"{number}.webm"
            path.write_bytes(hashlib.sha512(f"{number}".encode()).digest() * (size // 64))
            objects.append((pointer_for(path), path))
        return objects

    def uploaded(self, count, size=3000):
        objects = self.recordings(count, size)
        self.store.upload(objects)
        self.server.requests.clear()
        return objects

    def assert_downloads(self, objects):
        results = self.store.download([pointer for pointer, _ in objects], self.cache)
        assert [results[pointer].read_bytes() for pointer, _ in objects] == [
            path.read_bytes() for _, path in objects
        ]

    def kept(self):
        return {path.name for path in (self.folder / "cache" / "objects").rglob("*") if path.is_file()}

    def server_file(self, pointer):
        return self.server.state.object_path(pointer.oid)


@pytest.fixture
def setting(tmp_path):
    with GitLabServer(tmp_path) as server:
        yield Setting(server, tmp_path)


def test_what_goes_up_comes_down_in_batches_of_a_hundred(setting):
    objects = setting.uploaded(120)
    setting.assert_downloads(objects)
    assert len(setting.server.requests_to("/objects/batch")) == 2
    assert len(setting.server.requests_to("/gitlab-lfs/objects/", "GET")) == 120
    setting.server.requests.clear()
    setting.assert_downloads(objects)
    assert setting.server.requests == []
    moved = {Traffic.LARGE_FILES: sum(pointer.size for pointer, _ in objects)}
    assert setting.tally.sent_bytes == moved == setting.tally.received_bytes, "what is cached does not come"


def test_large_objects_get_a_batch_of_their_own_right_before_they_move(setting):
    setting.store = setting.open(batch_bytes=7000)
    objects = setting.recordings(5)
    setting.store.upload(objects)
    kinds = [exchange.method for exchange in setting.server.requests]
    assert sorted(kinds) == ["POST"] * 3 + ["PUT"] * 5
    assert kinds[0] == kinds[3] == kinds[6] == "POST"


def test_uploads_have_a_length_and_are_not_chunked(setting):
    (pointer, _), *_ = objects = setting.recordings(1, 300_000)
    setting.store.upload(objects)
    (put,) = setting.server.requests_to("/gitlab-lfs/", "PUT")
    assert not put.chunked
    assert put.headers["Content-Length"] == str(pointer.size)
    assert put.bytes_in == pointer.size


def test_an_empty_file_is_not_chunked_either(setting, tmp_path):
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    setting.store.upload([(pointer_for(empty), empty)])
    (put,) = setting.server.requests_to("/gitlab-lfs/", "PUT")
    assert not put.chunked
    setting.assert_downloads([(pointer_for(empty), empty)])


def test_what_the_project_has_is_not_sent_again(setting):
    objects = setting.uploaded(3)
    setting.store.upload(objects)
    assert [exchange.method for exchange in setting.server.requests] == ["POST"]


def test_bytes_that_another_project_has_are_sent_to_prove_that_we_have_them(setting):
    objects = setting.uploaded(1)
    setting.project = setting.server.create_project("team/luke", {"worker": 30})
    setting.open().upload(objects)
    assert len(setting.server.requests_to("/team/luke.git/gitlab-lfs/", "PUT")) == 1


def test_missing_names_what_the_server_does_not_have(setting):
    objects = setting.uploaded(2)
    absent = Pointer("ab" * 32, 5)
    assert setting.store.missing([absent, *(pointer for pointer, _ in objects)]) == {absent}


def test_an_object_that_was_never_uploaded_is_an_error_of_its_own(setting):
    ((there, path),) = setting.uploaded(1)
    absent = Pointer("ab" * 32, 5)
    results = setting.store.download([absent, there], setting.cache)
    assert "was not uploaded" in str(results[absent])
    assert results[there].read_bytes() == path.read_bytes()
    assert setting.waits == []


def test_damaged_and_overlong_objects_are_errors_of_their_own(setting):
    objects = setting.uploaded(3)
    damaged, overlong, fine = (pointer for pointer, _ in objects)
    content = setting.server_file(damaged).read_bytes()
    setting.server_file(damaged).write_bytes(b"x" + content[1:])
    # The batch looks at sizes, so the overlong one has to grow behind its back.
    setting.server.faults.answer(200, overlong.oid, method="GET", times=None)
    setting.server.faults.rules[-1].response.body = b"x" * (overlong.size + 1)
    results = setting.store.download([damaged, overlong, fine], setting.cache)
    assert "damaged" in str(results[damaged])
    assert "longer" in str(results[overlong])
    assert results[fine].is_file()
    assert setting.kept() == {fine.oid}


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_refusals_that_pass_are_tried_again(setting, status):
    objects = setting.recordings(2)
    setting.server.faults.answer(status, "/objects/batch", times=2)
    setting.server.faults.answer(status, "/gitlab-lfs/", method="PUT")
    setting.store.upload(objects)
    setting.server.faults.answer(status, "/gitlab-lfs/", method="GET")
    setting.assert_downloads(objects)
    assert setting.server.faults.injected == {f"answer {status}": 4}
    assert len(setting.waits) == 4
    assert setting.tally.retries == {"large file": 4}


@pytest.mark.parametrize("moment", ["before", "after", "midway"])
def test_dropped_connections_are_tried_again(setting, moment):
    objects = setting.recordings(2)
    for path, method in [("/objects/batch", "POST"), ("/gitlab-lfs/", "PUT"), ("/gitlab-lfs/", "GET")]:
        setting.server.faults.drop(moment, path, method=method)
    setting.store.upload(objects)
    setting.assert_downloads(objects)
    assert setting.server.faults.injected == {f"drop {moment}": 3}


def test_an_upload_whose_answer_was_lost_is_not_sent_twice(setting):
    objects = setting.recordings(1)
    setting.server.faults.drop("after", "/gitlab-lfs/", method="PUT")
    setting.store.upload(objects)
    assert len(setting.server.requests_to("/gitlab-lfs/", "PUT")) == 1
    assert setting.store.missing([objects[0][0]]) == set()


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "86400"}, 60),
        ({"Retry-After": format_datetime(NOW.replace(second=20), usegmt=True)}, 20),
        ({"RateLimit-Reset": str(int(NOW.timestamp()) + 9)}, 9),
    ],
)
def test_the_server_says_how_long_to_wait_but_not_for_ever(setting, headers, wait_s):
    setting.server.faults.answer(429, "/objects/batch", headers=headers)
    setting.uploaded(1)
    assert setting.waits == [wait_s]


def test_a_rate_limit_that_says_nothing_is_met_with_a_growing_wait(setting):
    setting.server.faults.answer(429, "/objects/batch", times=5)
    setting.uploaded(1)
    assert len(setting.waits) == 5
    assert all(0 <= wait_s <= 60 for wait_s in setting.waits)


def test_an_outage_longer_than_a_requests_tries_is_left_to_the_publication_to_wait_out(setting):
    setting.server.faults.answer(503, "/objects/batch", times=100)
    with pytest.raises(PASSING, match="answered 503"):
        setting.uploaded(1)
    assert len(setting.waits) == present(LARGE_FILES.tries) - 1


def test_an_outage_is_one_clear_error_and_keeps_what_has_arrived(setting):
    objects = setting.uploaded(20)
    setting.store = setting.open(concurrent_transfers=1)
    setting.server.faults.answer(503, "/gitlab-lfs/", method="GET", nth=3, times=None)
    with pytest.raises(SystemFault, match="answered 503"):
        setting.store.download([pointer for pointer, _ in objects], setting.cache)
    assert len(setting.kept()) == 2


def test_one_object_that_the_server_cannot_give_does_not_stop_the_others(setting):
    objects = setting.uploaded(4)
    broken = objects[1][0]
    setting.server.faults.answer(500, broken.oid, method="GET", times=None)
    results = setting.store.download([pointer for pointer, _ in objects], setting.cache)
    assert isinstance(results[broken], DataError)
    assert "answered 500" in str(results[broken])
    assert sum(isinstance(result, DataError) for result in results.values()) == 1


def refuse_object(setting, pointer, code):
    """The batch itself is answered; the object in it is refused."""
    error = {"code": code, "message": "a fault on demand"}
    setting.server.faults.answer(200, "/objects/batch", times=None)
    answer = {"objects": [{"oid": pointer.oid, "size": pointer.size, "error": error}]}
    setting.server.faults.rules[-1].response.body = json.dumps(answer).encode()


def test_headers_that_ran_out_are_asked_for_anew_once(setting):
    objects = setting.uploaded(3)

    def expire(progress):
        setting.server.auth.expire_lfs_headers()

    one_at_a_time = setting.open(concurrent_transfers=1)
    results = one_at_a_time.download([pointer for pointer, _ in objects], setting.cache, on_progress=expire)
    assert all(results[pointer].read_bytes() == path.read_bytes() for pointer, path in objects)
    assert len(setting.server.requests_to("/objects/batch")) > 1


def test_headers_that_never_work_end_the_upload_with_a_clear_error(setting):
    setting.server.auth.lfs_token_lifetime_s = 0.0
    with pytest.raises(SystemFault, match="refuses the upload"):
        setting.store.upload(setting.recordings(1))
    assert len(setting.server.requests_to("/objects/batch")) == 2


def test_a_new_token_in_the_env_file_is_taken_up_in_the_middle(setting):
    objects = setting.recordings(1)
    setting.server.state.tokens[setting.token].revoked = True
    setting.env_file.write_text(f"GITLAB_TOKEN={setting.server.create_token('worker', SCOPES)}\n")
    setting.store.upload(objects)
    setting.assert_downloads(objects)


def test_a_refused_token_is_named_as_the_reason(setting):
    objects = setting.recordings(1)
    setting.server.state.tokens[setting.token].revoked = True
    with pytest.raises(AccessDenied, match="token was refused"):
        setting.store.upload(objects)
    assert setting.waits == []


def test_a_token_that_may_only_read_is_told_what_it_needs(setting):
    setting.credentials = Credentials(
        setting.server.create_token("worker", ["read_repository"]), setting.server.url
    )
    with pytest.raises(AccessDenied, match="write_repository and the role Developer"):
        setting.open().upload(setting.recordings(1))


def test_a_project_one_may_not_see_is_said_to_be_so(setting):
    setting.project.members.clear()
    with pytest.raises(AccessDenied, match="no such project, or the token may not see it"):
        setting.store.missing([Pointer("ab" * 32, 5)])


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "answered 400"),
        (404, "answered 404"),
        (406, "larger than the server accepts"),
        (413, "larger than the server accepts"),
        (418, "answered 418"),
        (422, "does not accept this file"),
        (501, "Turn on Git LFS"),
        (507, "storage is full"),
    ],
)
@pytest.mark.parametrize(
    ("where", "method"), [("/gitlab-lfs/", "PUT"), ("/objects/batch", "POST"), ("", None)]
)
def test_a_refused_upload_is_a_refusal_wherever_it_is_said_and_says_what_to_do(
    setting, status, said, where, method
):
    objects = setting.recordings(1)
    if where:
        setting.server.faults.answer(status, where, method=method, times=None)
    else:
        refuse_object(setting, objects[0][0], status)
    refused = ProjectGone if status == 404 and where == "/objects/batch" else Refused
    with pytest.raises(refused, match="fault on demand") as caught:
        setting.store.upload(objects)
    assert said in str(caught.value) or not where
    assert str(caught.value).endswith(".") and ".." not in str(caught.value)
    assert sum(setting.waits) == 0


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("You cannot write to this read-only GitLab instance.", Refused),
        ("Your action has been rejected because the namespace storage limit has been reached.", Refused),
        ("You can't push code to an archived project.", Refused),
        ("<html><head><title>403</title></head><body>Blocked by the firewall</body></html>", Refused),
        ("Access forbidden. Check your access level.", AccessDenied),
        ("", AccessDenied),
    ],
)
def test_a_403_says_what_the_server_said_and_blames_the_token_only_where_that_is_meant(setting, words, error):
    setting.server.faults.answer(403, "/objects/batch", times=None)
    body = words if words.startswith("<") else json.dumps({"message": words})
    setting.server.faults.rules[-1].response.body = body.encode()
    with pytest.raises(error) as caught:
        setting.store.upload(setting.recordings(1))
    said = str(caught.value)
    assert "the token was refused" not in said
    assert ("write_repository" in said) == (error is AccessDenied)
    assert (
        words.rpartition("<body>")[2].removesuffix("</body></html>").rstrip(".") in said and "<" not in said
    )


def test_a_project_without_lfs_says_how_to_turn_it_on(setting):
    setting.project.lfs_enabled = False
    with pytest.raises(UserError, match="Turn on Git LFS"):
        setting.store.missing([Pointer("ab" * 32, 5)])


def test_a_file_that_changed_is_not_uploaded(setting):
    ((pointer, path),) = objects = setting.recordings(1)
    path.write_bytes(b"x" * pointer.size)
    with pytest.raises(DataError, match="has changed"):
        setting.store.upload(objects)
    assert setting.server.requests_to("/gitlab-lfs/", "PUT") == []


def test_an_answer_that_is_no_answer_is_refused(setting):
    setting.server.faults.answer(200, "/objects/batch")
    setting.server.faults.rules[-1].response.body = b"<html>Sign in</html>"
    with pytest.raises(SystemFault, match="not one of the Git LFS batch API"):
        setting.store.missing([Pointer("ab" * 32, 5)])


def test_a_redirect_to_another_host_takes_no_secret_along(setting):
    objects = setting.uploaded(5)
    with setting.server.object_storage() as storage:
        setting.server.redirect_objects_to(storage)
        setting.assert_downloads(objects)
        assert len(storage.requests) == 5


def test_the_other_host_notices_a_client_that_leaks(setting):
    """The check above can fail: python's usual redirect handling sends a PRIVATE-TOKEN on."""
    import requests

    ((pointer, _),) = setting.uploaded(1)
    session = requests.Session()
    session.headers["PRIVATE-TOKEN"] = setting.token
    with (
        pytest.raises(AssertionError, match="secrets reached another host"),
        setting.server.object_storage() as storage,
    ):
        setting.server.redirect_objects_to(storage)
        session.get(f"{setting.server.git_url(setting.project)}/gitlab-lfs/objects/{pointer.oid}")


def test_an_address_on_another_host_gets_no_token_even_when_the_server_hands_it_over(setting):
    ((pointer, _),) = setting.uploaded(1)
    encoded = base64.b64encode(f"oauth2:{setting.token}".encode()).decode()
    with setting.server.object_storage() as storage:
        href = f"{storage.url}/{pointer.oid}?X-Amz-Signature=1"
        action = {"href": href, "header": {"Authorization": f"Basic {encoded}", "X-Token": setting.token}}
        setting.server.faults.answer(200, "/objects/batch")
        answer = {"objects": [{"oid": pointer.oid, "size": pointer.size, "actions": {"download": action}}]}
        setting.server.faults.rules[-1].response.body = json.dumps(answer).encode()
        results = setting.store.download([pointer], setting.cache)
        assert results[pointer].is_file()


def test_no_log_or_error_shows_a_secret(setting, caplog):
    caplog.set_level("DEBUG")
    objects = setting.uploaded(2)
    setting.server.faults.answer(500, "/gitlab-lfs/", method="GET", times=None)
    setting.server.faults.rules[-1].response.body = f"no luck with {setting.token}".encode()
    with pytest.raises(SystemFault) as caught:
        setting.store.download([objects[0][0]], setting.cache)
    assert "no luck with [redacted]" in str(caught.value)
    assert setting.token not in caplog.text
    assert "Basic " not in caplog.text


def test_ten_workers_upload_at_once_and_one_reads_it_all(setting):
    objects = setting.recordings(40)
    shares = [objects[start : start + 8] for start in range(0, 40, 4)]  # each overlaps with the next

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda share: setting.open().upload(share), shares))
    setting.assert_downloads(objects)


def test_progress_may_stop_a_transfer(setting):
    objects = setting.recordings(30)

    def stop(progress):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        setting.open(concurrent_transfers=2).upload(objects, on_progress=stop)
    assert len(setting.server.requests_to("/gitlab-lfs/", "PUT")) < 30


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_a_git_lfs_client_gets_the_same_bytes_and_its_uploads_are_read(setting, tmp_path):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
        **signed_in(setting.token),
    }  # fmt: skip

    def git(*arguments):
        subprocess.run(["git", *arguments], env=environment, check=True, capture_output=True)

    ((pointer, path),) = setting.uploaded(1, 100_000)
    git("lfs", "install", "--skip-repo")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    url = setting.server.git_url(setting.project)
    git("init", "-q", "-b", "main", str(ours))
    (ours / ".gitattributes").write_text("*.webm filter=lfs -text\n")
    git("-C", str(ours), "add", ".")
    blob = subprocess.run(
        ["git", "-C", str(ours), "hash-object", "-w", "--stdin"],
        input=pointer.render(), env=environment, capture_output=True, check=True,
    ).stdout.decode().strip()  # fmt: skip
    git("-C", str(ours), "update-index", "--add", "--cacheinfo", f"100644,{blob},a.webm")
    git("-C", str(ours), "commit", "-qm", "One recording")
    git("-C", str(ours), "push", "-q", "--no-verify", url, "main")

    git("clone", "-q", url, str(theirs))
    assert (theirs / "a.webm").read_bytes() == path.read_bytes()
    (theirs / "b.webm").write_bytes(b"their recording")
    git("-C", str(theirs), "add", ".")
    git("-C", str(theirs), "commit", "-qm", "Another")
    git("-C", str(theirs), "push", "-q", "origin", "main")
    setting.assert_downloads([(pointer_for(theirs / "b.webm"), theirs / "b.webm")])


@pytest.mark.parametrize(
    ("status", "is_refused"),
    [
        *((status, True) for status in (403, 406, 413, 422, 501, 507)),
        *((status, False) for status in (408, 429, 500, 503)),
    ],
)
@pytest.mark.parametrize("is_of_object", [True, False])
def test_a_server_is_asked_before_a_model_is_made(setting, monkeypatch, status, is_refused, is_of_object):
    """Only a no that stays is one; a store that is away now may be back when the model is made."""
    monkeypatch.setattr("secrets.token_hex", lambda _: "0" * 64)
    error = {"code": status, "message": "The server's words"}
    body = {"objects": [{"oid": "0" * 64, "size": 10**9, "error": error}]} if is_of_object else error
    setting.server.faults.answer(200 if is_of_object else status, "/objects/batch", times=None)
    setting.server.faults.rules[-1].response.body = json.dumps(body).encode()
    with pytest.raises(SystemFault, match="The server's words") if is_refused else nullcontext():
        ask_first(setting.server.git_url(setting.project), setting.credentials, 10**9)


def test_a_server_that_would_take_a_model_is_sent_nothing_yet(setting):
    ask_first(setting.server.git_url(setting.project), setting.credentials, 10**9)
    assert [request.method for request in setting.server.requests] == ["POST"]


def test_a_repository_on_disk_is_asked_nothing(tmp_path):
    ask_first(str(tmp_path), Credentials(None, "https://git.example.org"), 10**15)
