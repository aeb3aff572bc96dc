"""A transcriber of random weights learns to read from 60 short recordings, whatever the seed."""

import pytest

from tests.support.spoken import error_rate_on, sample_utterances, train_tiny

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_unheard_sentences_are_read_with_less_than_a_tenth_of_errors(tmp_path, seed):
    heard, unheard = sample_utterances("train"), sample_utterances("unheard")
    assert (len(heard), len(unheard)) == (60, 16)
    trained = train_tiny(heard, tmp_path, {"val_split": 0.0, "seed": seed})
    error_rate = error_rate_on(trained.checkpoint, unheard)
    print(f"\nseed {seed}: character error rate {error_rate:.3f}")
    assert error_rate < 0.10
