"""What hostile code can do to git: read it while it works, and leave programs where it will look."""

import base64
import os
import random
import re
import stat
import subprocess
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from codex_worker.clock import SystemClock
from codex_worker.errors import AccessDenied, CacheBroken, ServerUnreachable
from codex_worker.git.credentials import Credentials
from codex_worker.git.gate import Gate
from codex_worker.git.git_transport import GitTransport
from codex_worker.git.ports import RefMove
from codex_worker.git.process import Git
from codex_worker.git.repository import Change, Repository
from tests.support.gitlab import DEVELOPER, GitLabServer
from tests.support.queues import GitProject

SCOPES = ["read_api", "read_repository", "write_repository"]
PROGRAM = '#!/bin/sh\necho "$0 $*" >> {ran}\ncat > /dev/null 2>&1\n'
HOOKS = [
    "pre-receive", "update", "post-receive", "post-update", "reference-transaction", "push-to-checkout",
    "proc-receive", "pre-auto-gc", "pre-push", "post-rewrite", "fsmonitor-watchman", "post-index-change",
]  # fmt: skip
SETTINGS = {
    "core.hooksPath": "{folder}/hooks",
    "core.fsmonitor": "{program}",
    "core.alternateRefsCommand": "{program}",
    "core.sshCommand": "{program}",
    "core.gitProxy": "{program}",
    "core.askPass": "{program}",
    "core.pager": "{program}",
    "credential.helper": "!{program}",
    "gpg.program": "{program}",
    "log.showSignature": "true",
    "push.gpgSign": "if-asked",
    "uploadpack.packObjectsHook": "{program}",
    "gc.recentObjectsHook": "{program}",
    "gc.auto": "1",
    "receive.procReceiveRefs": "refs/nothing",
    "receive.denyCurrentBranch": "updateInstead",
    "protocol.ext.allow": "always",
    "diff.external": "{program}",
}


def plant(repository: Path, ran: Path) -> None:
    """Programs everywhere in a repository, as whoever can write to its folder may leave them."""
    program = repository / "program"
    hooks = repository / "hooks"
    hooks.mkdir(exist_ok=True)
    for path in (program, *(hooks / name for name in HOOKS)):
        path.write_text(PROGRAM.format(ran=ran))
        path.chmod(0o755)
    for key, value in SETTINGS.items():
        shown = value.format(folder=repository, program=program)
        subprocess.run(["git", f"--git-dir={repository}", "config", key, shown], check=True)


def transact(repository: Repository, path: str) -> None:
    repository.transact(lambda snapshot, heads: Change({path: b"text"}, "A change"), patience_s=0)


def descendants_of_ours() -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    family = [os.getpid()]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family[1:]


def memory_of(pid: int) -> bytes:
    """What can be written of its memory; nothing where this machine lets nobody look."""
    found: list[bytes] = []
    if not os.access(f"/proc/{pid}/mem", os.R_OK):
        return b""
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            if rights.startswith("rw"):
                start, end = (int(part, 16) for part in span.split("-"))
                try:
                    memory.seek(start)
                    found.append(memory.read(end - start))
                except (OSError, ValueError):
                    continue
    return b"".join(found)


def readable_of(pid: int) -> bytes:
    """All that code of the same user can read of a process, but for pipes, which would be drained."""
    found = [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline")]
    found.append(memory_of(pid))
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if stat.S_ISREG(descriptor.stat().st_mode):
                found.append(descriptor.read_bytes())
        except OSError:
            continue
    return b"".join(found)


class Spy:
    """Reads the worker's git commands at the moment in which each of their requests is at the server."""

    def __init__(self) -> None:
        self.is_watching = False
        self.read: dict[str, bytes] = {}
        self.secrets: list[str] = []

    def __call__(self, _: float) -> None:
        for pid in descendants_of_ours() if self.is_watching else []:
            try:
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                if name.startswith("git"):
                    self.read[name] = self.read.get(name, b"") + readable_of(pid)
                    self.secrets += re.findall(r"http://127.0.0.1:\d+/[0-9a-f]{32}", self.command_of(pid))
            except OSError:
                continue

    @staticmethod
    def command_of(pid: int) -> str:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")


class Place:
    """A project on a server that a spy looks on from, and a worker's way to it."""

    def __init__(self, folder: Path, server: GitLabServer) -> None:
        self.folder = folder
        self.server = server
        self.bare = GitProject({"gpu_jobs/manifest.yaml": b"version: 1\n"}, folder).bare
        self.project = server.create_project("team/mark", {"worker": DEVELOPER}, repository=self.bare)
        self.token = server.create_token("worker", SCOPES)
        self.gate = Gate(Credentials(self.token, server.url))

    def repository(self, address: str | None = None, name: str = "cache.git") -> Repository:
        return Repository(self.transport(address, name), SystemClock())

    def transport(self, address: str | None = None, name: str = "cache.git") -> GitTransport:
        return GitTransport(
            address or self.server.git_url(self.project), self.folder / name,
            author="worker", email="worker@example.org", gate=self.gate,
        )  # fmt: skip


@pytest.fixture
def spy():
    return Spy()


@pytest.fixture
def place(tmp_path, spy):
    with GitLabServer(tmp_path, latency_s=1e-9, sleep=spy) as server:
        place = Place(tmp_path, server)
        yield place
        place.gate.close()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_no_git_process_holds_the_token_at_any_request_of_a_push(place, spy):
    spy.is_watching = True
    transact(place.repository(), "a.txt")

    assert "git-remote-http" in spy.read and "git" in spy.read
    basic = base64.b64encode(f"oauth2:{place.token}".encode())
    for name, seen in spy.read.items():
        assert place.token.encode() not in seen and basic not in seen, name
    for path in place.folder.rglob("cache.git/**/*"):
        assert not path.is_file() or place.token.encode() not in path.read_bytes()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs /proc")
def test_whoever_is_not_our_git_does_not_pass_the_gate(place, spy):
    spy.is_watching = True
    answers = []
    question = "/repository.git/info/refs?service=git-receive-pack"

    def try_to_pass(seconds: float) -> None:
        spy(seconds)
        before = len(place.server.requests)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{spy.secrets[-1]}{question}")
        answers.append((refused.value.code, len(place.server.requests) - before))

    place.server._sleep = try_to_pass
    place.repository().look()

    assert answers and set(answers) == {(403, 0)}
    with pytest.raises(urllib.error.HTTPError, match="404"):  # the command is over
        urllib.request.urlopen(f"{spy.secrets[-1]}{question}")


@pytest.mark.parametrize(
    "path",
    ["repository.git/HEAD", "repository.git/../../other/x.git/info/refs?service=git-upload-pack",
     "repository.git/info/lfs/objects/batch", "api/v4/user", ""],
)  # fmt: skip
def test_git_itself_reaches_nothing_but_the_repository(place, path):
    with place.gate.passage(place.server.git_url(place.project)) as passage:
        (setting, *_) = passage.settings
        base = setting.removeprefix("url.").partition("/repository.git")[0]
        passage.admit(os.getpid())
        place.server.requests.clear()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{base}/{path}")
        assert place.server.requests == []


def test_another_server_and_a_repository_on_disk_get_nothing_of_the_token(place, tmp_path):
    with GitLabServer(tmp_path / "other") as other:
        stranger = other.create_project("team/luke", repository=place.bare)
        for address in (other.git_url(stranger), str(place.bare)):
            with place.gate.passage(address) as passage:
                assert passage is None
        with pytest.raises(Exception, match="cannot be used"):
            place.repository(other.git_url(stranger), "other.git").look()
        assert other.requests and not any("Authorization" in each.headers for each in other.requests)
    assert place.repository(str(place.bare), "disk.git").look().commit


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("{other}/team/mark.git/info/refs", "sends us on to {other},"),
        ("https://user:secret@evil.example/team", "not a plain"),
        ("/team/luke.git/info/refs", "has moved. Give its new address"),
    ],
)
def test_a_redirect_takes_the_token_nowhere(place, tmp_path, location, words):
    with GitLabServer(tmp_path / "other") as other:
        place.server.faults.answer(302, "info/refs", headers={"Location": location.format(other=other.url)})
        with pytest.raises(ServerUnreachable) as refused:
            place.repository().look()
        assert words.format(other=other.url) in str(refused.value) and "secret" not in str(refused.value)
        assert other.requests == [] and len(place.server.requests) == 1


def test_programs_in_a_cache_never_run_and_its_settings_are_not_believed(place, tmp_path):
    ran = tmp_path / "ran"
    transact(place.repository(), "before.txt")
    plant(tmp_path / "cache.git", ran)
    subprocess.run(
        ["git", f"--git-dir={tmp_path}/cache.git", "config", "remote.origin.url", "https://evil.example"],
        check=True,
    )

    repository = place.repository()
    heads = repository.look()
    repository.records([heads.commit])
    transact(repository, "after.txt")

    assert repository.snapshot().existing(["before.txt", "after.txt"]) == {"before.txt", "after.txt"}
    assert not ran.exists() and not (tmp_path / "cache.git" / "program").exists()


@pytest.mark.parametrize("name", ["commondir", "config.worktree", "objects/info/alternates", "info/grafts"])
def test_a_cache_that_points_elsewhere_is_made_anew(place, tmp_path, name):
    place.repository().snapshot()
    planted = tmp_path / "cache.git" / name
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(f"{tmp_path}/elsewhere\n")
    assert place.repository().snapshot().existing(["gpu_jobs/manifest.yaml"])
    assert not planted.exists()


def test_what_is_planted_in_a_cache_while_git_runs_does_not_run_either(place, tmp_path):
    ran = tmp_path / "ran"
    place.repository().snapshot()
    plant(tmp_path / "cache.git", ran)
    git = Git(tmp_path / "cache.git", address=place.server.git_url(place.project), gate=place.gate)
    git.online("fetch", "--filter=blob:none", "origin", "+refs/heads/main:refs/worker/head")
    git.local("update-ref", "refs/worker/other", "refs/worker/head")
    git.local("log", "--format=%H", "refs/worker/head")
    git.online("push", "--porcelain", "origin", "refs/worker/head:refs/heads/another")
    assert not ran.exists()


def test_programs_in_a_repository_on_disk_never_run(place, tmp_path):
    ran = tmp_path / "ran"
    plant(place.bare, ran)
    repository = place.repository(str(place.bare), "disk.git")
    transact(repository, "a.txt")
    assert repository.snapshot().read("a.txt") == b"text"
    assert not ran.exists()
    # A person's git does run them.
    subprocess.run(
        ["git", "-C", str(place.bare), "push", "-q", ".", "main:refs/heads/by-a-person"], check=False
    )
    assert "hooks/" in ran.read_text()


def test_a_push_changes_no_working_tree(place, tmp_path):
    """Else the repository's filters would run, which are programs."""
    ran = tmp_path / "ran"
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "-q", str(place.bare), str(checkout)], check=True)
    git = ["git", "-C", str(checkout)]
    (checkout / ".git" / "info" / "attributes").write_text("* filter=evil\n")
    for key, value in {
        "filter.evil.smudge": f"sh -c 'echo smudged >> {ran}; cat'",
        "receive.denyCurrentBranch": "updateInstead",
    }.items():
        subprocess.run([*git, "config", key, value], check=True)
    transport = place.transport(str(checkout), "checkout-cache.git")
    with transport.locked():
        heads = transport.look()
        snapshot = transport.snapshot(heads)
        made = transport.commit(snapshot, {"a.txt": b"text"}, "A change")
        answer = transport.push(
            [RefMove(heads.branch, snapshot.commit, made, fast_forward=True)], atomic=False
        )
    assert not answer.accepted and "checked out" in answer.words
    assert not ran.exists() and not (checkout / "a.txt").exists()


def test_a_lease_is_not_sent_where_a_changed_cache_says(place, tmp_path):
    repository = place.repository()
    repository.look()
    made = repository.lease_commit(b"a lease")
    other = tmp_path / "elsewhere.git"
    subprocess.run(["git", "init", "-q", "--bare", str(other)], check=True)
    config = ["git", f"--git-dir={tmp_path}/cache.git", "config"]
    subprocess.run([*config, "remote.origin.pushurl", str(other)], check=True)
    with pytest.raises(CacheBroken):
        repository.replace_lease("refs/gpu-jobs/one", None, made)
    assert repository.replace_lease("refs/gpu-jobs/one", None, repository.lease_commit(b"a lease")).accepted
    assert not (other / "refs" / "gpu-jobs").exists()


def test_a_large_push_and_what_it_brings_pass_the_gate_unchanged(place):
    content = random.Random(1).randbytes(3_000_000)  # git sends more than a megabyte in chunks
    place.repository().transact(lambda snapshot, heads: Change({"a.bin": content}, "A change"), patience_s=0)
    assert any(each.chunked for each in place.server.requests_to("git-receive-pack", "POST"))
    assert place.repository(name="another.git").snapshot().read("a.bin") == content


def test_many_commands_at_once_each_pass(place):
    with ThreadPoolExecutor(6) as pool:
        looks = [pool.submit(place.repository(name=f"{number}.git").look) for number in range(12)]
    assert len({look.result().commit for look in looks}) == 1


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("before", "failed: Remote end closed"),
        ("after", "failed: Remote end closed"),
        ("midway", "transfer closed"),
    ],
)
def test_a_connection_that_breaks_behind_the_gate_is_an_outage(place, moment, words):
    place.server.faults.drop(moment, "git-upload-pack", method="POST")
    with pytest.raises(ServerUnreachable, match=words) as outage:
        place.repository().look()
    assert "502" not in str(outage.value)
    assert place.repository().look().commit


def test_a_refused_token_is_told_with_the_repositorys_own_address(place):
    place.server.state.tokens[place.token].revoked = True
    with pytest.raises(AccessDenied) as refused:
        place.repository().look()
    assert place.server.url in str(refused.value) and "repository.git" not in str(refused.value)
