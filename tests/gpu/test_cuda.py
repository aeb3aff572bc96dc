"""What only a GPU can show; skipped, visibly, where there is none."""

import pytest
import torch

from codex_worker.stabletts.configuration import TINY
from codex_worker.stabletts.network import StableTTS
from codex_worker.w2v2bert.align import best_path, forced_align

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


def test_alignment_on_the_gpu_is_the_one_on_the_processor():
    log_probs = torch.randn(50, 8, generator=torch.Generator().manual_seed(2)).log_softmax(-1)
    labels = [1, 2, 2, 3]
    assert best_path(log_probs.cuda(), labels, 0).cpu().tolist() == best_path(log_probs, labels, 0).tolist()
    on_gpu, on_cpu = forced_align(log_probs.cuda(), labels, 0), forced_align(log_probs, labels, 0)
    assert [(t.start, t.end) for t in on_gpu] == [(t.start, t.end) for t in on_cpu]
