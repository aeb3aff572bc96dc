"""Verses into sound, whatever network speaks: in phrases, many at a time, each as it would be alone."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from codex_worker.audio.level import even_level, is_silent, sounding
from codex_worker.codex.sayable import holds_letters
from codex_worker.errors import DataError, ModelError, ResourceError, WorkerError, is_out_of_memory
from codex_worker.stabletts.frontend.encoding import Encoding, TextFrontend, report_losses
from codex_worker.stabletts.phrases import Phrase, phrases
from codex_worker.stabletts.word_times import SpokenWord, timed, word_ids
from codex_worker.training.batches import batches_by_length
from codex_worker.training.memory import give_back

logger = logging.getLogger(__name__)

FRAMES_PER_ID = 6.0  # blanks counted; only to guess how large a batch will be
SHORTEST_S = 0.05

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class PhraseSound:
    """A phrase as samples [N], and with how many of them each of its ids and blanks has ended."""

    samples: Samples
    id_ends: NDArray[np.int64]


Synthesise = Callable[[Sequence[Sequence[int]], Sequence[int]], Iterable[PhraseSound]]
"""(ids with blanks of each phrase, a seed for each) to the sound of each."""


@dataclass(frozen=True)
class Verse:
    """A text to be spoken; `id` decides its noise, so that it sounds the same in any company."""

    id: str
    label: str
    text: str


@dataclass(frozen=True)
class Spoken:
    """A verse as samples [N] at `sample_rate`, with what could not be said, and when each word is."""

    verse: Verse
    samples: Samples
    sample_rate: int
    notes: tuple[str, ...] = ()
    words: tuple[SpokenWord, ...] = ()


@dataclass(frozen=True)
class Failed:
    """A verse that could not be spoken, and why."""

    verse: Verse
    reason: str


@dataclass(frozen=True)
class VerseSpeaking:
    """Turns verses into samples at `sample_rate` with what a network makes of single phrases.

    A phrase's samples may depend on its ids and its seed only, so that a verse sounds the same in any
    company.
    """

    frontend: TextFrontend
    sample_rate: int
    synthesise: Synthesise
    batch_frames: int
    edge_s: float  # silence before and behind each verse
    length_scale: float = 1.0
    seed: int = 0

    def speak(
        self, verses: Iterable[Verse], should_stop: Callable[[], bool], window: int
    ) -> Iterator[Spoken | Failed]:
        """Speak verses nearly in order, so many sorted by length together; each is answered once.

        What cannot be spoken is answered as `Failed`. Ends early where it is told to stop.
        """
        remaining = iter(verses)
        while taken := list(islice(remaining, window)):
            yield from self._speak_window(taken, should_stop)
            if should_stop():
                return

    def _speak_window(
        self, window: Sequence[Verse], should_stop: Callable[[], bool]
    ) -> Iterator[Spoken | Failed]:
        waiting: dict[int, _Waiting] = {}
        parts: list[_Part] = []
        for number, verse in enumerate(window):
            encoding = self.frontend.encode(verse.text)
            cut = phrases(verse.text, self.frontend)
            if not cut:
                yield Failed(verse, _nothing_to_speak(verse, encoding))
                continue
            waiting[number] = _Waiting(verse, encoding, cut, [None] * len(cut))
            parts += [_Part(number, place, phrase.ids) for place, phrase in enumerate(cut)]
        lengths = [len(part.ids) for part in parts]
        for batch in batches_by_length(lengths, max_total=self.batch_frames / FRAMES_PER_ID):
            if should_stop():
                return
            chosen = [parts[index] for index in batch if parts[index].verse in waiting]
            for part, outcome in zip(chosen, self._try(chosen, waiting), strict=True):
                if part.verse not in waiting:
                    continue  # another part of this verse has failed in this batch
                if isinstance(outcome, WorkerError):
                    yield Failed(waiting.pop(part.verse).verse, str(outcome))
                    continue
                state = waiting[part.verse]
                state.sounds[part.place] = outcome
                if all(sound is not None for sound in state.sounds):
                    yield self._finish(waiting.pop(part.verse))

    def _try(
        self, parts: Sequence["_Part"], waiting: dict[int, "_Waiting"]
    ) -> list[PhraseSound | WorkerError]:
        """The sound of each part; where a batch fails, its halves are tried, until the culprit is alone."""
        if not parts:
            return []
        try:
            seeds = [_seed(waiting[part.verse].verse.id, part.place, self.seed) for part in parts]
            return list(self.synthesise([part.ids for part in parts], seeds))
        except (ModelError, DataError) as error:
            failure: WorkerError = error
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            failure = ResourceError(f"memory ran out while speaking it: {error}")
        if isinstance(failure, ResourceError):
            give_back()  # only now: the error held all that was in memory when it ran out
        if len(parts) == 1:
            return [failure]
        logger.warning("A batch of %d phrases failed (%s); trying its halves", len(parts), failure)
        half = len(parts) // 2
        return [
            *self._try(parts[:half], waiting),
            *self._try(parts[half:], waiting),
        ]

    def _finish(self, state: "_Waiting") -> Spoken | Failed:
        rate = self.sample_rate
        joined: list[Samples] = []
        words: list[SpokenWord] = []
        at = 0  # samples of the phrases so far
        for phrase, sound in zip(state.phrases, state.sounds, strict=True):
            assert sound is not None  # noqa: S101  a verse is finished when all parts are there
            if not np.isfinite(sound.samples).all():
                return Failed(
                    state.verse, "the voice gave no finite numbers for it; its training may have diverged"
                )
            is_whole = len(state.phrases) == 1  # then its ends are those of the verse, which are cut below
            start, end = (0, sound.samples.size) if is_whole else sounding(sound.samples, rate, margin_s=0.03)
            words += timed(word_ids(phrase.text, self.frontend), (sound.id_ends - start + at) / rate)
            pause = round(phrase.pause_s * self.length_scale * rate)
            joined += [sound.samples[start:end], np.zeros(pause, np.float32)]
            at += end - start + pause
        whole = np.concatenate(joined[:-1])
        if whole.size < SHORTEST_S * rate or is_silent(whole, rate):
            return Failed(
                state.verse,
                f"the voice said nothing audible for it ({whole.size / rate:.2f} s); train it longer",
            )
        edge = np.zeros(round(self.edge_s * rate), np.float32)
        start, end = sounding(whole, rate, margin_s=0.02)
        spoken = np.concatenate([edge, even_level(whole[start:end], rate), edge])
        notes = report_losses([state.encoding])
        if len(state.encoding.ids) == 1:
            notes.append("a single letter, spoken as it is")
        moved = tuple(_moved(word, (edge.size - start) / rate, spoken.size / rate) for word in words)
        return Spoken(state.verse, spoken, rate, tuple(notes), moved)


@dataclass(frozen=True)
class _Part:
    verse: int
    place: int
    ids: Sequence[int]


@dataclass
class _Waiting:
    """A verse of which not all parts are spoken yet."""

    verse: Verse
    encoding: Encoding
    phrases: Sequence[Phrase]
    sounds: list[PhraseSound | None]


def _moved(word: SpokenWord, by_s: float, total_s: float) -> SpokenWord:
    """The word at its time in the whole; what was cut off at an end as silence has no time there."""
    start_s, end_s = (min(max(time_s + by_s, 0.0), total_s) for time_s in (word.start_s, word.end_s))
    return replace(word, start_s=start_s, end_s=end_s)


def _nothing_to_speak(verse: Verse, encoding: Encoding) -> str:
    if not verse.text.strip():
        return "it has no text"
    if not holds_letters(verse.text):
        return "its text holds no letters"
    lost = report_losses([encoding], at_most=5)
    shown = repr(verse.text.strip()[:40])
    return f"nothing in {shown} can be spoken by this voice: {'; '.join(lost) or 'no letters'}"


def _seed(identity: str, place: int, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}:{place}:{identity}".encode()).digest()
    return int.from_bytes(digest[:7])
