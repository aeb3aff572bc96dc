"""A transcriber as one safetensors file: tensors, and in its metadata all that is needed to use it."""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import PretrainedConfig, PreTrainedModel

from codex_worker.asr.corrector import MAX_JSON_BYTES, Corrector
from codex_worker.asr.decoding.language import MAX_LANGUAGE_BYTES, ProjectLanguage
from codex_worker.asr.features import FeatureExtractor
from codex_worker.asr.held_out_rate import HeldOutRate
from codex_worker.asr.networks.build import build_model, config_from, frontend_of, outline
from codex_worker.asr.vocabulary import Vocabulary
from codex_worker.errors import DataError, ResourceError, clause
from codex_worker.text.normalise import TextRecipe
from codex_worker.training.stored_weights import finite, require_shapes

logger = logging.getLogger(__name__)

FORMAT = "codex-worker/w2v2bert/1"
# Networks of this many parameters are stored in bfloat16: half the upload, and they compute in it anyway.
HALF_FROM_PARAMETERS = 50_000_000
# What travels beside the weights as JSON in tensors of bytes, each with the most bytes that a real one has.
_CORRECTOR, _LANGUAGE = "corrector.json", "language.json"
_TEXTS = {_CORRECTOR: MAX_JSON_BYTES, _LANGUAGE: MAX_LANGUAGE_BYTES}


@dataclass(frozen=True)
class TranscriberCheckpoint:
    """A transcriber ready for use, and what is known about it."""

    model: PreTrainedModel
    vocabulary: Vocabulary
    frontend: FeatureExtractor
    corrector: Corrector | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)  # text recipe, language, commit, metrics, ...
    notes: tuple[str, ...] = ()  # what a person should know about reading it
    language: ProjectLanguage | None = None  # None where reading with it was not seen to help

    @cached_property
    def text_recipe(self) -> TextRecipe | None:
        """How the texts that it learnt from were normalised; None where an older worker made it.

        Raises:
            DataError: a newer worker made it, or nobody.
        """
        if "text_recipe" not in self.metadata:
            return None
        try:
            values = json.loads(self.metadata["text_recipe"])
        except (ValueError, RecursionError) as error:
            raise DataError("The checkpoint's text recipe cannot be read; train a new model.") from error
        return TextRecipe.from_dict(values if isinstance(values, dict) else {})

    @property
    def held_out_cer(self) -> float | None:
        """Its character error rate on recordings that it was not trained on; None where it does not say."""
        return self.held_out.cer

    @property
    def held_out(self) -> HeldOutRate:
        """The same rate, and of how many recordings."""
        return HeldOutRate.stored(self.metadata)


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
    for name, part in ((_CORRECTOR, checkpoint.corrector), (_LANGUAGE, checkpoint.language)):
        if part is not None:
            tensors[name] = torch.frombuffer(bytearray(part.to_json().encode()), dtype=torch.uint8)
    frontend = {
        "kind": checkpoint.frontend.kind,
        "sample_rate": checkpoint.frontend.sample_rate,
        "version": checkpoint.frontend.version,
        "stacked_frames": checkpoint.frontend.stacked_frames,
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
                said = metadata.get("format", "not given")
                raise DataError(
                    f"{path.name} is no transcriber (its format is {said!r:.80}). "
                    "Choose a checkpoint that an ASR training job made."
                )
            vocabulary = Vocabulary.from_json(metadata.get("vocabulary", ""))
            config = config_from(_json(metadata, "config", path))
            if config.vocab_size != len(vocabulary):
                raise DataError(
                    f"The checkpoint {path.name} contradicts itself about its letters; train again."
                )
            corrector = _text(file, _CORRECTOR)
            language = _text(file, _LANGUAGE)
            model = network_with(config, file, path.name)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(
            f"The checkpoint {path.name} is damaged ({clause(error)}); choose another one or train again."
        ) from error
    return TranscriberCheckpoint(
        model,
        vocabulary,
        frontend_of(config),
        None if corrector is None else Corrector.from_json(corrector),
        metadata,
        language=None if language is None else ProjectLanguage.from_json(language),
    )


def network_with(config: PretrainedConfig, file: Any, name: str) -> PreTrainedModel:
    """The network of a configuration with the weights of an open safetensors file, in evaluation mode.

    All shapes are compared before the first number is read. Raises DataError for weights that do not fit, or
    are no numbers.
    """
    found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys() if key not in _TEXTS}  # noqa: SIM118
    require_shapes(name, found, outline(config))
    state = {key: finite(name, key, file.get_tensor(key)) for key in found}
    try:
        model = build_model(config)
        model.load_state_dict(state, strict=True)
    except Exception as error:  # whatever a made-up configuration or an odd type of numbers leads into
        reason = clause(str(error).strip().rpartition("\n")[2])
        raise DataError(f"The weights in {name} do not fit their own configuration: {reason}.") from error
    return model.eval()


def _text(file: Any, name: str) -> str | None:
    """The JSON that a tensor holds; None where there is none."""
    if name not in file.keys():  # noqa: SIM118
        return None
    if math.prod(file.get_slice(name).get_shape()) > _TEXTS[name]:
        raise DataError(f"The checkpoint's {name} is larger than any real one; train a new model.")
    content: bytes = file.get_tensor(name).to(torch.uint8).numpy().tobytes()
    return content.decode("utf-8", "replace")


def _json(metadata: Mapping[str, str], key: str, path: Path) -> object:
    try:
        return json.loads(metadata[key])
    except (KeyError, ValueError, RecursionError) as error:
        raise DataError(f"The checkpoint {path.name} has no readable {key}; choose another one.") from error
