"""The published size from end to end, with random weights in the place of the official ones."""

from pathlib import Path

import pytest
import torch

from codex_worker.audio.decode import decode
from codex_worker.codex.patch import RecordingPatch
from codex_worker.job.api import Weights
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from codex_worker.stabletts.checkpoint import read_checkpoint
from codex_worker.stabletts.configuration import FULL, VocosSettings
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.vocos import Vocos
from handlers.tts.stabletts import training_and_inference
from sample.make_codex_project import make_project
from tests.support.present import present

pytestmark = pytest.mark.acceptance


def official_like(folder: Path) -> dict[str, Weights]:
    """State dicts with the names and shapes of the published ones."""
    torch.manual_seed(0)
    network = StableTTS(FULL)
    torch.save(network.state_dict(), folder / "checkpoint_0.pt")
    torch.save(Vocos(VocosSettings()).state_dict(), folder / "vocos.pt")
    return {
        "stabletts": Weights(folder / "checkpoint_0.pt", "0123abcd"),
        "vocos": Weights(folder / "vocos.pt", "0123abcd"),
    }


def test_a_voice_is_tuned_from_official_weights_and_speaks(tmp_path):
    made = make_project(tmp_path / "project", with_sample_jobs=False)
    config = {
        "epochs": 1,
        "model": {"frontend": "characters"},
        "training": {"include_verses": sorted(made.recorded)[:6]},
        "inference": {"diffusion_steps": 2, "include_verses": [made.text_only[0]]},
        "audio_format": "ogg",
    }
    fields = {
        "job_type": "tts",
        "model_type": "stabletts",
        "preset": "full",
        "mode": "training_and_inference",
    }
    job = job_in(tmp_path / "job", config, **fields)
    files: dict[str, bytes | Path] = {f"lfs/{oid}": content for oid, content in made.large_files.items()}
    files |= files_below(tmp_path / "project")
    scanner = MemoryScanner(files, job, weights=official_like(tmp_path))
    result = training_and_inference.run(job, MemoryCallbacks(scanner, job))
    file = tmp_path / "voice.safetensors"
    file.write_bytes(scanner.artifacts[result["checkpoint_path"]])
    voice = present(read_checkpoint(file).voice)
    assert voice.official_revision == "KdaiP/StableTTS1.1@0123abcd"
    assert voice.vocoder == "vocos"
    assert voice.settings.hidden_channels == 256 and voice.settings.n_vocab == len(voice.frontend.symbols)
    (spoken,) = scanner.cells
    assert decode(present(spoken.recording), sample_rate=16_000).duration_s > 0.3
    assert isinstance(spoken.patch, RecordingPatch)
    assert spoken.patch.recording.mime_type == "audio/ogg"
