"""Whether what a machine made has helped a transcriber; where it has not, the old one comes back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.corpus import Example, Sounds
from codex_worker.asr.evaluate import error_rates, read_examples
from codex_worker.asr.plan import TrainedModel
from codex_worker.training.task import TrainingOutcome

BATCH_SECONDS = 60.0


@dataclass(frozen=True)
class TeachingVerdict:
    """Character error rates of the same people's held-out recordings, letter by letter without a corrector.

    `before`: by the checkpoint that training started from; `after`: by what it became.
    """

    before: float
    after: float
    recordings: int

    @property
    def helped(self) -> bool:
        """Whether fewer letters are wrong."""
        return self.after < self.before

    @property
    def rates(self) -> str:
        """Both rates, for people."""
        held_out = (
            "1 held-out recording" if self.recordings == 1 else f"{self.recordings} held-out recordings"
        )
        before, after = 100 * self.before, 100 * self.after
        return f"{before:.1f} of 100 letters wrong before, {after:.1f} after, in {held_out}"

    @property
    def sentence(self) -> str:
        """What became of it, in full."""
        if self.helped:
            return f"Learning from what a machine made helped: {self.rates}."
        return (
            f"Learning from what a machine made did not help and is undone: {self.rates}. "
            "The model is the checkpoint that training started from."
        )


def held_out_cer(
    checkpoint: TranscriberCheckpoint, sounds: Sounds, examples: Sequence[Example], *, device: str = "cpu"
) -> float:
    """The character error rate of examples, read by the network alone, which is left on `device`."""
    model = checkpoint.model.to(device).eval()
    _, predictions = read_examples(model, checkpoint.vocabulary, sounds, examples, BATCH_SECONDS)
    return error_rates(predictions, has_words=False)["cer"]


def undone(
    base: TranscriberCheckpoint,
    path: Path,
    *,
    cer: float,
    recordings: int,
    why: str,
    outcome: TrainingOutcome,
) -> TrainedModel:
    """The checkpoint that training started from, written to `path` with a note, as what the run made.

    Args:
        cer: its error rate on people's held-out `recordings`.
        why: a sentence.
        outcome: of the training that is undone.
    """
    save_checkpoint(path, replace(base, metadata={**base.metadata, "undone": why}))
    return TrainedModel(path, outcome, {"val_cer": cer}, (why,), recordings)
