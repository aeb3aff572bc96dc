"""From a project's recordings and texts to examples, and what was left out with its reason."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from codex_worker.asr.features import FeatureCache, FeatureExtractor, content_key
from codex_worker.audio.decode import Clip, Decode, decode
from codex_worker.data.faults import Purpose
from codex_worker.data.held_out import Item, hold_out
from codex_worker.data.usable import Limits, Needs, hear
from codex_worker.errors import DataError, UserError
from codex_worker.text.normalise import LEARNABLE_COUNT, unlearnt_letters
from codex_worker.training.machine import keep_cores, take_one_core

logger = logging.getLogger(__name__)

MIN_RECORDINGS = 2
# Fewer recordings than this are all trained on; a validation set of one or two would say nothing.
MIN_TO_HOLD_OUT = 10


@dataclass(frozen=True)
class TranscribedClip:
    """A recording, or a stretch of one, and what is said in it."""

    key: str  # the cell's id, for people
    path: Path
    text: str
    chapter: str = ""  # what must not be split between training and validation
    start_s: float | None = None
    end_s: float | None = None
    expected_duration_s: float | None = None  # of the whole file, as its project noted it
    is_made: bool = False  # read or spoken by a machine to be learnt from: never held out, see `teaching`

    @property
    def clip(self) -> Clip:
        """What to decode."""
        return Clip(self.path, self.start_s, self.end_s, self.expected_duration_s)


@dataclass(frozen=True)
class Example:
    """An utterance that can be learnt from: normalised text, content key of its sound, duration."""

    utterance: TranscribedClip
    text: str
    sound: str
    duration_s: float
    written: str = ""  # what people wrote, where letters of it are not learnt

    @property
    def reference(self) -> str:
        """What readings are compared with: error rates count the letters that are not learnt, too."""
        return self.written or self.text


@dataclass(frozen=True)
class Split:
    """Examples by what they are for. `validation` may be the training set itself where data is too little."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def held_out(self) -> int:
        """How many examples validation has that are not trained on."""
        return 0 if self.validation is self.train else len(self.validation)

    @property
    def people_texts(self) -> list[str]:
        """The texts that are trained on, as far as people recorded and wrote them."""
        return [example.text for example in self.train if not example.utterance.is_made]


@dataclass(frozen=True)
class Corpus:
    """All examples of a project, and why others are not among them (utterance key -> a sentence)."""

    examples: tuple[Example, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    rare_letters: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def hours(self) -> float:
        """Hours of usable recordings."""
        return sum(example.duration_s for example in self.examples) / 3600


class Sounds:
    """Recordings as the network reads them: decoded at 16 kHz when first needed, then from disk.

    `speeds` are those that a training will ask for: whoever has the samples at hand already makes the
    features of all of them, so that no epoch decodes anything again.
    """

    def __init__(
        self, frontend: FeatureExtractor, cache: FeatureCache, speeds: Sequence[float] = (1.0,)
    ) -> None:
        self.frontend = frontend
        self.cache = cache
        self.speeds = speeds

    def features(self, example: Example, speed: float = 1.0) -> np.ndarray:
        """Input rows of one example, spoken `speed` times as fast (tempo and pitch, as a tape would)."""
        return self._kept(example, speed, lambda: read_samples(example.utterance, self.frontend.sample_rate))

    def features_of(self, example: Example, samples: np.ndarray) -> np.ndarray:
        """Input rows of one example whose samples are at hand; `features` finds them again, at each speed."""
        rows = self._kept(example, 1.0, lambda: samples)
        for speed in self.speeds:
            if self.cache.has_room(rows.size):  # or what comes in would only push out what is there
                self._kept(example, speed, lambda: samples)
        return rows

    def _kept(self, example: Example, speed: float, samples: Callable[[], np.ndarray]) -> np.ndarray:
        key = example.sound if speed == 1.0 else f"{example.sound}-x{speed:g}"
        return self.cache.get(key, self.frontend, lambda: self._compute(samples(), speed))

    def _compute(self, samples: np.ndarray, speed: float) -> np.ndarray:
        if speed != 1.0:
            from codex_worker.audio.resample import resample

            samples = resample(samples, round(self.frontend.sample_rate * speed), self.frontend.sample_rate)
        return self.frontend(samples)


def read_samples(utterance: TranscribedClip, sample_rate: int) -> np.ndarray:
    """The utterance's samples `[N]`, mono float32. Raises DataError for what is no usable recording."""
    return decode(
        utterance.path, sample_rate=sample_rate, start_s=utterance.start_s, end_s=utterance.end_s
    ).samples


def prepare(
    utterances: Sequence[TranscribedClip],
    *,
    normalise: Callable[[str], str],
    written: Callable[[str], str] | None = None,
    sounds: Sounds,
    frames: Callable[[int], int],
    max_duration_s: float,
    workers: int = 4,
    decode: Decode = decode,
    report: Callable[[str], None] = logger.info,
) -> Corpus:
    """Every utterance that can be learnt from; the others with the reasons of `data.usable`.

    Args:
        normalise: the text recipe.
        written: what of a text a reading is compared with; by default what `normalise` gives.
        frames: CTC frames for an input of that many rows.
        workers: recordings decoded at a time.
        decode: reads a recording, where it was decoded before.
        report: gets a sentence now and then; it may raise to end the work.

    Raises:
        UserError: nothing, or a single recording, is left to learn from.
    """
    learnt, rare = learnt_text([u.text for u in utterances], normalise)
    needs = needs_of(learnt, sounds.frontend, frames, max_duration_s)
    examples, left_out = examples_of(
        utterances,
        learnt=learnt,
        written=written or normalise,
        needs=needs,
        sounds=sounds,
        workers=workers,
        decode=decode,
        report=report,
    )
    _require_enough(examples, left_out)
    notes = [
        f"{len(examples)} recordings to learn from, {sum(e.duration_s for e in examples) / 60:.1f} minutes"
    ]
    if left_out:
        what = "1 recording" if len(left_out) == 1 else f"{len(left_out)} recordings"
        notes.append(f"{what} left out; the log names each with its reason")
    if rare:
        listed = " ".join(f"{letter}({count})" for letter, count in rare.items())
        notes.append(f"letters seen fewer than {LEARNABLE_COUNT} times are not learnt: {listed}")
    return Corpus(tuple(examples), left_out, rare, tuple(notes))


def examples_of(
    utterances: Sequence[TranscribedClip],
    *,
    learnt: Callable[[str], str],
    written: Callable[[str], str],
    needs: Needs,
    sounds: Sounds,
    workers: int = 4,
    decode: Decode = decode,
    report: Callable[[str], None] = logger.info,
) -> tuple[list[Example], dict[str, str]]:
    """The examples among utterances, in their order, and why the others are none; see `prepare`."""
    left_out: dict[str, str] = {}
    texts = {u.key: learnt(u.text) for u in utterances}
    references = {u.key: written(u.text) for u in utterances}
    spoken = []
    for utterance in utterances:
        if texts[utterance.key]:
            spoken.append(utterance)
        else:
            left_out[utterance.key] = "its text holds no letters after normalisation"
    examples = []
    with keep_cores(), ThreadPoolExecutor(workers, initializer=take_one_core) as pool:
        outcomes = pool.map(lambda u: _example(u, texts[u.key], sounds, needs.limits(u.text), decode), spoken)
        for position, (utterance, outcome) in enumerate(zip(spoken, outcomes, strict=True), start=1):
            if isinstance(outcome, Example):
                examples.append(replace(outcome, written=references[utterance.key]))
            else:
                left_out[utterance.key] = outcome
            if position % 100 == 0 or position == len(spoken):
                report(f"Read {position} of {len(spoken)} recordings; {len(left_out)} cannot be used")
    for key, reason in left_out.items():
        logger.warning("%s is left out: %s", key, reason)
    return examples, left_out


def split(corpus: Corpus, *, val_split: float, test_split: float) -> Split:
    """Divide by whole chapters as `data.held_out` chooses them; shares are of the number of recordings."""
    examples = corpus.examples
    if len(examples) < MIN_TO_HOLD_OUT:
        note = (
            f"{len(examples)} recordings are too few to hold any back: "
            "the error rates are those on the training recordings"
        )
        return Split(examples, examples, notes=(note,))
    items = [Item(one.utterance.key, one.utterance.chapter, one.duration_s) for one in examples]
    held = hold_out(items, [val_split, test_split])
    notes = list(held.notes)
    ordered = sorted(examples, key=lambda one: (one.utterance.chapter, one.utterance.key))
    validation, test = ([one for one in ordered if one.utterance.key in part] for part in held.parts)
    train = tuple(one for one in ordered if not any(one.utterance.key in part for part in held.parts))
    if not validation:
        notes.append("val_split is 0: the error rates are those on the training recordings")
    return Split(train, tuple(validation) or train, tuple(test), tuple(notes))


def learnt_text(
    texts: Sequence[str], normalise: Callable[[str], str]
) -> tuple[Callable[[str], str], dict[str, int]]:
    """How a text is learnt beside these others, without their rare letters; and those, with their counts."""
    rare = unlearnt_letters([normalise(text) for text in texts])
    return without_letters(normalise, rare), dict(rare)


def without_letters(normalise: Callable[[str], str], letters: Iterable[str]) -> Callable[[str], str]:
    """How a text is normalised and written without some letters."""
    table = {ord(letter): None for letter in letters}
    return lambda text: " ".join(normalise(text).translate(table).split())


def needs_of(
    learnt: Callable[[str], str],
    frontend: FeatureExtractor,
    frames: Callable[[int], int],
    max_duration_s: float,
) -> Needs:
    """What a transcriber needs of recordings: frames enough for the letters of their texts, and no more."""
    second = round(1.0 / frontend.input_seconds(1))
    frames_per_second = frames(10 * second) / 10

    def least_s(text: str) -> float | None:
        letters = [ord(letter) for letter in learnt(text)]
        # Windows at both ends lose up to two frames.
        return (ctc_frames_needed(letters) + 2) / frames_per_second if letters else None

    return Needs(least_s, max_duration_s, "max_duration_seconds")


def ctc_frames_needed(labels: Sequence[int]) -> int:
    """The fewest frames that CTC can write these labels in: a blank must part equal neighbours."""
    return len(labels) + sum(1 for left, right in pairwise(labels) if left == right)


def _example(
    utterance: TranscribedClip, text: str, sounds: Sounds, limits: Limits, decode: Decode
) -> Example | str:
    try:
        heard = hear(utterance.clip, sample_rate=sounds.frontend.sample_rate, limits=limits, decode=decode)
        found = heard.against(Purpose.TRAINING)
        if found is not None or heard.recording is None:
            return found.sentence if found else "its recording cannot be heard"
        key = content_key(utterance.path)
        if utterance.start_s is not None or utterance.end_s is not None:
            key += f"-{utterance.start_s or 0:.3f}-{utterance.end_s or 0:.3f}"
        example = Example(utterance, text, key, 0.0)
        rows = len(sounds.features_of(example, heard.recording.samples))
    except DataError as error:
        return str(error)
    except OSError as error:
        return f"the recording cannot be read: {error}"
    return replace(example, duration_s=sounds.frontend.input_seconds(rows))


def _require_enough(examples: Sequence[Example], left_out: Mapping[str, str]) -> None:
    if len(examples) >= MIN_RECORDINGS:
        return
    why = Counter(left_out.values()).most_common(3)
    reasons = "; ".join(f"{count} x {reason}" for reason, count in why)
    have = "one recording" if examples else "no recording"
    raise UserError(
        f"There is {have} with text to learn from, and at least {MIN_RECORDINGS} are needed "
        f"(an hour or more reads well). "
        + (f"Left out: {reasons}." if reasons else "Record verses that have text, then try again.")
    )
