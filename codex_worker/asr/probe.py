"""A probe: short trainings on part of a project's recordings, with the code of a job, before one is paid for.

First a race: each base model trains for the same time on the same recordings, and reads the same held-out
ones.
Then the winner trains on parts of them, which tells what more recordings would give.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from codex_worker import cores
from codex_worker.asr.corpus import Corpus, Example, Sounds, Split, TranscribedClip, prepare, split
from codex_worker.asr.evaluate import read_examples
from codex_worker.asr.features import FeatureCache
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import output_frames
from codex_worker.asr.plan import TrainedModel, TrainingPlan
from codex_worker.asr.recipe import Preset, TranscriberRecipe, choose_recipe
from codex_worker.asr.start import TrainingStart
from codex_worker.asr.train import train
from codex_worker.asr.updates import updates_an_epoch
from codex_worker.clock import Clock
from codex_worker.contract.options import VAL_SPLIT
from codex_worker.errors import ModelError, ResourceError, UserError
from codex_worker.forecast.probed import Measured, ProbeReading, ProbeReport, ProbeRun, measured
from codex_worker.text.error_rate import edit_distance
from codex_worker.text.normalise import TextRecipe
from codex_worker.training.machine import Machine, this_machine

MIN_TO_PROBE = 20  # recordings: of fewer none can be spared to measure on
PARTS = (0.25, 0.5)  # of the recordings, for the winner
RACE_SHARE = 0.6  # of the time; what is left is for the winner's parts
MIN_IN_PART = 10  # recordings
MOST_HOURS = 1.0  # more would take the minutes of a probe to be read once
CACHE_BYTES = 20_000_000_000


@dataclass(frozen=True)
class ProbeSubject:
    """A base model in the race."""

    name: str
    start: TrainingStart
    preset: Preset


@dataclass(frozen=True)
class ProbeSettings:
    """How long to train in all, where, and who is told of it."""

    seconds: float
    folder: Path
    clock: Clock
    say: Callable[[str], None]
    machine: Machine = field(default_factory=this_machine)
    workers: int = field(default_factory=cores.count)


def probe(
    clips: Sequence[TranscribedClip],
    subjects: Sequence[ProbeSubject],
    settings: ProbeSettings,
    *,
    text_recipe: TextRecipe,
    hours: float,
) -> ProbeReport:
    """Runs the race and the winner's parts.

    Args:
        clips: usable recordings with text.
        text_recipe: how texts are learnt.
        hours: of all of these recordings; what a whole training is planned for.

    Raises:
        UserError: too few recordings to hold any back.
    """
    if len(clips) < MIN_TO_PROBE:
        raise UserError(
            f"A probe needs at least {MIN_TO_PROBE} usable recordings, some of them to measure on; there "
            f"{'is' if len(clips) == 1 else 'are'} {len(clips)}. Ask for --forecast without --probe, or "
            "record more verses."
        )
    chosen = _some(clips, hours)
    whole = (hours, len(clips))
    entries = [_Entry.prepared(subject, chosen, text_recipe, settings, whole) for subject in subjects]
    data = _common_split(entries)
    parts = [share for share in PARTS if share * len(data.train) >= MIN_IN_PART]
    race_s = settings.seconds * (RACE_SHARE if parts else 1.0) / len(entries)
    race = tuple(entry.run(entry.own(data), race_s, settings) for entry in entries)
    report = ProbeReport(_described(settings.machine), len(data.validation), race)
    if not report.winner.reads:
        return report
    winner = entries[race.index(report.winner)]
    part_s = settings.seconds * (1 - RACE_SHARE) / max(1, len(parts))
    runs = [winner.run(_part(winner.own(data), share), part_s, settings) for share in parts]
    return replace(report, parts=tuple(runs))


@dataclass(frozen=True)
class _Entry:
    """A base model with the recordings as it reads them."""

    subject: ProbeSubject
    sounds: Sounds
    corpus: Corpus
    text_recipe: TextRecipe
    whole: tuple[float, int]  # hours and recordings of the project

    @classmethod
    def prepared(
        cls,
        subject: ProbeSubject,
        clips: Sequence[TranscribedClip],
        text_recipe: TextRecipe,
        settings: ProbeSettings,
        whole: tuple[float, int],
    ) -> "_Entry":
        """Reads all recordings at every speed: the time of a run is for learning."""
        start = subject.start
        settings.say(f"Preparing {len(clips)} recordings for {subject.name}")
        sizing = start.network(start.vocabulary([text_recipe.apply(clip.text) for clip in clips]))
        recipe = _recipe(subject, whole, settings.machine)
        cache = FeatureCache(settings.folder / "features", CACHE_BYTES)
        sounds = Sounds(start.frontend, cache, recipe.augmentation.speeds)
        corpus = prepare(
            clips,
            normalise=text_recipe.apply,
            written=text_recipe.written,
            sounds=sounds,
            frames=lambda rows: output_frames(sizing, rows),
            max_duration_s=recipe.max_duration_s,
            workers=settings.workers,
        )
        return cls(subject, sounds, corpus, text_recipe, whole)

    def own(self, data: Split) -> Split:
        """The same recordings with the texts as this base model learns them."""
        examples = {example.utterance.key: example for example in self.corpus.examples}

        def mine(part: Sequence[Example]) -> tuple[Example, ...]:
            return tuple(examples[example.utterance.key] for example in part)

        return replace(data, train=mine(data.train), validation=mine(data.validation))

    def run(self, data: Split, seconds: float, settings: ProbeSettings) -> ProbeRun:
        """One training as a job does it, left after so many seconds, and read out."""
        subject = self.subject
        hours = sum(example.duration_s for example in data.train) / 3600
        recipe = _recipe(subject, (hours, len(data.train)), settings.machine)
        vocabulary = subject.start.vocabulary([example.text for example in (*data.train, *data.validation)])
        plan = TrainingPlan(
            make_model=lambda: subject.start.network(vocabulary),
            vocabulary=vocabulary,
            sounds=self.sounds,
            data=data,
            recipe=recipe,
            trainable=subject.start.trainable,
            readers=settings.workers,
        )
        per_epoch = updates_an_epoch(recipe, hours, len(data.train))
        watch = _Watch(subject.name, seconds, per_epoch, settings)
        name = hashlib.sha256(f"{subject.name} {len(data.train)}".encode()).hexdigest()[:16]
        settings.say(f"Training {subject.name} on {len(data.train)} recordings for {seconds:.0f} s")
        end, trouble = None, ""
        try:
            trained = train(plan, settings.folder / name, watch, device=settings.machine.device)
            end = _read_out(trained, self.sounds, data.validation, recipe.batch_seconds, settings.machine)
        except (ModelError, ResourceError) as error:  # the others of the race go on
            trouble = f"did not get through: {error}"
        whole = _recipe(subject, self.whole, settings.machine)
        run = ProbeRun(
            subject.name,
            "tiny" if subject.preset == "tiny" else "full",
            hours,
            watch.passed_s,
            watch.updates,
            tuple(watch.readings),
            end,
            trouble,
            whole.epochs * updates_an_epoch(whole, *self.whole),
        )
        settings.say(str(run))
        return run


class _Watch:
    """The loop's `TrainingObserver` that ends a run when its time is over."""

    def __init__(self, name: str, seconds: float, per_epoch: int, settings: ProbeSettings) -> None:
        self.readings: list[ProbeReading] = []
        self.passed_s = 0.0
        self._asked = 0  # before each update, and once more when the time is over
        self._name, self._seconds, self._per_epoch = name, seconds, per_epoch
        self._clock, self._say = settings.clock, settings.say
        self._began_s: float | None = None

    @property
    def updates(self) -> int:
        """So many went through."""
        return max(0, self._asked - 1)

    def should_stop(self) -> bool:
        """Whether the time is over; it begins with the first update."""
        now = self._clock.monotonic()
        if self._began_s is None:
            self._began_s = now
        self._asked += 1
        self.passed_s = now - self._began_s
        return self.passed_s >= self._seconds

    def report(self, epochs_completed: float, message: str) -> None:
        """Progress, for whoever waits."""
        self._say(f"{self._name}, {self.passed_s:.0f} of {self._seconds:.0f} s: {message}")

    def metrics(self, row: dict[str, float]) -> None:
        """A point of the curve where this row has a reading."""
        if "val_cer" in row:
            self.readings.append(
                ProbeReading(self.passed_s, row["epoch"] * self._per_epoch, 100 * row["val_cer"])
            )

    def saved_best(self, path: Path, metrics: dict[str, float]) -> None:
        """Nothing is kept."""

    @property
    def save_every_s(self) -> float:
        """Never."""
        return math.inf

    def needs_resume(self, *, finished: bool) -> bool:
        """No run goes on."""
        return False

    def saved_resume(self, path: Path, epochs: float) -> None:
        """Not asked for."""


def _recipe(subject: ProbeSubject, data: tuple[float, int], machine: Machine) -> TranscriberRecipe:
    hours, recordings = data
    return choose_recipe(
        hours,
        recordings,
        preset=subject.preset,
        pretrained=subject.start.is_pretrained,
        reads=subject.start.reads,
        has_adapters=subject.start.has_adapters,
        parameters=subject.start.parameters,
        machine=machine,
    )


def _some(clips: Sequence[TranscribedClip], hours: float) -> list[TranscribedClip]:
    """About so many hours as a probe can hear, always the same ones."""
    wanted = max(MIN_TO_PROBE, round(len(clips) * min(1.0, MOST_HOURS / max(hours, 1e-9))))
    kept = set(sorted((clip.key for clip in clips), key=_hash)[:wanted])
    return [clip for clip in clips if clip.key in kept]


def _common_split(entries: Sequence[_Entry]) -> Split:
    """What to train on and what to hold out, of the recordings that every base model can learn from."""
    keys = [{example.utterance.key for example in entry.corpus.examples} for entry in entries]
    common = set.intersection(*keys)
    if len(common) < MIN_TO_PROBE:
        raise UserError(
            f"Only {len(common)} recordings can be learnt from by all of "
            f"{', '.join(entry.subject.name for entry in entries)}; a probe needs {MIN_TO_PROBE}."
        )
    examples = tuple(one for one in entries[0].corpus.examples if one.utterance.key in common)
    return split(Corpus(examples), val_split=VAL_SPLIT, test_split=0.0)


def _part(data: Split, share: float) -> Split:
    """So much of the training recordings; a smaller part is within a larger one."""
    wanted = round(share * len(data.train))
    kept = sorted(data.train, key=lambda example: _hash(example.utterance.key))[:wanted]
    return replace(data, train=tuple(kept))


def _read_out(
    trained: TrainedModel, sounds: Sounds, held_out: Sequence[Example], batch_s: float, machine: Machine
) -> Measured:
    """The error rate of what the run ended with, recording by recording."""
    stopped = trained.outcome.ended == "stopped"
    loaded = load_checkpoint(trained.outcome.last_path if stopped else trained.checkpoint)
    model = loaded.model.to(machine.device).eval()
    _, read = read_examples(model, loaded.vocabulary, sounds, held_out, batch_s)
    errors = [edit_distance(each.reference, each.hypothesis) for each in read]
    return measured(errors, [len(each.reference) for each in read])


def _described(machine: Machine) -> str:
    if machine.device == "cuda":
        return f"a GPU ({torch.cuda.get_device_name()})"
    count = torch.get_num_threads()
    return "one processor core" if count == 1 else f"{count} processor cores"


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
