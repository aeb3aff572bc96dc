"""What only a GPU can show; skipped, visibly, where there is none."""

import copy
import os

import pytest
import torch
from transformers import Wav2Vec2BertForCTC

from codex_worker.asr.align import _torchaudio_path, best_path, forced_align
from codex_worker.asr.networks.build import use_fast_layers
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.stabletts.configuration import TINY
from codex_worker.stabletts.network import StableTTS
from codex_worker.supervisor.probing import probe_computing
from codex_worker.supervisor.settings import RuntimeSettings
from tests.support.jobs import ROOT
from tests.support.networks import small_conformer
from tests.support.spoken import error_rate_on, sample_utterances, train_tiny

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


def test_a_voice_speaks_on_the_gpu_as_on_the_processor():
    torch.manual_seed(1)
    network = StableTTS(TINY).eval()
    ids, lengths = torch.randint(1, 60, (2, 9)), torch.tensor([9, 5])
    reference = torch.randn(2, 128, 20)
    spoken = []
    for device in ("cpu", "cuda"):
        network.to(device)
        speakers = network.speaker(reference.to(device), torch.tensor([20, 20]))
        noise = [torch.Generator().manual_seed(row) for row in range(2)]
        speech = network.synthesise(
            ids.to(device), lengths, speakers, steps=4, solver="euler", guidance=2.0, generator=noise
        )
        spoken.append(speech.mel.float().cpu())
    torch.testing.assert_close(spoken[1], spoken[0], atol=1e-2, rtol=0)


@pytest.mark.parametrize("length", [1, 50, 700])
def test_a_transcriber_computes_on_the_gpu_what_transformers_computes(length):
    config = small_conformer(build_vocabulary(["god made all"]))
    torch.manual_seed(3)
    plain = Wav2Vec2BertForCTC(config).eval().cuda()
    ours = copy.deepcopy(plain)
    use_fast_layers(ours)
    features = torch.randn(3, length, 320).cuda()
    mask = torch.ones(3, length, dtype=torch.long).cuda()
    mask[1, (length + 1) // 2 :] = 0
    with torch.no_grad():
        expected, got = (
            plain(features, attention_mask=mask).logits,
            ours(features, attention_mask=mask).logits,
        )
    torch.testing.assert_close(got[mask.bool()], expected[mask.bool()], atol=1e-3, rtol=1e-3)


def test_a_transcriber_learns_on_the_gpu_and_reads_there_in_bf16_as_on_the_processor(tmp_path):
    trained = train_tiny(sample_utterances("train"), tmp_path, {}, device="cuda")
    unheard = sample_utterances("unheard")
    on_gpu = error_rate_on(trained.checkpoint, unheard, "cuda")
    on_cpu = error_rate_on(trained.checkpoint, unheard, "cpu")
    assert on_gpu < 0.15
    assert on_gpu == pytest.approx(on_cpu, abs=0.02)


def test_alignment_on_the_gpu_is_the_one_on_the_processor():
    log_probs = torch.randn(50, 8, generator=torch.Generator().manual_seed(2)).log_softmax(-1)
    labels = [1, 2, 2, 3]
    assert best_path(log_probs.cuda(), labels, 0).cpu().tolist() == best_path(log_probs, labels, 0).tolist()
    on_gpu, on_cpu = forced_align(log_probs.cuda(), labels, 0), forced_align(log_probs, labels, 0)
    assert [(t.start, t.end) for t in on_gpu] == [(t.start, t.end) for t in on_cpu]


@pytest.mark.parametrize("labels", [[1, 2, 2, 3], [4], [1, 1, 1], [5, 6, 7, 1, 2, 3]])
def test_torchaudios_kernel_finds_our_path(labels):
    log_probs = torch.randn(50, 8, generator=torch.Generator().manual_seed(2)).log_softmax(-1)
    path = _torchaudio_path(log_probs.cuda(), labels, 0)
    if path is None:
        pytest.skip("this torchaudio has no alignment on the GPU")
    assert path.tolist() == best_path(log_probs, labels, 0).tolist()


def test_a_machine_with_a_gpu_proves_itself_behind_a_jobs_walls(tmp_path):
    settings = RuntimeSettings(tmp_path, code_root=ROOT, handlers_root=ROOT, version="test")
    found = probe_computing(os.environ, settings, str)
    assert (found.error, found.device) == ("", "cuda")
    assert found.memory_bytes > 1e9 and found.capability
