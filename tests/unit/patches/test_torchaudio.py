import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from patches import torchaudio as patch

pytestmark = pytest.mark.slow  # each import is a process of its own

ROOT = Path(__file__).parents[3]
IMPORTS = re.compile(
    r"^\s*(import torchaudio\b|from torchaudio\b|.*import_module\([\"']torchaudio)", re.MULTILINE
)


def in_a_fresh_process(code):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


needs_the_patch = pytest.mark.skipif(not patch.is_needed(), reason="torch has CUDA here: nothing is patched")


@needs_the_patch
def test_torchaudio_still_cannot_be_imported_without_the_patch():
    result = in_a_fresh_process("import torchaudio")
    assert result.returncode != 0
    assert "Could not load this library" in result.stderr


def test_spectrograms_resampling_and_griffin_lim_work_after_load():
    result = in_a_fresh_process("""
import logging, torch
logging.basicConfig(level=logging.INFO)
torch.set_num_threads(1)
from patches.torchaudio import load
torchaudio = load()
assert load() is torchaudio
tone = torch.sin(torch.arange(16000) * 440 * 2 * torch.pi / 16000)
mel = torchaudio.transforms.MelSpectrogram(16000, n_fft=512, n_mels=40)(tone)
assert mel.shape == (40, 63), mel.shape
half = torchaudio.transforms.Resample(16000, 8000)(tone)
assert half.shape == (8000,) and 0.6 < half[1000:7000].square().mean().sqrt() < 0.8
spectrum = torchaudio.transforms.Spectrogram(512)(tone)
heard = torchaudio.transforms.GriffinLim(512, n_iter=8)(spectrum)
strongest = torch.fft.rfft(heard).abs().argmax().item() * 16000 / heard.numel()
assert abs(strongest - 440) < 5, strongest
""")
    assert result.returncode == 0, result.stderr
    assert patch.is_needed() == ("without its CUDA extension" in result.stderr)
    assert result.stderr.count("without its CUDA extension") <= 1


@needs_the_patch
def test_what_needs_the_extension_says_so():
    result = in_a_fresh_process("""
import torch
from patches.torchaudio import load
align = load().functional.forced_align
try:
    align(torch.zeros(1, 5, 3), torch.ones(1, 2, dtype=torch.int32))
except RuntimeError as error:
    print(error)
""")
    assert "needs the compiled extension" in result.stdout, result.stderr


def test_nothing_is_patched_where_torch_has_cuda(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert not patch.is_needed()


@pytest.mark.parametrize("installed", ["2.10.0", "2.12.0", "2.110.0"])
def test_nothing_is_patched_in_versions_it_was_not_made_for(monkeypatch, installed):
    monkeypatch.setattr(patch, "version", lambda name: installed)
    assert not patch.is_needed()


def test_nobody_imports_torchaudio_past_the_patch():
    past = [
        str(path.relative_to(ROOT))
        for folder in ("codex_worker", "handlers", "bench", "sample")
        for path in (ROOT / folder).rglob("*.py")
        if IMPORTS.search(path.read_text(encoding="utf-8"))
    ]
    assert past == [], "use `from patches.torchaudio import load` instead"


@pytest.mark.parametrize(
    "line",
    [
        "import torchaudio",
        "    from torchaudio.transforms import Resample",
        "import torchaudio.functional as F",
    ],
)
def test_the_search_for_imports_finds_them(line):
    assert IMPORTS.search(f"import torch\n{line}\n")
