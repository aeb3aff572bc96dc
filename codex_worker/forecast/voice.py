"""What to expect of a voice from so many minutes of one person's recordings."""

from dataclasses import dataclass

from codex_worker.forecast.curves import duration
from codex_worker.forecast.situation import Situation


@dataclass(frozen=True)
class VoiceStage:
    """What is usual from so many minutes of one voice on."""

    from_minutes: float
    expectation: str
    source: str


STAGES = (
    VoiceStage(
        0,
        "too little: hardly a word will be understood",
        "the least that voices of new languages were learnt from, as far as is known here, is 5 minutes",
    ),
    VoiceStage(
        5,
        "a first impression from the official weights: the sound of the voice, words only here and there",
        "languages that a toolkit's voice had not heard were learnt from 5 minutes (IMS-Toucan, issue 45)",
    ),
    VoiceStage(
        15,
        "a first impression: words begin to be understood",
        "80 to 150 recordings fine-tune a voice (README of finetune-hf-vits); measured here: beginnings of "
        "words after 1,260 updates from random weights on 18 minutes",
    ),
    VoiceStage(
        120, "usable, with mistakes", "reasonable results with a couple of hours (Coqui TTS, its FAQ)"
    ),
    VoiceStage(
        460,
        "good",
        "a Māori voice of 7 hours 45 minutes, whose readings had 6.8 in 100 words wrong",
    ),
)


@dataclass(frozen=True)
class VoiceForecast:
    """What to expect, and what it rests on."""

    expectation: str
    rests_on: tuple[str, ...]


def stage(minutes: float) -> VoiceStage:
    """The last stage that so many minutes reach."""
    return next(each for each in reversed(STAGES) if minutes >= each.from_minutes)


def expect_voice(situation: Situation) -> VoiceForecast:
    """What a voice of these recordings will be like: of the main voice alone, and of all together."""
    main, all_of_them = stage(situation.main_voice_hours * 60), stage(situation.minutes)
    said = main.expectation
    rests_on = [f"{duration(situation.main_voice_hours)} of one voice: {main.source}"]
    if len(situation.hours_by_speaker) > 1:
        rests_on = [f"{duration(situation.main_voice_hours)} of the most frequent voice: {main.source}"]
        if all_of_them is not main:
            said += f"; at best, where the other voices help it: {all_of_them.expectation}"
            rests_on.append(f"{duration(situation.hours)} of all voices: {all_of_them.source}")
    nearer = [each for each in STAGES if each.from_minutes > situation.main_voice_hours * 60][:1]
    rests_on += [
        f"the next step begins at {duration(each.from_minutes / 60)}: {each.expectation}" for each in nearer
    ]
    return VoiceForecast(said, tuple(rests_on))
