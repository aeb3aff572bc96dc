"""A transcriber as one safetensors file: tensors, and in its metadata all that is needed to use it."""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import PreTrainedModel

from codex_worker.asr.corrector import Corrector
from codex_worker.asr.features import FeatureExtractor
from codex_worker.asr.networks.build import build_model, config_from, frontend_of
from codex_worker.asr.vocabulary import Vocabulary
from codex_worker.errors import DataError, ResourceError

logger = logging.getLogger(__name__)

FORMAT = "codex-worker/w2v2bert/1"
# Networks of this many parameters are stored in bfloat16: half the upload, and they compute in it anyway.
HALF_FROM_PARAMETERS = 50_000_000
_CORRECTOR = "corrector.json"


@dataclass(frozen=True)
class TranscriberCheckpoint:
    """A transcriber ready for use, and what is known about it."""

    model: PreTrainedModel
    vocabulary: Vocabulary
    frontend: FeatureExtractor
    corrector: Corrector | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)  # text recipe, language, commit, metrics, ...
    notes: tuple[str, ...] = ()  # what a person should know about reading it

    @property
    def held_out_cer(self) -> float | None:
        """Its character error rate on recordings that it was not trained on; None where it does not say."""
        try:
            rate = float(json.loads(self.metadata["metrics"])["val_cer"])
        except (KeyError, TypeError, ValueError):
            return None
        return rate if math.isfinite(rate) else None


def save_checkpoint(path: Path, checkpoint: TranscriberCheckpoint) -> None:
    """Write one `.safetensors` file. Raises ResourceError when the disk is full."""
    model = checkpoint.model
    half = sum(parameter.numel() for parameter in model.parameters()) >= HALF_FROM_PARAMETERS
    tensors = {
        name: (tensor.to(torch.bfloat16) if half and tensor.is_floating_point() else tensor)
        .detach()
        .cpu()
        .clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    if checkpoint.corrector is not None:
        tensors[_CORRECTOR] = torch.frombuffer(
            bytearray(checkpoint.corrector.to_json().encode()), dtype=torch.uint8
        )
    frontend = {
        "kind": checkpoint.frontend.kind,
        "sample_rate": checkpoint.frontend.sample_rate,
        "version": checkpoint.frontend.version,
    }
    metadata = {
        **checkpoint.metadata,
        "format": FORMAT,
        "config": json.dumps(model.config.to_dict()),
        "vocabulary": checkpoint.vocabulary.to_json(),
        "frontend": json.dumps(frontend),
    }
    try:
        save_file(tensors, path, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise ResourceError(
            f"The checkpoint cannot be written to {path} ({error}); free some space."
        ) from error


def read_safetensors(path: Path) -> TranscriberCheckpoint:
    """Read a file of ours. Raises DataError for what is damaged or no transcriber."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            if metadata.get("format") != FORMAT:
                raise DataError(
                    f"{path.name} is no transcriber (its format is {metadata.get('format', 'not given')!r}). "
                    "Choose a checkpoint that an ASR training job made."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(
            f"The checkpoint {path.name} is damaged ({error}); choose another one or train again."
        ) from error
    corrector_bytes = tensors.pop(_CORRECTOR, None)
    corrector = None
    if corrector_bytes is not None:
        corrector = Corrector.from_json(
            bytes(corrector_bytes.to(torch.uint8).tolist()).decode("utf-8", "replace")
        )
    vocabulary = Vocabulary.from_json(metadata.get("vocabulary", ""))
    config = config_from(_json(metadata, "config", path))
    if config.vocab_size != len(vocabulary):
        raise DataError(f"The checkpoint {path.name} contradicts itself about its letters; train again.")
    model = build_model(config)
    load_weights(model, tensors, path.name)
    model.eval()
    return TranscriberCheckpoint(model, vocabulary, frontend_of(config), corrector, metadata)


def load_weights(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor], name: str) -> None:
    """Put tensors into a network, each where it belongs and none missing. Raises DataError otherwise."""
    state = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise DataError(f"The weights in {name} do not fit their own configuration: {reason}") from error


def _json(metadata: Mapping[str, str], key: str, path: Path) -> object:
    try:
        return json.loads(metadata[key])
    except (KeyError, ValueError) as error:
        raise DataError(f"The checkpoint {path.name} has no readable {key}; choose another one.") from error
