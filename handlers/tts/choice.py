"""By what a voice's checkpoint was chosen, as a sentence for people."""

from codex_worker.training.task import TrainingOutcome


def chosen_by(outcome: TrainingOutcome, *, listens: bool) -> str:
    """Why this checkpoint and no other; `listens` says whether a transcriber heard the voice in training."""
    if outcome.best_epoch is not None:
        heard = outcome.best_metrics.get("val_cer")
        error = "" if heard is None else f": it misread about {min(1.0, heard) * 100:.0f} of 100 letters"
        return (
            f"The checkpoint is that of epoch {outcome.best_epoch}, which the transcriber that "
            f"model.transcriber names understands best{error}."
        )
    why = (
        "no verse was held out for the transcriber to judge by (val_split)"
        if listens
        else "without a transcriber (model.transcriber) nothing in a training tells which one sounds best"
    )
    return (
        f"The checkpoint is the last one, after epoch {outcome.epochs_completed}, with averaged weights: "
        f"{why}. Listen to the samples in the job's folder before you use it."
    )
