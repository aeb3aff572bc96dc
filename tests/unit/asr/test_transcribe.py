from itertools import pairwise

import numpy as np
import pytest
import torch

from codex_worker.asr.checkpoint import TranscriberCheckpoint
from codex_worker.asr.corpus import TranscribedClip
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config, use_fast_layers
from codex_worker.asr.transcribe import (
    FIRST_ROUND,
    DecodingSettings,
    RecordingInput,
    Transcriber,
)
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.asr.words import cut_at_pauses, words_of
from tests.support.networks import small_conformer
from tests.support.noted import noted
from tests.support.spoken import sample_utterances

VOCABULARY = build_vocabulary(["god made all"])


@pytest.fixture(scope="module")
def transcriber():
    torch.manual_seed(0)
    checkpoint = TranscriberCheckpoint(build_model(tiny_config(VOCABULARY)), VOCABULARY, TINY_FRONTEND)
    return Transcriber(checkpoint, DecodingSettings(batch_seconds=8.0, workers=2), device="cpu")


def noise(seconds, seed=0):
    return (np.random.default_rng(seed).standard_normal(int(seconds * 16_000)) * 0.1).astype(np.float32)


def test_a_batch_reads_what_each_recording_reads_alone(transcriber):
    samples = [noise(seconds, seed) for seed, seconds in enumerate((0.5, 3.0, 1.2, 2.0))]
    together = transcriber.transcribe_samples(samples)
    alone = [transcriber.transcribe_samples([waveform])[0] for waveform in samples]
    assert [t.text for t in together] == [t.text for t in alone]
    assert [t.confidence for t in together] == pytest.approx([t.confidence for t in alone], abs=1e-4)


def test_transcripts_come_in_order_and_a_bad_recording_costs_only_itself(transcriber, tmp_path):
    (tmp_path / "junk.webm").write_bytes(b"this is no sound")
    utterances = sample_utterances("unheard")[:3]
    utterances.insert(1, TranscribedClip("junk", tmp_path / "junk.webm", ""))
    utterances.insert(2, TranscribedClip("gone", tmp_path / "gone.webm", ""))
    heard = list(transcriber.transcribe(utterances))
    assert [t.key for t in heard] == [u.key for u in utterances]
    assert [t.error is not None for t in heard] == [False, True, True, False, False]
    assert "its recording is no recording" in heard[1].error
    assert heard[1].text == ""


def test_it_stops_between_batches_and_keeps_what_it_has(transcriber):
    looks = iter([False, True, True, True])
    utterances = sample_utterances("unheard")[:6]
    heard = list(transcriber.transcribe(utterances, should_stop=lambda: next(looks, True)))
    assert len(heard) < len(utterances)


def test_a_word_carries_its_times_and_its_confidence():
    g, o, d, bar, a = VOCABULARY.encode("god a")
    frames = [g, g, 0, o, d, bar, a]
    probabilities = [0.5, 0.9, 1.0, 0.6, 0.9, 1.0, 0.3]
    first, second = words_of(VOCABULARY, frames, probabilities, seconds_per_frame=0.1, start_s=10.0)
    assert (first.text, second.text) == ("god", "a")
    assert (first.start_s, first.end_s) == pytest.approx((10.0, 10.5))
    assert first.confidence == pytest.approx(0.8)
    assert second.confidence == pytest.approx(0.3)


def test_a_long_recording_is_cut_in_its_pauses():
    samples = np.concatenate(
        [noise(9), np.zeros(16_000, np.float32), noise(8), np.zeros(16_000, np.float32), noise(5)]
    )
    ranges = cut_at_pauses(samples, 16_000, 12.0)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(samples)
    assert all(left[1] == right[0] for left, right in pairwise(ranges))
    assert [end / 16_000 for _, end in ranges[:-1]] == pytest.approx([9.5, 18.5], abs=0.3)


@pytest.mark.slow
def test_half_an_hour_without_a_pause_is_cut_into_pieces_that_fit(transcriber):
    ranges = cut_at_pauses(noise(1800), 16_000, 25.0)
    assert all(end - start <= 25 * 16_000 for start, end in ranges)
    assert sum(end - start for start, end in ranges) == 1800 * 16_000


def test_a_long_recording_is_read_in_pieces_and_joined(transcriber):
    transcript = transcriber.transcribe_samples(
        [np.concatenate([noise(20), np.zeros(16_000, np.float32), noise(9)])]
    )[0]
    assert transcript.duration_s == pytest.approx(30.0, abs=0.2)
    assert "2 pieces" in transcript.notes[0]
    assert list(transcript.words) == sorted(transcript.words, key=lambda word: word.start_s)


@pytest.mark.slow
def test_long_recordings_are_held_a_few_at_a_time(transcriber, monkeypatch):
    read, held = [], []
    monkeypatch.setattr(transcriber, "_pieces_of", noted(transcriber._pieces_of, lambda _: read.append(1)))
    keys = [str(place) for place in range(40)]
    samples = [noise(12.0, seed) for seed in range(40)]
    heard = transcriber._read_ahead(
        keys,
        samples,
        transcriber._pieces_of,
        lambda: False,
        lambda done, total: held.append(len(read) - done),
    )
    assert [transcript.key for transcript in heard] == keys
    # The first round is read before anything is known of its length.
    assert max(held[FIRST_ROUND:]) <= 8


@pytest.mark.parametrize(("seconds", "expected"), [(0.5, 64), (2.0, 16), (1800.0, 1)])
def test_a_round_is_as_large_as_the_last_recordings_were_short(transcriber, seconds, expected):
    rows = np.zeros((round(seconds * 25), 320), np.float32)
    assert transcriber._next_round([RecordingInput([(0.0, rows)])] * 16) == expected


def test_silence_is_an_error_and_not_an_empty_text(transcriber):
    transcript = transcriber.transcribe_samples([np.zeros(32_000, np.float32)])[0]
    assert "silence" in transcript.error
    assert not transcript.is_uncertain


@pytest.fixture(scope="module")
def conformer():
    torch.manual_seed(0)
    network = build_model(small_conformer(VOCABULARY))
    use_fast_layers(network)
    return TranscriberCheckpoint(network, VOCABULARY, TINY_FRONTEND)


def log_probs(checkpoint, precision):
    reader = Transcriber(checkpoint, DecodingSettings(precision=precision), device="cpu")
    inputs = [TINY_FRONTEND(noise(seconds)) for seconds in (1.0, 2.0)]
    return torch.cat(reader.frame_log_probs(inputs))


def test_reading_in_fp16_is_near_fp32_but_not_the_same(conformer):
    exact, rough = log_probs(conformer, "fp32"), log_probs(conformer, "fp16")
    assert 0 < (rough - exact).abs().max() < 0.02 * exact.abs().max()


def test_what_leaves_the_range_of_fp16_is_read_in_fp32(conformer):
    exact = log_probs(conformer, "fp32")

    def large(module, inputs, made):
        return made * 2.0**30 / 2.0**30

    hook = conformer.model.lm_head.register_forward_hook(large)
    try:
        assert torch.equal(log_probs(conformer, "fp16"), log_probs(conformer, "fp32"))
    finally:
        hook.remove()
    assert exact.isfinite().all()
