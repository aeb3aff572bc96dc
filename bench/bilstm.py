"""A plain CTC transcriber to compare with: two strided convolutions and a bidirectional LSTM of two layers.

About as large as the tiny preset's network, and trained in the plainest way (Graves et al. 2013): AdamW, the
same speeds, no masks, no averaging. It is not part of the worker.
"""

import random
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from codex_worker.asr.corpus import Example, Sounds
from codex_worker.asr.evaluate import ctc_loss
from codex_worker.asr.features import MEL_BINS
from codex_worker.asr.vocabulary import Vocabulary
from codex_worker.text.error_rate import character_error_rate
from codex_worker.training.batches import batches_by_length

SPEEDS = (0.9, 0.95, 1.0, 1.06, 1.12)
LEARNING_RATE = 1e-3
WARMUP_UPDATES = 100
FALLS_FROM = 0.6  # of the time: the learning rate is constant before
BATCH = 8
BATCH_SECONDS = 160.0


class BiLstm(nn.Module):
    """About a million parameters; `[B, T, 80]` log-mel frames of 10 ms -> `[B, T / 4, symbols]`."""

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(MEL_BINS, 160, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(160, 160, 5, stride=2, padding=2),
            nn.GELU(),
        )
        self.body = nn.LSTM(160, 144, num_layers=2, batch_first=True, bidirectional=True, dropout=0.2)
        self.head = nn.Linear(2 * 144, symbols)

    def forward(self, frames: Tensor) -> Tensor:
        """Logits."""
        hidden, _ = self.body(self.front(frames.transpose(1, 2)).transpose(1, 2))
        return self.head(hidden)


def train_bilstm(
    examples: Sequence[Example], sounds: Sounds, vocabulary: Vocabulary, processor_s: float
) -> tuple[BiLstm, int]:
    """Train for so many seconds of the processor; the network, and how many updates they were enough for."""
    torch.manual_seed(0)
    draw = random.Random(0)
    network = BiLstm(len(vocabulary)).train()
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, fused=True)
    labels = [vocabulary.encode(example.text) for example in examples]
    batches: list[list[int]] = []
    began_s, updates = time.process_time(), 0
    while (done := (time.process_time() - began_s) / processor_s) < 1.0:
        if not batches:
            batches = batches_by_length(
                [example.duration_s for example in examples],
                max_total=BATCH_SECONDS,
                max_items=BATCH,
                seed=draw.getrandbits(32),
                shuffle=True,
            )
        batch = batches.pop()
        rows = [sounds.features(examples[item], draw.choice(SPEEDS)) for item in batch]
        logits = network(pad_sequence([torch.from_numpy(each) for each in rows], batch_first=True))
        lengths = [_quarter(len(each)) for each in rows]
        loss = ctc_loss(logits, lengths, [labels[item] for item in batch], vocabulary.blank_id)
        for group in optimizer.param_groups:
            falling = min(1.0, (1.0 - done) / (1.0 - FALLS_FROM))
            group["lr"] = LEARNING_RATE * min(1.0, (updates + 1) / WARMUP_UPDATES) * falling
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        updates += 1
    return network.eval(), updates


@torch.no_grad()
def bilstm_error_rate(
    network: BiLstm, rows: Sequence[np.ndarray], texts: Sequence[str], vocabulary: Vocabulary
) -> float:
    """Character error rate of its readings, each frame's likeliest symbol."""
    heard = []
    for each in rows:
        best = network(torch.from_numpy(each)[None])[0].argmax(-1).tolist()
        heard.append(vocabulary.decode(token.symbol_id for token in vocabulary.collapse(best)))
    return character_error_rate(texts, heard)


def _quarter(frames: int) -> int:
    for _ in range(2):
        frames = (frames - 1) // 2 + 1
    return frames
