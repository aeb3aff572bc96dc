"""Checkpoints of models that nobody trained: they speak at a human pace, and write without any meaning."""

from pathlib import Path

import numpy as np
import torch

from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.stabletts.checkpoint import VoiceDescription, write_checkpoint
from codex_worker.stabletts.configuration import TINY
from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.network import StableTTS
from tests.support.present import present

SAID = "mama na baba wanaenda sokoni leo asubuhi"


def write_voice(path: Path, *, seed: int = 0, said: str = SAID) -> Path:
    """A voice of StableTTS that speaks by Griffin-Lim, six frames to each symbol and blank."""
    torch.manual_seed(seed)
    network = StableTTS(TINY)
    with torch.no_grad():
        network.dp.proj.weight.zero_()
        present(network.dp.proj.bias).fill_(np.log(6.0))
    speaker = tuple(torch.randn(TINY.gin_channels).tolist())
    frontend = CharactersFrontend.learn([said])
    write_checkpoint(path, network, VoiceDescription(TINY, frontend, vocoder="griffin_lim", speaker=speaker))
    return path


def write_transcriber(path: Path, *, seed: int = 0, said: str = SAID) -> Path:
    """A transcriber of the tiny preset with random weights."""
    torch.manual_seed(seed)
    vocabulary = build_vocabulary([said])
    network = build_model(tiny_config(vocabulary))
    with torch.no_grad():
        network.lm_head.weight.mul_(20.0)  # random, but sure of it
    save_checkpoint(path, TranscriberCheckpoint(network.eval(), vocabulary, TINY_FRONTEND))
    return path
