"""How likely a recording says a text: the sum over all ways of saying it."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.asr.likelihood import text_likelihoods

BLANK = 0


def brute_force(log_probs, labels):
    """The sum of the probabilities of all paths that collapse to the labels."""
    frames, symbols = log_probs.shape
    whole = 0.0
    for path in product(range(symbols), repeat=frames):
        collapsed = [s for i, s in enumerate(path) if s != BLANK and (i == 0 or path[i - 1] != s)]
        if collapsed == labels:
            whole += float(np.exp(sum(log_probs[i, s] for i, s in enumerate(path))))
    return whole


LABELS = st.lists(st.integers(1, 2), min_size=0, max_size=4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.lists(LABELS, min_size=1, max_size=3))
def test_it_is_the_sum_over_all_paths(seed, frames, texts):
    log_probs = torch.from_numpy(np.random.default_rng(seed).standard_normal((frames, 3))).log_softmax(-1)
    for labels, found in zip(texts, text_likelihoods(log_probs, texts, BLANK), strict=True):
        expected = brute_force(log_probs.numpy(), labels)
        if not labels or expected == 0:
            assert found is None
        else:
            assert found == pytest.approx(np.log(expected), abs=1e-4)


def test_no_text_is_no_question():
    assert text_likelihoods(torch.zeros(4, 3).log_softmax(-1), [], BLANK) == []
