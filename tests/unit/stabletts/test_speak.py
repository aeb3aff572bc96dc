"""Speaking verses: each as it would be alone, none lost, and files that play."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from codex_worker.audio.decode import decode
from codex_worker.audio.level import loudness
from codex_worker.contract.options import InferenceOptions
from codex_worker.errors import DataError, ModelError
from codex_worker.stabletts import speak as speak_module
from codex_worker.stabletts.checkpoint import VoiceDescription
from codex_worker.stabletts.configuration import TINY, VocosSettings
from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.frontend.compat import CompatFrontend
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.phrases import MAX_SYMBOLS, phrases
from codex_worker.stabletts.speak import (
    EDGE_S,
    Failed,
    Speaker,
    SpeakingSettings,
    Spoken,
    SpokenFile,
    Verse,
    write_files,
)
from codex_worker.stabletts.vocos import Vocos
from tests.support.present import present

RATE = 44_100
FRONTEND = CharactersFrontend.learn(["mama na baba wanaenda sokoni leo asubuhi"])
FAST = SpeakingSettings(steps=2)


@pytest.fixture(scope="module")
def speaker():
    torch.manual_seed(0)
    network = StableTTS(TINY)
    with torch.no_grad():  # six frames to a symbol, so that a random voice speaks at a human pace
        network.dp.proj.weight.zero_()
        present(network.dp.proj.bias).fill_(np.log(6.0))
    torch.manual_seed(1)
    vocos = Vocos(VocosSettings(dim=16, intermediate_dim=32, num_layers=1))
    return Speaker(network, VoiceDescription(TINY, FRONTEND), vocos)


def verses(*texts):
    return [Verse(f"id{number}", f"GEN 1:{number}", text) for number, text in enumerate(texts, start=1)]


def speak(speaker, wanted, settings=FAST, **others):
    return list(speaker.speak(wanted, speaker.listen(None), settings, **others))


def test_a_verse_sounds_the_same_alone_and_among_others(speaker):
    wanted = verses("mama", "baba wanaenda sokoni", "leo asubuhi na mama na baba", "na")
    together = {one.verse.id: one.samples for one in speak(speaker, wanted)}
    assert len(together) == 4
    for verse in wanted:
        (alone,) = speak(speaker, [verse])
        assert alone.samples.shape == together[verse.id].shape
        assert np.abs(alone.samples - together[verse.id]).max() < 1e-4


def test_a_verse_sounds_the_same_every_time(speaker):
    first, second = (speak(speaker, verses("mama na baba"))[0].samples for _ in range(2))
    assert np.array_equal(first, second)
    other = speak(speaker, verses("mama na baba"), replace(FAST, seed=1))[0].samples
    assert other.shape != first.shape or not np.array_equal(other, first)


def test_every_verse_is_answered_whatever_it_is(speaker):
    wanted = verses("mama", "", "  ", "漢字", "漢!", "a", "?!", "…", "***", "\u0301", "baba")
    answers = speak(speaker, wanted)
    assert sorted(one.verse.id for one in answers) == sorted(verse.id for verse in wanted)
    failed = {one.verse.text: one.reason for one in answers if isinstance(one, Failed)}
    assert failed[""] == failed["  "] == "it has no text"
    assert "nothing in '漢字' can be spoken by this voice" in failed["漢字"]
    assert "漢" in failed["漢字"]
    assert "漢" in failed["漢!"]
    assert {failed[text] for text in ("?!", "…", "***", "\u0301")} == {"its text holds no letters"}
    spoken = {one.verse.text: one for one in answers if isinstance(one, Spoken)}
    assert "a single letter, spoken as it is" in spoken["a"].notes


def test_letters_that_the_voice_lacks_are_reported_with_the_verse(speaker):
    (one,) = speak(speaker, verses("mama ñ xx"))
    assert any("'x'" in note and "2 times" in note for note in one.notes)


def test_a_verse_that_fails_is_reported_and_the_others_go_on(speaker, monkeypatch):
    original = speaker.network.synthesise
    poison = FRONTEND.encode("sokoni").ids

    def synthesise(ids, *arguments, **others):
        if any(tuple(row[1 : 2 * len(poison) : 2].tolist()) == poison for row in ids):
            raise ModelError("the voice would hold one symbol for ever")
        return original(ids, *arguments, **others)

    monkeypatch.setattr(speaker.network, "synthesise", synthesise)
    answers = {one.verse.text: one for one in speak(speaker, verses("mama", "sokoni", "baba", "leo", "na"))}
    assert answers["sokoni"].reason == "the voice would hold one symbol for ever"
    assert all(isinstance(answers[text], Spoken) for text in ("mama", "baba", "leo", "na"))


def test_memory_that_runs_out_costs_one_verse_at_most(speaker, monkeypatch):
    original = speaker.network.synthesise

    def synthesise(ids, *arguments, **others):
        if ids.shape[0] > 1:
            raise torch.OutOfMemoryError("out of memory")
        return original(ids, *arguments, **others)

    monkeypatch.setattr(speaker.network, "synthesise", synthesise)
    assert all(isinstance(one, Spoken) for one in speak(speaker, verses("mama", "baba", "leo")))


def test_a_voice_that_gives_no_numbers_fails_its_verses_with_a_sentence(speaker, monkeypatch):
    monkeypatch.setattr(
        speaker, "vocos", lambda mel, lengths: torch.full((mel.shape[0], mel.shape[2] * 512), torch.nan)
    )
    (one,) = speak(speaker, verses("mama"))
    assert "no finite numbers" in one.reason


def test_a_voice_that_says_nothing_is_found_out(speaker, monkeypatch):
    monkeypatch.setattr(speaker, "vocos", lambda mel, lengths: torch.zeros(mel.shape[0], mel.shape[2] * 512))
    (one,) = speak(speaker, verses("mama"))
    assert "said nothing audible" in one.reason


def test_verses_are_equally_loud_with_even_silence_around(speaker):
    for one in speak(speaker, verses("mama na baba wanaenda", "leo asubuhi na baba")):
        edge = round(EDGE_S * RATE)
        assert not one.samples[:edge].any() and not one.samples[-edge:].any()
        assert one.samples[edge : edge + 2000].any()
        assert np.abs(one.samples).max() <= 10 ** (-1 / 20) + 1e-4
        assert loudness(one.samples, RATE) == pytest.approx(-23, abs=3) or np.abs(one.samples).max() > 0.85


@pytest.mark.slow
def test_long_verses_are_cut_at_their_punctuation_and_joined_with_pauses(speaker):
    sentence = "mama na baba wanaenda sokoni leo asubuhi, na mama na baba wanaenda leo. "
    text = (sentence * 6).strip()
    parts = phrases(text, FRONTEND)
    assert [part.text for part in parts] == [(sentence * 3).strip()] * 2
    (one,) = speak(speaker, verses(text))
    frames = sum(6 * len(part.ids) for part in parts)
    assert one.samples.size / RATE == pytest.approx(
        frames * 512 / RATE + parts[0].pause_s + 2 * EDGE_S, rel=0.2
    )


def test_no_part_of_a_long_verse_is_lost():
    text = "mama; baba na " * 80 + "leo — asubuhi " * 30
    parts = phrases(text, FRONTEND, max_symbols=50)
    assert "".join(part.text.replace(" ", "") for part in parts) == text.replace(" ", "")
    assert all(len(part.ids) <= 2 * 50 + 1 for part in parts)


def test_a_long_verse_without_spaces_is_spoken_in_parts_that_fit(speaker, monkeypatch):
    original, widths = speaker.network.synthesise, []

    def synthesise(ids, *arguments, **others):
        widths.append(ids.shape[1])
        return original(ids, *arguments, **others)

    monkeypatch.setattr(speaker.network, "synthesise", synthesise)
    (one,) = speak(speaker, verses("mamanababa" * 26), replace(FAST, steps=1, guidance=1.0))
    assert isinstance(one, Spoken)
    assert max(widths) <= 2 * MAX_SYMBOLS + 1
    assert one.samples.size / RATE == pytest.approx(6 * 2 * 260 * 512 / RATE, rel=0.1)


def test_a_short_verse_is_not_cut():
    assert len(phrases("mama. baba. leo.", FRONTEND)) == 1


def test_a_longer_scale_speaks_slower(speaker):
    plain = speak(speaker, verses("mama na baba wanaenda"))[0].samples.size - 2 * EDGE_S * RATE
    slow = speak(speaker, verses("mama na baba wanaenda"), replace(FAST, length_scale=1.5))[0].samples.size
    assert (slow - 2 * EDGE_S * RATE) / plain == pytest.approx(1.5, rel=0.1)


def test_a_job_that_is_to_stop_stops_between_batches(speaker):
    looks = iter([False, True, True, True])
    settings = replace(FAST, batch_frames=100)
    answers = speak(
        speaker, verses("mama", "baba wanaenda", "leo asubuhi"), settings, should_stop=lambda: next(looks)
    )
    assert [one.verse.text for one in answers] == ["mama"]


def test_verses_come_out_nearly_in_order(speaker, monkeypatch):
    monkeypatch.setattr(speak_module, "WINDOW", 2)
    answers = speak(speaker, verses("mama na baba wanaenda", "na", "leo asubuhi", "a"))
    assert [{one.verse.id for one in answers[:2]}, {one.verse.id for one in answers[2:]}] == [
        {"id1", "id2"},
        {"id3", "id4"},
    ]


def test_a_voice_without_vocos_is_heard_through_griffin_lim(speaker):
    plain = Speaker(speaker.network, VoiceDescription(TINY, FRONTEND, vocoder="griffin_lim"), None)
    first, second = (speak(plain, verses("mama na baba"))[0].samples for _ in range(2))
    assert np.array_equal(first, second)
    assert first.size > RATE // 2


def test_a_reference_clip_decides_the_voice(speaker):
    rng = np.random.default_rng(0)
    clip = rng.normal(0, 0.1, RATE).astype(np.float32)
    heard = speaker.listen(clip)
    assert heard.shape == (1, TINY.gin_channels)
    assert not torch.equal(heard, speaker.listen(None))


def test_a_reference_of_a_tenth_of_a_second_is_refused(speaker):
    with pytest.raises(DataError, match=r"has 0\.1 s of speech; choose a clip of 3 to 15 s"):
        speaker.listen(np.zeros(RATE // 10, np.float32))


@pytest.mark.parametrize("audio_format", ["webm", "wav", "ogg", "mp3", "m4a"])
def test_files_are_written_in_the_format_that_was_asked_for(speaker, tmp_path, audio_format):
    spoken = speaker.speak(verses("mama na baba", "", "leo"), speaker.listen(None), FAST)
    answers = list(write_files(spoken, lambda verse: tmp_path / f"{verse.id}.{audio_format}", audio_format))
    files = [one for one in answers if isinstance(one, SpokenFile)]
    assert len(files) == 2 and len(answers) == 3
    for one in files:
        heard = decode(one.encoded.path, sample_rate=RATE)
        assert heard.duration_s == pytest.approx(one.encoded.duration_s, abs=0.1)
        assert np.abs(heard.samples).max() > 0.01


def test_files_are_written_while_the_next_verses_are_spoken(tmp_path, monkeypatch):
    """The speaker waits for the first file before it gives the second verse: only threads can do that."""
    written = threading.Event()
    original = speak_module.encode

    def encode(*arguments):
        encoded = original(*arguments)
        written.set()
        return encoded

    def spoken():
        noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
        yield Spoken(Verse("one", "one", "a"), noise, RATE)
        assert written.wait(timeout=60)
        yield Spoken(Verse("two", "two", "b"), noise, RATE)

    monkeypatch.setattr(speak_module, "encode", encode)
    answers = list(write_files(spoken(), lambda verse: tmp_path / f"{verse.id}.wav", "wav"))
    assert [one.verse.id for one in answers] == ["one", "two"]


def test_a_job_says_how_to_speak():
    options = InferenceOptions(
        diffusion_steps=25,
        temperature=0.667,
        length_scale=1.1,
        cfg_scale=1,
        solver="dopri5",
        audio_format="MP3",
    )
    assert SpeakingSettings.of(options) == SpeakingSettings(25, 0.667, 1.1, 1.0, "dopri5", "mp3")


def test_a_job_that_says_nothing_is_spoken_with_the_defaults():
    assert SpeakingSettings.of(InferenceOptions()) == SpeakingSettings(10, 1.0, 1.0, 3.0, "euler", "webm")


def test_the_reading_of_the_checkpoint_is_used(speaker):
    english = Speaker(speaker.network, VoiceDescription(TINY, CompatFrontend()), speaker.vocos)
    (one,) = list(english.speak(verses("quick"), english.listen(None), FAST))
    assert isinstance(one, Spoken)


def test_words_are_said_where_their_letters_are(speaker):
    """Each id and blank has six frames; the sound is a phrase with its ends cut, between two silences."""
    (one,) = speak(speaker, verses("mama na baba"))
    assert [word.text for word in one.words] == ["mama", "na", "baba"]
    frame_s = speaker.voice.mel.hop_length / RATE
    lasts = [word.end_s - word.start_s for word in one.words]
    letters = [len(word.text) for word in one.words]
    # A word is its letters and the blanks between them; the ends of the first and the last may be cut.
    assert lasts[1] == pytest.approx(6 * (2 * letters[1] - 1) * frame_s, abs=1e-6)
    assert all(
        before.end_s + 6 * 3 * frame_s == pytest.approx(after.start_s, abs=1e-6)
        for before, after in zip(one.words, one.words[1:], strict=False)
    )
    assert one.words[-1].end_s <= one.samples.size / RATE


def test_words_of_a_verse_in_several_phrases_follow_each_other(speaker):
    text = " ".join(["mama na baba wanaenda sokoni leo asubuhi,"] * 20)
    (one,) = speak(speaker, verses(text))
    assert len(phrases(text, FRONTEND)) > 2
    assert [word.text for word in one.words] == text.split()
    assert all(before.end_s <= after.start_s for before, after in zip(one.words, one.words[1:], strict=False))
    assert one.words[-1].end_s <= one.samples.size / RATE


def test_a_voice_that_leaves_the_range_of_fp16_speaks_in_fp32(speaker):
    rough = Speaker(speaker.network, speaker.voice, speaker.vocos, precision="fp16")
    estimator = speaker.network.decoder.estimator
    exact, half = (speak(each, verses("mama na baba"))[0].samples for each in (speaker, rough))
    assert half.shape == exact.shape and not np.array_equal(half, exact)

    def large(module, inputs, made):
        return made * 2.0**30 / 2.0**30

    hook = estimator.final_proj.register_forward_hook(large)
    try:
        assert np.array_equal(*(speak(each, verses("mama na baba"))[0].samples for each in (speaker, rough)))
    finally:
        hook.remove()
