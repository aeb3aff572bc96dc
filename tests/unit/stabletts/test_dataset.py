"""Recordings become mels and ids; whatever cannot be used is named."""

import wave
from dataclasses import replace

import numpy as np
import pytest
import torch

from codex_worker.audio.decode import Recording, decode
from codex_worker.audio.encode import encode
from codex_worker.data.held_out import NOTE
from codex_worker.errors import DataError, UserError
from codex_worker.stabletts.dataset import EncodedUtterance, split
from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.mel import LogMel
from codex_worker.stabletts.preparation import SpokenText, TextPiece, prepare, ready_samples

RATE = 44_100
FRONTEND = CharactersFrontend.learn(["mama na baba wanaenda"])


def voice_like(duration_s, seed=0, level=0.3):
    """A buzz with a changing pitch and loudness: enough like speech to be measured, trimmed and levelled."""
    if duration_s > 5:
        return np.resize(voice_like(5.0, seed, level), round(duration_s * RATE))
    time = np.arange(round(duration_s * RATE)) / RATE
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    buzz = sum(np.sin(k * phase) / k for k in range(1, 20))
    return (level * buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time)) / 2).astype(np.float32)


def too_loud(recorded):
    """Write the file again as a microphone that is turned up much too far gives it."""
    loud = np.clip(voice_like(2) * 20, -1, 1)
    with wave.open(str(recorded.path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((loud * 32767).astype("<i2").tobytes())
    return recorded


@pytest.fixture
def record(tmp_path):
    def make(name, samples, text="mama na baba", **fields):
        path = tmp_path / f"{name}.wav"
        encode(samples, RATE, path, "wav")
        return SpokenText(name, name, text, path, **fields)

    return make


def test_recordings_become_mels_of_their_own_length(tmp_path, record):
    data = prepare(
        [record("one", voice_like(2.0)), record("two", voice_like(3.0, seed=1))], FRONTEND, tmp_path
    )
    one, two = data.utterances
    assert (one.frames, two.frames) == (2 * RATE // 512, 3 * RATE // 512)
    assert one.ids == two.ids
    assert one.ids[::2] == (0,) * (len("mama na baba") + 1)
    assert data.left_out == ()
    assert data.speech_s == pytest.approx(5.0, abs=0.05)


def test_the_stored_mel_is_the_extractors(tmp_path, record):
    one = record("one", voice_like(2.0))
    data = prepare([record("zero", voice_like(1.5, seed=3)), one], FRONTEND, tmp_path)
    ready = ready_samples(decode(one.path, sample_rate=RATE))
    expected = LogMel(data.mel)(torch.from_numpy(ready)[None])[0]
    assert torch.allclose(data.mel_of(data.utterances[1]), expected, atol=0.005)


def test_any_number_of_threads_prepares_the_same(tmp_path, record):
    recorded = [record(f"clip {number}", voice_like(0.8 + number / 5, number)) for number in range(6)]
    recorded.insert(2, record("silent", np.zeros(RATE, np.float32)))
    one = prepare(recorded, FRONTEND, tmp_path / "one", workers=1)
    four = prepare(recorded, FRONTEND, tmp_path / "four", workers=4)
    assert one.utterances == four.utterances
    assert (one.left_out, one.notes) == (four.left_out, four.notes)
    assert one.path.read_bytes() == four.path.read_bytes()


def test_preparing_leaves_the_number_of_threads_as_it_was(tmp_path, record):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        prepare([record("one", voice_like(1.0))], FRONTEND, tmp_path)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_loudness_and_silence_around_do_not_matter(tmp_path, record):
    speech = voice_like(2.0)
    silence = np.zeros(RATE, np.float32)
    quiet = record("quiet", np.concatenate([silence, speech * 0.1, silence]))
    data = prepare([record("plain", speech), quiet], FRONTEND, tmp_path)
    plain, trimmed = (data.mel_of(each) for each in data.utterances)
    assert abs(trimmed.shape[1] - plain.shape[1]) < 25
    assert abs(trimmed.mean() - plain.mean()) < 1.2


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("empty text", lambda record: record("x", voice_like(2), text="  "), "no text"),
        ("foreign text", lambda record: record("x", voice_like(2), text="漢字"), "none of its characters"),
        (
            "short",
            lambda record: record("x", voice_like(0.2), text="mama " * 10),
            "longer than 0.2 s of speech can hold",
        ),
        ("silent", lambda record: record("x", np.zeros(RATE, np.float32)), "is silent"),
        ("hiss", lambda record: record("x", np.float32(1e-4) * np.ones(RATE, np.float32)), "is silent"),
        (
            "clipped",
            lambda record: too_loud(record("x", voice_like(2))),
            "badly overdriven",
        ),
    ],
)
def test_what_cannot_be_used_is_left_out_with_a_sentence(tmp_path, record, name, make, reason):
    data = prepare([record("good", voice_like(2.0)), make(record)], FRONTEND, tmp_path)
    assert [each.id for each in data.utterances] == ["good"]
    ((label, why),) = data.left_out
    assert label == "x"
    assert reason in why
    assert f"left out x: {why}" in data.report()


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not audio at all" * 100])
def test_a_broken_file_is_left_out(tmp_path, record, content):
    bad = tmp_path / "bad.webm"
    bad.write_bytes(content)
    data = prepare(
        [record("good", voice_like(2.0)), SpokenText("bad", "GEN 1:1", "mama", bad)], FRONTEND, tmp_path
    )
    assert len(data.utterances) == 1
    assert data.left_out[0][0] == "GEN 1:1"


def test_a_truncated_file_is_left_out(tmp_path, record):
    whole = tmp_path / "whole.webm"
    encode(voice_like(4.0), RATE, whole, "webm")
    cut = tmp_path / "cut.webm"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    bad = SpokenText("cut", "cut", "mama", cut, expected_duration_s=4.0)
    data = prepare([record("good", voice_like(2.0)), bad], FRONTEND, tmp_path)
    assert [label for label, _ in data.left_out] == ["cut"]


def test_two_recordings_of_one_name_are_both_reported(tmp_path, record):
    silent = np.zeros(RATE, np.float32)
    bad = [record("x", silent), record("x", silent), record("good", voice_like(2.0))]
    assert len(prepare(bad, FRONTEND, tmp_path).left_out) == 2


def test_a_job_without_any_usable_recording_ends_with_the_reasons(tmp_path, record):
    with pytest.raises(UserError, match=r"none of 1 recordings can be used\. x: its recording is silent"):
        prepare([record("x", np.zeros(RATE, np.float32))], FRONTEND, tmp_path)


def test_a_long_recording_is_kept_whole_and_said(tmp_path, record):
    data = prepare([record("long", voice_like(40.0))], FRONTEND, tmp_path)
    assert data.utterances[0].frames == 40 * RATE // 512
    assert "long: 40 s long, kept whole" in data.report()


def test_a_long_recording_is_cut_where_an_aligner_is_at_hand(tmp_path, record):
    def aligner(samples, rate, text):
        assert rate == RATE
        assert text == "mama na baba"
        return [
            TextPiece(0.0, 10.0, "mama na"),
            TextPiece(10.0, 10.1, "wanaenda"),
            TextPiece(10.1, 35.0, "baba"),
        ]

    data = prepare(
        [record("long", voice_like(35.0)), record("short", voice_like(2.0))], FRONTEND, tmp_path, cut=aligner
    )
    assert [(each.id, each.text) for each in data.utterances] == [
        ("long#1", "mama na"),
        ("long#3", "baba"),
        ("short", "mama na baba"),
    ]
    assert data.left_out[0][0] == "long, piece 2"
    assert "long: 35 s long, cut into 3 pieces" in data.report()


def test_a_long_recording_that_cannot_be_aligned_is_kept_whole(tmp_path, record):
    def aligner(samples, rate, text):
        raise DataError("the text does not fit")

    data = prepare([record("long", voice_like(35.0))], FRONTEND, tmp_path, cut=aligner)
    assert len(data.utterances) == 1
    assert "long: 35 s long and not cut (the text does not fit)" in data.report()


@pytest.mark.slow
def test_ten_minutes_with_their_text_are_too_long_to_be_aligned_as_a_whole(tmp_path, record):
    data = prepare(
        [record("chapter", voice_like(600.0), text="mama na baba " * 600), record("good", voice_like(2.0))],
        FRONTEND,
        tmp_path,
    )
    assert [each.id for each in data.utterances] == ["good"]
    assert "split it into verses, or train a transcriber first" in data.left_out[0][1]


def test_lost_letters_are_reported_with_counts(tmp_path, record):
    data = prepare(
        [record("one", voice_like(2.0), text="mama ñ ñ"), record("two", voice_like(2.0))], FRONTEND, tmp_path
    )
    assert any(
        "(U+00F1 LATIN SMALL LETTER N WITH TILDE)" in line and "2 times" in line for line in data.report()
    )


def test_batches_are_padded_and_references_are_parts_of_their_own_mel(tmp_path, record):
    data = prepare(
        [record("one", voice_like(1.0)), record("two", voice_like(3.0, 1), "mama na baba wanaenda")],
        FRONTEND,
        tmp_path,
    )
    batch = data.collate(data.utterances, torch.Generator().manual_seed(3))
    assert batch.mel_lengths.tolist() == [each.frames for each in data.utterances]
    assert batch.mel.shape == (2, 128, data.utterances[1].frames)
    assert batch.mel[0, :, data.utterances[0].frames :].abs().sum() == 0
    assert batch.id_lengths.tolist() == [len(each.ids) for each in data.utterances]
    for row, each in enumerate(data.utterances):
        size = int(batch.reference_lengths[row])
        assert each.frames // 12 <= size <= each.frames // 3
        windows = data.mel_of(each).unfold(1, size, 1)
        wanted = batch.reference[row, :, :size]
        assert any(torch.equal(windows[:, at], wanted) for at in range(windows.shape[1]))
    again = data.collate(data.utterances, torch.Generator().manual_seed(3))
    assert torch.equal(batch.reference, again.reference)


def test_voices_are_measured_on_whole_chapters(caplog):
    utterances = [
        EncodedUtterance(
            f"{chapter}:{verse}", f"MRK {chapter}:{verse}", "text", (1, 2), 0, 100, f"MRK {chapter}"
        )
        for chapter in range(1, 6)
        for verse in range(1, 11)
    ]
    with caplog.at_level("INFO"):
        training, validation = split(utterances, 10)
    assert len({each.chapter for each in validation}) == 1
    assert len(training) == 40
    assert not {each.chapter for each in training} & {each.chapter for each in validation}
    assert NOTE not in caplog.text
    with caplog.at_level("INFO"):
        split([replace(each, chapter="MRK 1") for each in utterances], 10)
    assert NOTE in caplog.text


def test_the_split_depends_on_ids_and_not_on_their_order(tmp_path, record):
    data = prepare([record(f"v{n}", voice_like(0.8, n), "mama") for n in range(20)], FRONTEND, tmp_path)
    training, validation = split(data.utterances, 4)
    assert (len(training), len(validation)) == (16, 4)
    assert not {each.id for each in training} & {each.id for each in validation}
    assert split(data.utterances[::-1], 4) == (training, validation)


def test_progress_is_told_for_every_recording(tmp_path, record):
    seen = []
    recorded = [record("a", voice_like(1.0), "mama"), record("b", np.zeros(RATE, np.float32))]
    prepare(recorded, FRONTEND, tmp_path, report=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_a_reference_that_is_silent_says_so():
    with pytest.raises(DataError, match="is silent"):
        ready_samples(Recording(np.zeros(RATE, np.float32), RATE))


def test_no_mel_stays_in_memory(tmp_path, record):
    data = prepare([record("one", voice_like(2.0))], FRONTEND, tmp_path)
    assert data.path.stat().st_size == data.utterances[0].frames * 128 * 2
