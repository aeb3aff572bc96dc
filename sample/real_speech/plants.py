"""Faults as projects have them, put into recordings that have none."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sample.real_speech.corpus import RATE, Prompt, Samples, read_g722
from sample.real_speech.encoding import encode
from sample.real_speech.truth import Plant, Role
from sample.real_speech.verses import Fate, Sound, Verse, chosen_by

SHORTEST_S, LONGEST_S = 2.5, 9.0  # long enough to show a fault, and still one verse
TOO_LOUD = 15.0
TOO_FAINT = 0.006
NOISE_DB = 8.0
WITHOUT_SPEECH = ("beep", "tt-monkeys")


@dataclass(frozen=True)
class _Change:
    """A fault that lies in the sound: what happens to the samples, and the files that it is tried in."""

    plant: Plant
    extensions: tuple[str, ...]
    apply: Callable[[Samples, int], Samples]
    """Of the samples and how many of its kind went before."""


def _overdriven(samples: Samples, number: int) -> Samples:
    """Cut flat by the microphone, and turned down afterwards by whatever came behind it."""
    level = (0.98, 0.8, 0.5, 0.3)[number % 4]
    return np.float32(level) * np.clip(samples * np.float32(TOO_LOUD), -1, 1)


def _with_noise(samples: Samples, number: int) -> Samples:
    noise = np.random.default_rng(number).normal(0, samples.std() * 10 ** (-NOISE_DB / 20), samples.size)
    return samples + noise.astype(np.float32)


def _in_silence(samples: Samples, _: int) -> Samples:
    silence = np.zeros(2 * samples.size, np.float32)
    return np.concatenate([silence, samples, silence])


def _after_a_beep(samples: Samples, _: int) -> Samples:
    times = np.arange(round(0.4 * RATE)) / RATE
    beep = 0.4 * np.sin(2 * np.pi * 1000 * times)
    pause = np.zeros(round(0.2 * RATE))
    return np.concatenate([beep, pause, samples]).astype(np.float32)


def _twice(samples: Samples, _: int) -> Samples:
    return np.concatenate([samples, np.zeros(round(0.3 * RATE), np.float32), samples])


CHANGES = (
    _Change(Plant.OVERDRIVEN, ("wav", "webm", "mp3", "m4a"), _overdriven),
    _Change(Plant.FAINT, ("wav", "wav"), lambda samples, _: samples * np.float32(TOO_FAINT)),
    _Change(Plant.NOISE, ("webm", "webm"), _with_noise),
    _Change(Plant.MOSTLY_SILENCE, ("m4a", "m4a"), _in_silence),
    _Change(Plant.STOPPED, ("webm", "webm"), lambda samples, _: samples[: samples.size // 2]),
    _Change(Plant.SAID_TWICE, ("webm", "wav"), _twice),
    _Change(Plant.BEEP, ("webm", "mp3"), _after_a_beep),
    _Change(Plant.DIGITAL_SILENCE, ("webm",), lambda samples, _: np.zeros_like(samples)),
)
CUT_FILES = ("wav", "wav", "webm")
SWAPPED_PAIRS = 3
NEEDED = (
    2 * SWAPPED_PAIRS
    + sum(len(change.extensions) for change in CHANGES)
    + len(CUT_FILES)
    + len(WITHOUT_SPEECH)
    + 5  # one recording for two verses (two texts), lost, never sent, misnamed
)


def to_be_planted(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts that are given up for faults, always the same ones.

    Raises ValueError where there are too few of a fitting length.
    """
    fitting = [prompt for prompt in prompts if SHORTEST_S < prompt.duration_s < LONGEST_S]
    if len(fitting) < NEEDED:
        raise ValueError(
            f"{len(fitting)} recordings are of a length to plant faults in; {NEEDED} are needed."
        )
    return sorted(fitting, key=lambda prompt: chosen_by(f"plant {prompt.key}", 1 << 64))[:NEEDED]


def planted(prompts: Sequence[Prompt], sounds: Path) -> Iterator[Verse]:
    """The verses with faults, of the prompts that ``to_be_planted`` answers.

    ``sounds`` is the folder of the recordings, where the tones are as well.
    """
    given = iter(prompts)
    for _ in range(SWAPPED_PAIRS):
        one, other = next(given), next(given)
        yield replace(_plain(one, Plant.SWAPPED), text=other.text)
        yield replace(_plain(other, Plant.SWAPPED), text=one.text)
    one, other = next(given), next(given)
    yield _plain(one, Plant.SAME_RECORDING)
    yield replace(_plain(one, Plant.SAME_RECORDING), text=other.text)
    for change in CHANGES:
        for number, extension in enumerate(change.extensions):
            yield _changed(next(given), change, number, extension)
    for extension in CUT_FILES:
        whole = _plain(next(given), Plant.CUT_FILE, extension)
        yield _with_sound(
            whole, lambda sound: replace(sound, content=sound.content[: len(sound.content) // 2])
        )
    for tone in WITHOUT_SPEECH:
        samples = read_g722(sounds / f"{tone}.g722")
        yield _verse(next(given), Plant.NO_SPEECH, samples, "wav", said="")
    yield _with_sound(_plain(next(given), Plant.LOST), lambda sound: replace(sound, fate=Fate.LOST))
    yield _with_sound(
        _plain(next(given), Plant.NEVER_SENT), lambda sound: replace(sound, fate=Fate.NEVER_SENT)
    )
    yield _with_sound(
        _plain(next(given), Plant.MISNAMED, "wav"), lambda sound: replace(sound, extension="mp3")
    )


def _changed(prompt: Prompt, change: _Change, number: int, extension: str) -> Verse:
    samples = change.apply(prompt.samples(), number)
    said = "" if change.plant is Plant.DIGITAL_SILENCE else prompt.text
    return _verse(prompt, change.plant, samples, extension, said=said)


def _plain(prompt: Prompt, plant: Plant, extension: str = "webm") -> Verse:
    return _verse(prompt, plant, prompt.samples(), extension, said=prompt.text)


def _verse(prompt: Prompt, plant: Plant, samples: Samples, extension: str, *, said: str) -> Verse:
    sound = Sound(encode(samples, extension), extension, samples.size / RATE)
    return Verse(prompt.key, Role.TRAINING, prompt.text, said, sound, plant)


def _with_sound(verse: Verse, change: Callable[[Sound], Sound]) -> Verse:
    assert verse.sound is not None
    return replace(verse, sound=change(verse.sound))
