"""What a network that mistakes many letters makes of sentences: log probabilities, without a network."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from codex_worker.asr.vocabulary import Vocabulary


def half_heard(text: str, vocabulary: Vocabulary, seed: int, wrong: float = 0.35) -> Tensor:
    """Log probabilities `[frames, symbols]` of a text: `wrong` of its letters sound more like another one.

    Each letter has two frames, and a blank one follows.
    """
    generator = np.random.default_rng(seed)
    letters = sorted(set(range(len(vocabulary))) - {vocabulary.blank_id, vocabulary.unknown_id})
    rows = []
    for label in vocabulary.encode(text):
        other = int(generator.choice(letters))
        share = 0.45 if generator.random() < wrong else 0.75
        frame = np.full(len(vocabulary), 0.002)
        frame[other] += 0.85 - share
        frame[label] += share - 0.05
        blank = np.full(len(vocabulary), 1e-5)
        blank[vocabulary.blank_id] = 1.0
        rows += [frame, frame, blank]
    heard = np.array(rows).reshape(-1, len(vocabulary))
    return torch.from_numpy(heard / heard.sum(1, keepdims=True)).float().log()


def sentences(words: Sequence[str], count: int, seed: int, length: int = 4) -> list[str]:
    """Sentences of a small language in which each word is followed by one of three others only."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        places = [int(generator.integers(len(words)))]
        while len(places) < length:
            places.append((3 * places[-1] + int(generator.integers(3))) % len(words))
        made.append(" ".join(words[place] for place in places))
    return made
