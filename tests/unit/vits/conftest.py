"""Tests here import transformers, which imports torchaudio: the package's import applies the patch first."""

import pytest
import torch

import codex_worker.vits  # noqa: F401


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small only lose by sharing their work, and tests run beside each other."""
    torch.set_num_threads(1)
