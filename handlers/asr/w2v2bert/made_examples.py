"""What a machine makes for a transcriber to learn from: its own readings, and verses that a voice speaks."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from codex_worker.asr.checkpoint import TranscriberCheckpoint
from codex_worker.asr.corpus import Example, Split, TranscribedClip
from codex_worker.asr.teaching import (
    MADE_PER_HUMAN,
    choose_readings,
    choose_texts,
    held_out_chapters,
    held_out_texts,
)
from codex_worker.asr.transcribe import DecodingSettings, Transcriber, Transcript
from codex_worker.asr.utterances import utterance_of
from codex_worker.codex.choose import cells_with_recording, cells_with_text_only
from codex_worker.data.project import ChosenCell, Project
from codex_worker.data.recordings import fetch_recordings
from codex_worker.stabletts.checkpoint import VoiceCheckpoint, VoiceDescription
from codex_worker.stabletts.frontend.encoding import lost_letters
from codex_worker.stabletts.speak import SpeakingSettings, SpokenFile, write_files
from codex_worker.stabletts.verses import Failed, Verse
from codex_worker.text.graphemes import letter_count
from codex_worker.training.machine import this_machine
from handlers.base import JobCallbacks, JobContext
from handlers.steps import threads
from handlers.tts.stabletts.inference import (
    FRAMES_PER_BATCH_ON_A_PROCESSOR,
    description_of,
    stabletts_voice,
)
from handlers.tts.stabletts.training import frontend_request

REPORT_EVERY = 20
_CHAPTER = "its chapter is held out to measure on"


@dataclass(frozen=True)
class Made:
    """Clips that a machine made, a row for people about each, and why others are none (label -> reason)."""

    clips: tuple[TranscribedClip, ...] = ()
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by the clip's key
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """What people's examples decide of those that are made."""

    data: Split
    longest_s: float  # of a recording that is learnt from
    letters: frozenset[str]  # that the transcriber writes
    learnt: Callable[[str], str]  # how a text is learnt

    @property
    def limit_s(self) -> float:
        """Seconds of each kind at most."""
        return MADE_PER_HUMAN * self._seconds(self.data.train)

    @property
    def letter_s(self) -> float:
        """Seconds for a letter, as people speak here."""
        letters = sum(letter_count(example.text) for example in self.data.train)
        return self._seconds(self.data.train) / max(1, letters)

    def parted(self, chosen: Sequence[ChosenCell]) -> tuple[list[ChosenCell], dict[str, str]]:
        """The cells that may be learnt from, and of those in chapters that are held out (label) why not."""
        held_out = held_out_chapters(self.data)
        rest = [one for one in chosen if one.chapter not in held_out]
        return rest, {one.label: _CHAPTER for one in chosen if one.chapter in held_out}

    def text_of(self, text: str) -> str:
        """The text as it is learnt; empty where it has letters that people's recordings do not have."""
        learnt = self.learnt(text)
        return learnt if set(learnt) - {" "} <= self.letters else ""

    @staticmethod
    def _seconds(examples: Sequence[Example]) -> float:
        return sum(example.duration_s for example in examples)


def read_recordings(
    job: JobContext, callbacks: JobCallbacks, project: Project, base: TranscriberCheckpoint, lesson: Lesson
) -> Made:
    """Sure readings of people's recordings without text, by the checkpoint that training starts from.

    Raises what a heartbeat raises when the job is to end.
    """
    listed = project.choose(cells_with_recording, job.options.training).chosen
    chosen, left_out = lesson.parted([one for one in listed if not one.cell.text])
    if not chosen:
        return Made(left_out=left_out)
    callbacks.heartbeat(0, f"Fetching {len(chosen)} recordings without text", "download")
    fetched = fetch_recordings(project.reader, chosen)
    transcriber = Transcriber(base, DecodingSettings(workers=threads()), this_machine().device)
    heard: dict[str, Transcript] = {}
    clips = [utterance_of(cell) for cell in fetched.cells]
    for transcript in transcriber.transcribe(clips, should_stop=callbacks.should_stop):
        heard[transcript.key] = replace(transcript, text=lesson.text_of(transcript.text))
        if len(heard) % REPORT_EVERY == 0:
            callbacks.heartbeat(
                0, f"Read {len(heard)} of {len(clips)} recordings to learn from", "preprocess"
            )
    callbacks.heartbeat(0, f"Read {len(heard)} recordings to learn from", "preprocess")
    choice = choose_readings(
        list(heard.values()),
        limit_s=lesson.limit_s,
        longest_s=lesson.longest_s,
        taken=held_out_texts(lesson.data),
    )
    cells = {cell.key: cell for cell in fetched.cells}
    made = [replace(utterance_of(cells[key]), text=heard[key].text, is_made=True) for key in choice.keys]
    rows = {
        key: {
            "reference": cells[key].label,
            "text": heard[key].text,
            "confidence": round(heard[key].confidence, 3),
            "seconds": round(heard[key].duration_s, 2),
        }
        for key in choice.keys
    }
    left_out |= {one.label: one.reason for one in fetched.skipped}
    left_out |= {cells[key].label: reason for key, reason in choice.left_out.items()}
    return Made(tuple(made), rows, left_out)


def speak_texts(
    job: JobContext, callbacks: JobCallbacks, project: Project, loaded: VoiceCheckpoint, lesson: Lesson
) -> Made:
    """Texts of cells without a recording, spoken by a voice into the job folder.

    Raises what a heartbeat raises when the job is to end.
    """
    chosen, left_out = lesson.parted(project.choose(cells_with_text_only, job.options.training).chosen)
    cells = {one.key: one for one in chosen}
    if not cells:
        return Made(left_out=left_out)
    voice = description_of(job, frontend_request(job.options.training), loaded, chosen, project)
    unsaid = {key: _unsaid(voice, one.cell.text) for key, one in cells.items()}
    choice = choose_texts(
        {key: lesson.text_of(one.cell.text) for key, one in cells.items() if not unsaid[key]},
        letter_s=lesson.letter_s,
        limit_s=lesson.limit_s,
        longest_s=lesson.longest_s,
        taken=held_out_texts(lesson.data),
    )
    left_out |= {cells[key].label: f"the voice does not speak {why}" for key, why in unsaid.items() if why}
    left_out |= {cells[key].label: reason for key, reason in choice.left_out.items()}
    clips, rows = [], {}
    answers = _spoken(job, callbacks, project, loaded.path, [cells[key] for key in choice.keys])
    for done, answer in enumerate(answers, start=1):
        cell = cells[answer.verse.id]
        if isinstance(answer, Failed):
            left_out[cell.label] = answer.reason
        else:
            clips.append(
                TranscribedClip(cell.key, answer.encoded.path, cell.cell.text, cell.chapter, is_made=True)
            )
            rows[cell.key] = {
                "reference": cell.label,
                "text": cell.cell.text,
                "seconds": round(answer.encoded.duration_s, 2),
            }
        if done % REPORT_EVERY == 0:
            callbacks.heartbeat(0, f"Spoke {done} of {len(choice.keys)} verses to learn from", "preprocess")
    callbacks.heartbeat(0, f"Spoke {len(clips)} verses to learn from", "preprocess")
    return Made(tuple(clips), rows, left_out)


def _spoken(
    job: JobContext, callbacks: JobCallbacks, project: Project, voice: Path, chosen: Sequence[ChosenCell]
) -> Iterator[SpokenFile | Failed]:
    """WAV files of these cells' texts, by the voice that a job which speaks would have."""
    if not chosen:
        return
    settings = replace(SpeakingSettings.of(job.options.inference), audio_format="wav")
    if not this_machine().memory_bytes:
        settings = replace(settings, batch_frames=FRAMES_PER_BATCH_ON_A_PROCESSOR)
    ready = stabletts_voice(job, callbacks, voice, project, chosen)
    folder = job.folder / "made_speech"
    folder.mkdir(parents=True, exist_ok=True)
    verses = [Verse(one.key, one.label, one.cell.text) for one in chosen]
    yield from write_files(
        ready.speak(verses, settings, callbacks.should_stop),
        lambda verse: folder / f"{hashlib.sha256(verse.id.encode()).hexdigest()[:20]}.wav",
        settings.audio_format,
        workers=threads(),
    )


def _unsaid(voice: VoiceDescription, text: str) -> str:
    """What of a text the voice leaves out, so that sound and text would differ; punctuation is no loss."""
    encoding = voice.frontend.encode(text)
    digits = {sign for sign in (*encoding.dropped, *encoding.unread) if sign.isalnum()}
    return " ".join(sorted(lost_letters(encoding) | digits))
