"""Official weights from a stand-in for the hub: the two endpoints that the client library calls."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from codex_worker.errors import DataError, ResourceError, SystemFault, UserError
from codex_worker.hub import fetch as hub_module
from codex_worker.hub.fetch import Hub, HubSettings, hub_settings
from codex_worker.hub.known import WEIGHTS, ExpectedFile, WeightSet
from codex_worker.settings import Settings

MAIN_COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "KdaiP/StableTTS1.1"
CHECKPOINT = "StableTTS/checkpoint_0.pt"
CONTENT = b"weights" * 1000


def is_pinned(wanted):
    return wanted.revision != "main"


def test_a_voice_of_mms_is_taken_from_its_own_folder_and_never_from_the_hub(tmp_path):
    folder = tmp_path / "weights" / "facebook/mms-tts-swh"
    settings = HubSettings(tmp_path / "cache", "http://127.0.0.1:9", local_folder=tmp_path / "weights")
    folder.mkdir(parents=True)
    for name in ("config.json", "vocab.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
        (folder.parents[1] / name).write_text("{}")
    (folder.parents[1] / "model.safetensors").write_bytes(b"of another model")
    with pytest.raises(
        UserError, match=r"facebook/mms-tts-swh is not on this worker, .* CODEX_WEIGHTS_FOLDER"
    ):
        Hub(settings).fetch("mms-tts-swh")
    (folder / "model.safetensors").write_bytes(b"numbers")
    found = Hub(settings).fetch("mms-tts-swh")
    assert found.path == folder and found.revision.startswith("local:")
    assert "CC BY-NC 4.0" in found.notes[0]


@pytest.mark.parametrize(
    "name", ["mms-tts-", "mms-tts-../../etc", "mms-tts-SWH", "mms-tts-swh/x", "mms-tts-swahili"]
)
def test_a_name_that_is_no_code_is_no_voice_of_mms(tmp_path, name):
    with pytest.raises(UserError, match="not on this worker's list"):
        Hub(HubSettings(tmp_path, local_folder=tmp_path)).fetch(name)


class StandIn:
    """A hub with some files in one revision; counts what it is asked."""

    def __init__(self):
        self.files = {REPOSITORY: {CHECKPOINT: CONTENT, "vocoders/vocos.pt": b"vocoder" * 500}}
        self.commits = {
            wanted.repository: wanted.revision for wanted in WEIGHTS.values() if is_pinned(wanted)
        }
        self.promised = {}
        self.requests = []
        self.authorizations = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                stand_in.answer(self, body=False)

            def do_GET(self):
                stand_in.answer(self, body=True)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request, body):
        path = request.path.partition("?")[0]
        self.requests.append((request.command, path))
        self.authorizations.append(request.headers.get("Authorization"))
        for repository, files in self.files.items():
            commit = self.commits.get(repository, MAIN_COMMIT)
            if path in {f"/api/models/{repository}/revision/{revision}" for revision in ("main", commit)}:
                return self.send(request, json.dumps(self.info(repository, files)).encode(), {}, body)
            if path.startswith(f"/api/models/{repository}/revision/"):
                return self.send(request, b"", {"X-Error-Code": "RevisionNotFound"}, body, status=404)
            for name, content in files.items():
                if path == f"/{repository}/resolve/{commit}/{name}":
                    digest = hashlib.sha256(content).hexdigest()
                    headers = {"ETag": f'"{digest}"', "X-Repo-Commit": commit}
                    return self.send(request, content, headers, body)
            if path.startswith(f"/{repository}/resolve/"):
                return self.send(request, b"", {"X-Error-Code": "EntryNotFound"}, body, status=404)
        return self.send(request, b"", {"X-Error-Code": "RepoNotFound"}, body, status=404)

    def info(self, repository, files):
        siblings = [
            {
                "rfilename": name,
                "size": len(content),
                "lfs": {
                    "sha256": self.promised.get(name, hashlib.sha256(content).hexdigest()),
                    "size": len(content),
                    "pointerSize": 134,
                },
            }
            for name, content in files.items()
        ]
        return {
            "id": repository,
            "sha": self.commits.get(repository, MAIN_COMMIT),
            "private": False,
            "tags": [],
            "downloads": 0,
            "siblings": siblings,
        }

    def send(self, request, content, headers, body, status=200):
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if body:
            request.wfile.write(content)


@pytest.fixture
def stand_in():
    server = StandIn()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def known_sizes(monkeypatch):
    """The stand-in's checkpoint as the published one, so that nothing differs."""
    expected = ExpectedFile(CHECKPOINT, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(hub_module, "WEIGHTS", {**WEIGHTS, "stabletts": WeightSet(REPOSITORY, (expected,))})


@pytest.fixture
def settings(tmp_path, stand_in):
    return HubSettings(tmp_path / "cache", endpoint=stand_in.endpoint, timeout_s=5)


def test_weights_are_fetched_once_and_their_revision_is_recorded(settings, stand_in, known_sizes):
    hub = Hub(settings)
    weights = hub.fetch("stabletts")
    assert weights.path.read_bytes() == CONTENT
    assert weights.revision == WEIGHTS["stabletts"].revision
    assert weights.notes == ()
    asked = len(stand_in.requests)
    assert hub.fetch("stabletts") is weights
    assert len(stand_in.requests) == asked


def test_a_second_worker_finds_them_in_the_cache(settings, stand_in, known_sizes):
    Hub(settings).fetch("stabletts")
    stand_in.requests.clear()
    assert Hub(settings).fetch("stabletts").path.read_bytes() == CONTENT
    assert [command for command, path in stand_in.requests if "resolve" in path and command == "GET"] == []


def test_no_credentials_are_sent(settings, stand_in, known_sizes, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    Hub(settings).fetch("stabletts")
    assert set(stand_in.authorizations) == {None}


@pytest.mark.parametrize("name", ["stabletts", "vocos"])
def test_a_file_of_the_hub_that_is_not_the_known_one_is_refused_and_removed(settings, name):
    with pytest.raises(DataError, match=r"is not the file known so far: \d+ bytes.*CODEX_WEIGHTS_FOLDER"):
        Hub(settings).fetch(name)
    assert not list(settings.cache_folder.rglob("blobs/*"))


def test_a_file_of_the_operator_that_differs_from_the_known_one_is_used_and_said(settings, tmp_path):
    (tmp_path / "checkpoint_0.pt").write_bytes(CONTENT)
    weights = Hub(replace(settings, local_folder=tmp_path)).fetch("stabletts")
    assert len(weights.notes) == 1
    assert "is not the file known so far: 7000 bytes" in weights.notes[0]
    assert "126657600 bytes" in weights.notes[0] and "used as it is" in weights.notes[0]


@pytest.mark.parametrize("name", [name for name, wanted in WEIGHTS.items() if wanted.revision is None])
def test_weights_without_a_known_commit_come_from_an_operators_folder_only(
    settings, stand_in, tmp_path, name
):
    wanted = WEIGHTS[name]
    stand_in.files[wanted.repository] = {file.path: b"x" for file in wanted.files}
    with pytest.raises(UserError, match=rf"{wanted.repository}.*CODEX_WEIGHTS_FOLDER"):
        Hub(settings).fetch(name)
    assert stand_in.requests == []
    for file in wanted.files:
        path = tmp_path / wanted.repository / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    hub = Hub(replace(settings, local_folder=tmp_path))
    assert hub.is_here(name) and hub.fetch(name).revision.startswith("local:")


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_every_set_of_weights_has_a_licence(name):
    assert WEIGHTS[name].licence


def test_a_file_that_is_not_what_the_hub_promises_is_refused_and_removed(settings, stand_in, known_sizes):
    stand_in.promised[CHECKPOINT] = "0" * 64
    with pytest.raises(DataError, match="is damaged"):
        Hub(settings).fetch("stabletts")
    assert not list(settings.cache_folder.rglob("blobs/*"))
    stand_in.promised.clear()
    assert Hub(settings).fetch("stabletts").path.read_bytes() == CONTENT


def test_offline_the_cache_is_enough(settings, stand_in, known_sizes):
    online = Hub(settings).fetch("stabletts")
    stand_in.requests.clear()
    offline = Hub(replace(settings, offline=True)).fetch("stabletts")
    assert offline.path == online.path
    assert offline.revision == online.revision
    assert stand_in.requests == []


def test_offline_a_changed_file_in_the_cache_is_found_out(settings, known_sizes):
    Hub(settings).fetch("stabletts").path.resolve().write_bytes(b"something else")
    with pytest.raises(DataError, match="is damaged"):
        Hub(replace(settings, offline=True)).fetch("stabletts")


def test_offline_without_a_cache_it_says_what_to_do(settings, stand_in):
    with pytest.raises(SystemFault, match="HF_HUB_OFFLINE forbids downloading"):
        Hub(replace(settings, offline=True)).fetch("vocos")
    assert stand_in.requests == []


def test_an_unreachable_hub_is_a_fault_that_names_it(tmp_path):
    hub = Hub(HubSettings(tmp_path, endpoint="http://127.0.0.1:9", timeout_s=1))
    with pytest.raises(SystemFault, match=r"http://127\.0\.0\.1:9 did not answer for KdaiP/StableTTS1\.1"):
        hub.fetch("stabletts")


def test_an_unreachable_hub_does_not_matter_once_the_weights_are_here(settings, known_sizes):
    online = Hub(settings).fetch("stabletts")
    assert Hub(replace(settings, endpoint="http://127.0.0.1:9", timeout_s=1)).fetch("stabletts") == online


def test_a_repository_that_is_gone_is_a_fault(settings, stand_in):
    stand_in.files.clear()
    with pytest.raises(SystemFault, match="did not answer for KdaiP"):
        Hub(settings).fetch("stabletts")


def test_a_file_that_is_gone_is_a_fault(settings, stand_in):
    del stand_in.files[REPOSITORY][CHECKPOINT]
    with pytest.raises(SystemFault, match=CHECKPOINT):
        Hub(settings).fetch("stabletts")


def test_a_folder_of_ones_own_makes_the_hub_unnecessary(settings, stand_in, tmp_path, known_sizes):
    file = tmp_path / "mine" / REPOSITORY / CHECKPOINT
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    weights = Hub(replace(settings, local_folder=tmp_path / "mine")).fetch("stabletts")
    assert weights.path == file
    assert weights.revision.startswith("local:")
    assert stand_in.requests == []


def test_weights_of_several_files_are_a_folder(settings, stand_in):
    stand_in.files["facebook/wav2vec2-xls-r-1b"] = {
        "config.json": b"{}",
        "preprocessor_config.json": b"{}",
        "model.safetensors": b"tensors",
    }
    weights = Hub(settings).fetch("facebook/wav2vec2-xls-r-1b")
    assert {path.name for path in weights.path.iterdir()} == {
        "config.json",
        "preprocessor_config.json",
        "model.safetensors",
    }


def test_weights_that_could_run_code_are_refused_with_a_sentence(settings, stand_in):
    stand_in.files["facebook/wav2vec2-base"] = {
        "config.json": b"{}",
        "preprocessor_config.json": b"{}",
        "pytorch_model.bin": b"pickle",
    }
    with pytest.raises(UserError, match=r"no model\.safetensors .* can run code"):
        Hub(settings).fetch("facebook/wav2vec2-base")
    assert not any(path.endswith(".bin") for _, path in stand_in.requests)


def test_weights_with_terms_say_them_and_name_their_revision(settings, stand_in):
    stand_in.files["facebook/mms-300m"] = {
        "config.json": b"{}",
        "preprocessor_config.json": b"{}",
        "model.safetensors": b"tensors",
    }
    weights = Hub(settings).fetch("facebook/mms-300m")
    assert weights.revision == WEIGHTS["mms-300m"].revision
    assert "CC BY-NC 4.0" in weights.notes[0]


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_every_file_is_pinned_by_a_commit_or_by_its_content(name):
    wanted = WEIGHTS[name]
    if wanted.revision is None:
        pytest.skip("never fetched")
    if is_pinned(wanted):
        assert re.fullmatch("[0-9a-f]{40}", wanted.revision)
    else:
        assert all(re.fullmatch("[0-9a-f]{64}", file.sha256 or "") for file in wanted.files)


def test_another_commit_is_not_taken_for_the_pinned_one(settings, stand_in):
    stand_in.files["facebook/mms-300m"] = {"config.json": b"{}", "model.safetensors": b"tensors"}
    stand_in.commits["facebook/mms-300m"] = MAIN_COMMIT
    with pytest.raises(UserError, match=rf"no revision {WEIGHTS['mms-300m'].revision} .* a folder with it"):
        Hub(settings).fetch("mms-300m")
    assert not any("resolve" in path for _, path in stand_in.requests)


def test_offline_another_commit_in_the_cache_is_not_enough(settings):
    snapshots = settings.cache_folder / "models--facebook--mms-300m" / "snapshots"
    (snapshots / MAIN_COMMIT).mkdir(parents=True)
    with pytest.raises(SystemFault, match="HF_HUB_OFFLINE forbids downloading"):
        Hub(replace(settings, offline=True)).fetch("mms-300m")


@pytest.mark.parametrize("name", ["someone/else", "../../etc/passwd", "KdaiP/StableTTS1.1", ""])
def test_only_listed_weights_are_asked_for(settings, stand_in, name):
    with pytest.raises(UserError, match="not on this worker's list"):
        Hub(settings).fetch(name)
    assert stand_in.requests == []


def test_a_full_disk_is_found_before_the_download(settings, stand_in, monkeypatch):
    monkeypatch.setattr(
        hub_module.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 10)
    )
    with pytest.raises(ResourceError, match="MB free"):
        Hub(settings).fetch("stabletts")
    assert not any("resolve" in path for _, path in stand_in.requests)


def test_the_hubs_settings_are_an_operators(tmp_path):
    found = hub_settings(
        Settings(hf_home=tmp_path, hf_hub_offline=True, hf_endpoint="http://127.0.0.1:1"), {"HOME": "/root"}
    )
    assert found == HubSettings(tmp_path / "hub", endpoint="http://127.0.0.1:1", offline=True)
    plain = hub_settings(Settings(), {"HOME": str(tmp_path)})
    assert not plain.offline and plain.local_folder is None
    assert plain.cache_folder == tmp_path / ".cache/huggingface/hub"
    assert hub_settings(Settings(weights_folder=tmp_path), {}).local_folder == tmp_path


def test_the_hub_loads_no_torch():
    program = "import sys, codex_worker.hub.fetch, huggingface_hub; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
