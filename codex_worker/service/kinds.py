"""What kind of model a checkpoint is, told by its first bytes."""

from enum import StrEnum
from pathlib import Path

from safetensors import SafetensorError, safe_open

from codex_worker.errors import DataError


class ModelKind(StrEnum):
    """A kind of model that a job trains."""

    STABLETTS = "codex-worker/stabletts"
    VITS = "codex-worker/vits"
    TRANSCRIBER = "codex-worker/w2v2bert"

    @property
    def is_voice(self) -> bool:
        """Whether it speaks."""
        return self is not ModelKind.TRANSCRIBER


def kind_of(checkpoint: Path) -> ModelKind:
    """The kind of a checkpoint of this worker. Raises DataError for any other file."""
    try:
        with safe_open(checkpoint, "np") as file:
            noted = (file.metadata() or {}).get("format", "")
    except (SafetensorError, OSError) as error:
        raise DataError(f"{checkpoint} is no checkpoint of this worker: {error}") from error
    for kind in ModelKind:
        if noted == kind or noted.startswith(f"{kind}/"):
            return kind
    raise DataError(f"{checkpoint} is no checkpoint of this worker (its format is {noted or 'not given'}).")
