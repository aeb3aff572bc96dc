"""A project becomes an audio folder that `datasets` loads; the doctor and the explorer read it, too."""

import csv
import http.server
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from codex_worker.audio.decode import probe
from codex_worker.cli.dataset_config import DatasetConfig
from codex_worker.cli.main import main
from tests.support.gitlab import DEVELOPER, GitLabServer

SPLITS = ("train", "validation", "test")


def rows_of(folder):
    found = {}
    for split in SPLITS:
        path = folder / split / "metadata.csv"
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                found[split] = list(csv.DictReader(file))
    return found


@pytest.fixture(scope="module")
def whole(repository, tmp_path_factory):
    """All of the sample as a dataset."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(["dataset", str(repository), str(folder / "out"), "--work-dir", str(folder / "work")]) == 0
    return folder / "out"


def test_a_repository_becomes_a_dataset_whose_clips_are_all_there(whole):
    rows = rows_of(whole)
    assert sum(len(each) for each in rows.values()) == 60
    assert set(rows) == set(SPLITS)
    for split, records in rows.items():
        for record in records:
            clip = probe(whole / split / record["file_name"])
            assert clip.sample_rate == 16_000
            assert clip.duration_s == pytest.approx(float(record["duration_s"]), abs=0.01)
            assert record["text"]
            assert record["reference"]


def test_a_chapter_is_in_one_split_only(whole):
    chapters = [{row["chapter"] for row in rows} for rows in rows_of(whole).values()]
    assert sum(len(each) for each in chapters) == len(set().union(*chapters))


def test_a_translators_folder_gives_the_same_dataset_as_its_repository(run, whole, working_folder, tmp_path):
    run("dataset", working_folder.folder, "two", "--work-dir", "work")
    assert rows_of(whole) == rows_of(tmp_path / "two")


@pytest.mark.parametrize("metadata_format", ["csv", "jsonl"])
def test_datasets_loads_what_was_written(run, repository, whole, tmp_path, metadata_format):
    datasets = pytest.importorskip("datasets", reason="the package `datasets` is not installed here")
    folder = whole
    if metadata_format == "jsonl":
        folder = tmp_path / "out"
        run(
            "dataset",
            repository,
            folder,
            "--work-dir",
            "work",
            "--metadata-format",
            "jsonl",
            "--include",
            "RUT",
        )
    loaded = datasets.load_dataset("audiofolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: loaded[split].num_rows for split in loaded} == {
        split: count for split in SPLITS if (count := len(list((folder / split).glob("*.wav"))))
    }
    first = loaded["train"].cast_column("audio", datasets.Audio(decode=False))[0]
    assert first["audio"]["path"].endswith(".wav")
    assert first["text"] and first["reference"] and first["cell_id"]


def test_filters_and_max_records_hold(run, repository, tmp_path):
    code, printed = run(
        "dataset", repository, "out", "--work-dir", "work", "--include", "MRK 2-3", "--include", "MRK 2",
        "--include", "RUT", "--exclude", "MRK 2:1", "--max-records", "5", "--audio-format", "ogg",
    )  # fmt: skip
    assert code == 0, printed
    records = [row for rows in rows_of(tmp_path / "out").values() for row in rows]
    assert len(records) == 5
    assert all(row["file_name"].endswith(".ogg") for row in records)
    assert {row["book"] for row in records} <= {"MRK", "RUT"}
    assert "MRK 2:1" not in {row["reference"] for row in records}
    assert "'MRK 2-3'" in printed  # it names no cell, and that is said


def test_a_configuration_file_says_it_all_and_the_command_line_wins(run, repository, tmp_path):
    config = {
        "source_mode": "local",
        "local_repo_path": str(repository),
        "dataset": {"output_dir": "from-config", "max_records": 3, "metadata_format": "jsonl"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    code, printed = run("dataset", "--config", "config.yaml", "--work-dir", "work", "--max-records", "2")
    assert code == 0, printed
    lines = [
        json.loads(line)
        for path in (tmp_path / "from-config").glob("*/metadata.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert len(lines) == 2


def test_the_text_may_come_from_the_history_of_a_cell(run, working_folder, tmp_path):
    config = {"dataset": {"text_source": "edit_history", "edit_history_selection": "first"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    code, printed = run(
        "dataset", working_folder.folder, "out", "--config", "config.yaml", "--work-dir", "work",
        "--include", "RUT",
    )  # fmt: skip
    assert code == 0, printed
    assert sum(len(rows) for rows in rows_of(tmp_path / "out").values()) >= 5


def test_the_example_configuration_is_one_that_is_understood(request):
    config = DatasetConfig.read(request.config.rootpath / "config.yaml.example")
    assert config.get("dataset.max_records") == 1000
    assert config.names("dataset.include") == ("MRK", "JON 1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dataset"], "Name a folder"),
        (["dataset", "{repository}", "full"], "not empty"),
        (["dataset", "{repository}", "out", "--audio-format", "flac"], "none of webm"),
        (["dataset", "{repository}", "out", "--include", "GEN 50"], "nothing to write"),
        (["dataset", "{repository}", "out", "--config", "bad.yaml"], "unknown keys: epochs"),
        (["dataset", "no/such/place", "out"], "no/such/place"),
    ],
)
def test_a_mistake_gets_a_sentence(run, repository, tmp_path, arguments, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "bad.yaml").write_text("epochs: 3\n")
    code, printed = run(*(each.format(repository=repository) for each in arguments))
    assert code != 0
    assert message in printed
    assert "Traceback" not in printed


def test_the_doctor_writes_its_page_and_says_what_it_found(run, repository, tmp_path):
    code, printed = run("data", repository, "--work-dir", "work", "--output", "page.html", "--include", "RUT")
    assert code == 0, printed
    assert "recordings with text can be used" in printed
    assert "The recordings of sample-project" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_explore_counts_what_a_project_holds(run, repository):
    code, printed = run("explore", repository, "--work-dir", "work")
    assert code == 0, printed
    (total,) = [line for line in printed.splitlines() if "all" in line.split("│")[:2][-1].split()]
    assert total.split("│")[2:4] == [" 114   ", " 61                 "]  # one of them was never sent


def test_looking_at_data_needs_no_torch(run, repository):
    script = (
        "import sys; from codex_worker.cli.main import main\n"
        f"assert main(['data', {str(repository)!r}, '--work-dir', 'work', '--include', 'RUT']) == 0\n"
        "assert 'torch' not in sys.modules"
    )

    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("named_by", ["project_id", "project_path"])
def test_a_gitlab_project_becomes_a_dataset_with_the_token_of_the_configuration(
    run, repository, tmp_path, named_by
):
    with GitLabServer(tmp_path / "server") as server:
        copy = tmp_path / "copy.git"
        shutil.copytree(repository, copy)
        project = server.create_project("team/genesis", members={"worker": DEVELOPER}, repository=copy)
        for stored in (copy / "lfs" / "objects").glob("*/*/*"):
            for path in (server.state.object_path(stored.name), server.state.link_path(project, stored.name)):
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(stored, path)
        token = server.create_token("worker")
        name = {"project_id": project.id, "project_path": project.path}[named_by]
        config = {
            "gitlab": {"server_url": server.url, "access_token": token, named_by: name},
            "dataset": {"output_dir": "out", "include": ["RUT"]},
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        code, printed = run("dataset", "--config", "config.yaml", "--work-dir", "work")
    assert code == 0, printed
    assert token not in printed
    assert sum(len(rows) for rows in rows_of(tmp_path / "out").values()) > 5


def test_a_server_that_sends_us_elsewhere_does_not_send_the_token(run, tmp_path):
    asked = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers)
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.connection.getsockname()[1]}{self.path}")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        config = tmp_path / "config.yaml"
        found = {"server_url": url, "access_token": "glpat-abcdefghijklmnop1234", "project_id": 7}
        config.write_text(yaml.safe_dump({"gitlab": found}))
        code, output = run("explore", "--config", config)
        server.shutdown()
    assert code == 1 and "the token does not go" in " ".join(output.split())
    assert len(asked) == 1
