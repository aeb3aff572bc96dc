"""docs/adding-a-model.md: the module that it shows is dropped in, and trains."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch

import handlers.asr
from codex_worker.asr.checkpoint import read_safetensors
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from sample.make_codex_project import make_project
from tests.support.any_reading import let_any_reading_count

ROOT = Path(__file__).parents[3]


@pytest.fixture
def head_only(tmp_path, monkeypatch):
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "docs/adding-a-model.md").read_text(), flags=re.DOTALL)
    folder = tmp_path / "plugins/headonly"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "training.py").write_text(shown[0])
    monkeypatch.setattr(handlers.asr, "__path__", [*handlers.asr.__path__, str(folder.parent)])
    yield importlib.import_module("handlers.asr.headonly.training")
    for name in [name for name in sys.modules if name.startswith("handlers.asr.headonly")]:
        del sys.modules[name]


@pytest.mark.slow
def test_the_documents_module_trains_only_the_head(head_only, tmp_path, monkeypatch):
    let_any_reading_count(monkeypatch)
    made = make_project(tmp_path / "project")
    files: dict[str, bytes | Path] = {f"lfs/{oid}": data for oid, data in made.large_files.items()}
    files |= files_below(made.folder)
    job = job_in(tmp_path / "job", {"epochs": 1}, model_type="headonly", commit="c" * 40)
    scanner = MemoryScanner(files, job)
    begun = []
    network = head_only.Start.network

    def remembered(start, vocabulary):
        model = network(start, vocabulary)
        begun.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return model

    monkeypatch.setattr(head_only.Start, "network", remembered)

    result = head_only.run(job, MemoryCallbacks(scanner, job))

    path = tmp_path / "model.safetensors"
    path.write_bytes(scanner.artifacts[result["checkpoint_path"]])
    trained = read_safetensors(path)
    changed = {
        name
        for name, tensor in trained.model.state_dict().items()
        if not torch.equal(tensor, begun[-1][name])
    }
    assert changed == {"lm_head.weight", "lm_head.bias"}
    assert result["epochs_completed"] == 1
