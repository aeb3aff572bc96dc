"""One long recording among short ones must not take the machine's memory."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.acceptance

PROGRAM = """
import json, resource, sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from codex_worker.contract.options import TrainingOptions
from codex_worker.stabletts.checkpoint import VoiceDescription
from codex_worker.stabletts.configuration import ModelSettings
from codex_worker.stabletts.dataset import Dataset, EncodedUtterance
from codex_worker.stabletts.frontend.compat import CompatFrontend
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.recipe import plan
from codex_worker.stabletts.train import Beginning, VoiceTraining

folder, frontend = Path(sys.argv[1]), CompatFrontend()
small = ModelSettings(hidden_channels=16, filter_channels=32, n_heads=1, n_enc_layers=1, n_dec_layers=2,
                      gin_channels=16, style_channels=16)
beginning = Beginning(StableTTS(small), "random weights", "")
voice = VoiceDescription(small, frontend)
frames = [150] * 7 + [round(180 * voice.mel.frames_per_second)]
letters = [15] * 7 + [1300]
rng, utterances, at = np.random.default_rng(0), [], 0
for number, (count, size) in enumerate(zip(frames, letters)):
    ids = [0] * (2 * size + 1)
    ids[1::2] = rng.integers(11, 34, size).tolist()
    utterances.append(EncodedUtterance(f"v{number}", f"v{number}", "text", tuple(ids), at, count))
    at += count
rng.normal(-4, 2, (at, 128)).astype(np.float16).tofile(folder / "mels.f16")
data = Dataset(tuple(utterances), folder / "mels.f16", voice.mel, (), ())
recipe = plan(TrainingOptions(epochs=1, val_split=0), frames, start="scratch", tiny=True)
task = VoiceTraining(beginning, data, recipe, voice)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
seen = 0
for batch in task.batches(0):
    losses = task.losses(batch)
    losses["total"].backward()
    seen += len(batch)
    assert all(bool(torch.isfinite(value)) for value in losses.values())
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"before_mb": before / 1024, "after_mb": after / 1024, "seen": seen}))
"""
LIMIT_MB = 3_000


def test_a_recording_of_three_minutes_trains_among_short_ones_in_bounded_memory(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["seen"] == 8
    assert found["after_mb"] - found["before_mb"] < LIMIT_MB
