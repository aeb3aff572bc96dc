"""Self-training and synthetic verses: made examples before a training, and the verdict behind it."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from codex_worker.asr.checkpoint import TranscriberCheckpoint
from codex_worker.asr.corpus import Corpus, Example, Sounds, Split, examples_of, needs_of, without_letters
from codex_worker.asr.held_out_rate import MOST_WRONG
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import output_frames
from codex_worker.asr.plan import TrainedModel
from codex_worker.asr.start import TrainingStart
from codex_worker.asr.taught import TeachingVerdict, held_out_cer, undone
from codex_worker.asr.teaching import with_made
from codex_worker.codex.provenance import unvalidated_by_person
from codex_worker.contract.options import TrainingOptions
from codex_worker.data.project import Project
from codex_worker.data.recordings import RecordedCell
from codex_worker.errors import DataError, ModelError, UserError, clause
from codex_worker.job.summary import Fact, What
from codex_worker.stabletts.checkpoint import VoiceCheckpoint, read_checkpoint
from codex_worker.text.normalise import TextRecipe
from codex_worker.training.machine import this_machine
from codex_worker.training.task import TrainingOutcome
from handlers.asr.w2v2bert.made_examples import Lesson, Made, read_recordings, speak_texts
from handlers.base import JobCallbacks, JobContext
from handlers.steps import require_licence, threads

logger = logging.getLogger(__name__)

READINGS, SYNTHETIC = "readings", "synthetic"
_NO_CELLS = {
    READINGS: "there is no recording without text",
    SYNTHETIC: "there is no text without a recording",
}
_COUNTED = {READINGS: "readings_used", SYNTHETIC: "synthetic_verses"}


class Teaching:
    """What `training.self_training` and `training.synthetic` ask for, from the first look to the verdict."""

    def __init__(
        self,
        job: JobContext,
        callbacks: JobCallbacks,
        voice: VoiceCheckpoint | None,
    ) -> None:
        self.job = job
        self.callbacks = callbacks
        self.voice = voice
        self.facts: list[Fact] = []
        self._rows: dict[str, Any] = {}
        self._metrics: dict[str, float] = {}
        self._judges: tuple[Example, ...] = ()
        self._before: float | None = None  # None: nothing was learnt from that a machine made

    def added_to(
        self,
        data: Split,
        corpus: Corpus,
        *,
        project: Project,
        recordings: Sequence[RecordedCell],
        start: TrainingStart,
        sounds: Sounds,
        text_recipe: TextRecipe,
        longest_s: float,
    ) -> Split:
        """The split with made examples in its training part; the same one, with a fact, where there are none.

        Args:
            recordings: what the corpus was made of.
            longest_s: seconds of a recording that is learnt from, at most.
        """
        machines = {one.key for one in recordings if unvalidated_by_person(one.chosen.cell)}
        self._judges = tuple(one for one in data.validation if one.utterance.key not in machines)
        base = start.listener()
        if base is None or not data.held_out or not self._judges:
            self._nothing("no recording of a person is held out, so nothing could tell whether it helps")
            return data
        before = held_out_cer(base, sounds, self._judges, device=this_machine().device)
        learnt = without_letters(text_recipe.apply, corpus.rare_letters)
        vocabulary = start.vocabulary([example.text for example in corpus.examples])
        lesson = Lesson(data, longest_s, vocabulary.letters, learnt)
        examples: list[Example] = []
        for name, made in self._made(project, base, before, lesson).items():
            used, unused = examples_of(
                made.clips,
                learnt=learnt,
                written=text_recipe.written,
                needs=needs_of(
                    learnt, sounds.frontend, lambda rows: output_frames(base.model, rows), longest_s
                ),
                sounds=sounds,
                workers=threads(),
                report=lambda message: self.callbacks.heartbeat(0, message, "preprocess"),
            )
            examples += used
            self._keep(name, made, used, unused)
        if not examples:
            return data
        self._before = before
        return with_made(data, examples)

    def judged(
        self, trained: TrainedModel, start: TrainingStart, sounds: Sounds, folder: Path
    ) -> TrainedModel:
        """The training as it is, or undone where people's held-out recordings are not read better by it."""
        if self._before is None:
            return trained
        checkpoint = load_checkpoint(trained.checkpoint)
        after = held_out_cer(checkpoint, sounds, self._judges, device=this_machine().device)
        verdict = TeachingVerdict(self._before, after, len(self._judges))
        logger.info(verdict.sentence)
        what = What.TEACHING_HELPED if verdict.helped else What.TEACHING_UNDONE
        self.facts.append(Fact(what=what, example=verdict.rates))
        if verdict.helped:
            trained = replace(trained, notes=(*trained.notes, verdict.sentence))
        else:
            trained = self._undone(start, folder, verdict.sentence, trained.outcome)
        rates = {"val_cer_before": verdict.before, "val_cer_after": verdict.after}
        return replace(trained, metrics={**trained.metrics, **self._metrics, **rates})

    def given_up(self, error: ModelError, start: TrainingStart, folder: Path) -> TrainedModel:
        """The base, where a training with made examples failed. Raises the error if that reads poorly."""
        if self._before is None or self._before > MOST_WRONG:
            raise error
        self.facts.append(Fact(what=What.TEACHING_UNDONE, example=str(error)))
        why = f"Learning from what a machine made failed and is undone: {error}"
        path = folder / "undone.safetensors"
        outcome = TrainingOutcome("finished", 0, None, {}, None, path, (), 0, why)
        trained = self._undone(start, folder, why, outcome)
        rates = {"val_cer_before": self._before}
        return replace(trained, metrics={**trained.metrics, **self._metrics, **rates})

    def _undone(self, start: TrainingStart, folder: Path, why: str, outcome: TrainingOutcome) -> TrainedModel:
        base, cer = start.listener(), self._before
        if base is None or cer is None:
            raise ValueError("nothing was added, so nothing can be undone")
        path = folder / "undone.safetensors"
        return undone(base, path, cer=cer, recordings=len(self._judges), why=why, outcome=outcome)

    @property
    def report(self) -> dict[str, Any]:
        """For training_data.json: what was made and learnt from, and why other cells were not used."""
        return dict(self._rows)

    def _made(
        self, project: Project, base: TranscriberCheckpoint, cer: float, lesson: Lesson
    ) -> dict[str, Made]:
        """What is made, by its name in the report; a poor reader may still learn from spoken texts."""
        made: dict[str, Made] = {}
        wrong = max(cer, base.held_out_cer or 0.0)
        if self.job.options.training.self_training and wrong > MOST_WRONG:
            self._nothing(
                f"the base checkpoint reads {100 * wrong:.0f} of 100 letters wrong, and teaches nobody above "
                f"{100 * MOST_WRONG:.0f}: train it longer or on more recordings first",
            )
        elif self.job.options.training.self_training:
            made[READINGS] = read_recordings(self.job, self.callbacks, project, base, lesson)
        if self.voice is not None:
            made[SYNTHETIC] = speak_texts(self.job, self.callbacks, project, self.voice, lesson)
        return made

    def _keep(self, name: str, made: Made, used: Sequence[Example], unused: Mapping[str, str]) -> None:
        """Keeps what people are told of one kind of examples."""
        labels = {key: row["reference"] for key, row in made.rows.items()}
        left_out = {**made.left_out, **{labels[key]: reason for key, reason in unused.items()}}
        minutes = sum(example.duration_s for example in used) / 60
        self._rows[name] = {
            "minutes": round(minutes, 2),
            "used": [made.rows[example.utterance.key] for example in used],
            "left_out": left_out,
        }
        self._metrics[_COUNTED[name]] = len(used)
        self._metrics[f"{name}_minutes"] = minutes
        if not used and left_out:
            reason, count = Counter(left_out.values()).most_common(1)[0]
            self._nothing(f"none of {len(left_out)} {name} is used; of {count}: {reason}")
        elif not used:
            self._nothing(_NO_CELLS[name])

    def _nothing(self, why: str) -> None:
        """The training goes on without; people read why."""
        logger.warning("Nothing that a machine made is learnt from: %s", why)
        self.facts.append(Fact(what=What.NOT_TAUGHT, example=why))


def teaching_of(job: JobContext, callbacks: JobCallbacks) -> Teaching | None:
    """What a job asks for beside people's recordings; None where it asks for nothing.

    Raises UserError where it names no transcriber that could teach and judge, or no voice.
    """
    options = job.options.training
    if not options.self_training and options.synthetic is None:
        return None
    if options.base_checkpoint is None:
        asked = "training.self_training" if options.self_training else "training.synthetic"
        raise UserError(
            f"{asked} needs a transcriber that reads already. Train one on people's recordings first, then "
            "name its checkpoint as model.base_checkpoint."
        )
    voice = None if options.synthetic is None else _voice(callbacks, options, options.synthetic)
    return Teaching(job, callbacks, voice)


def _voice(callbacks: JobCallbacks, options: TrainingOptions, path: str) -> VoiceCheckpoint:
    try:
        loaded = read_checkpoint(callbacks.scanner.fetch_checkpoint(path))
    except DataError as error:
        raise UserError(
            f"training.synthetic has to name a StableTTS voice of this project, and {path} is none: "
            f"{clause(error)}."
        ) from error
    require_licence(options, (loaded.voice.licence or None) if loaded.voice else None, path)
    return loaded
