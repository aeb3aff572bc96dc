"""Which parameters of a transcriber train, when, and how fast."""

from enum import StrEnum, auto
from typing import Any, Protocol

from transformers import PreTrainedModel

from codex_worker.errors import UserError

Groups = list[dict[str, Any]]  # as torch's optimisers take them, with the `part` of each where that is known


class Layers(StrEnum):
    """What a group of parameters is: the recipe has a rate for each."""

    NEW = auto()  # the head, and adapters
    BODY = auto()  # pre-trained


class Trainable(Protocol):
    """A way of fine-tuning: asked once for the optimiser's groups, and again before each epoch."""

    def groups(self, model: PreTrainedModel, learning_rate: float, layer_decay: float) -> Groups:
        """The parameters that ever train, with their rates and, where known, their `part` (a `Layers`)."""

    def begin_epoch(self, model: PreTrainedModel, *, is_first_stage: bool) -> None:
        """Sets `requires_grad`; in the first stage only what is new trains."""


class WholeNetwork:
    """All parameters train: the new head and the adapter before it first, then the pre-trained body too.

    Each layer learns at `layer_decay` of the rate of the one above it (Howard and Ruder 2018, section 3.2).
    The convolutions in front of a Wav2Vec2 stay as they are (fairseq's `feature_grad_mult: 0`).
    """

    def groups(self, model: PreTrainedModel, learning_rate: float, layer_decay: float) -> Groups:
        """One group for each rate and part, with and without weight decay."""
        depth = len(model.base_model.encoder.layers)
        groups: dict[tuple[float, Layers, bool], dict[str, Any]] = {}
        for name, parameter in model.named_parameters():
            if is_front(name):
                continue
            rate = learning_rate * layer_decay ** height_from_top(name, depth)
            _add(groups, (rate, Layers.BODY if is_body(name) else Layers.NEW, parameter.ndim > 1), parameter)
        return list(groups.values())

    def begin_epoch(self, model: PreTrainedModel, *, is_first_stage: bool) -> None:
        """Freezes the body in the first stage."""
        for name, parameter in model.named_parameters():
            parameter.requires_grad = not (is_front(name) or (is_first_stage and is_body(name)))


class AdapterAndHead:
    """Adapters (MMS's in each layer, Wav2Vec2-BERT's on top) and the head train; the body never does."""

    def groups(self, model: PreTrainedModel, learning_rate: float, layer_decay: float) -> Groups:
        """All at one rate. Raises UserError where the network has no adapter."""
        groups: dict[tuple[float, Layers, bool], dict[str, Any]] = {}
        learning = {name: parameter for name, parameter in model.named_parameters() if not is_body(name)}
        if all(name.startswith(_HEAD) for name in learning):
            raise UserError(
                "training.trainable is `adapter`, but this network has no adapters. Leave the key out, or "
                "choose another model.base_model, such as facebook/w2v-bert-2.0."
            )
        for parameter in learning.values():
            _add(groups, (learning_rate, Layers.NEW, parameter.ndim > 1), parameter)
        return list(groups.values())

    def begin_epoch(self, model: PreTrainedModel, *, is_first_stage: bool) -> None:
        """The same in all epochs."""
        for name, parameter in model.named_parameters():
            parameter.requires_grad = not is_body(name)


_HEAD = "lm_head."
_ADAPTERS = (".adapter.", ".adapter_layer.")


def is_body(name: str) -> bool:
    """Whether a parameter belongs to the pre-trained body: not to the head, nor to an adapter."""
    return not name.startswith(_HEAD) and not any(part in name for part in _ADAPTERS)


def is_front(name: str) -> bool:
    """Whether a parameter is of a Wav2Vec2's convolutions, which make frames of a waveform."""
    return ".feature_extractor." in name


def height_from_top(name: str, depth: int) -> int:
    """0 for head and adapters, 1 for the last encoder layer, depth + 1 for what lies below the encoder."""
    if not is_body(name):
        return 0
    _, found, rest = name.partition(".encoder.layers.")
    return depth - int(rest.split(".")[0]) if found else depth + 1


def _add(groups: dict[tuple[float, Layers, bool], dict[str, Any]], place: Any, parameter: Any) -> None:
    rate, part, decays = place
    group = groups.setdefault(place, {"params": [], "lr": rate, "part": part})
    if not decays:
        group["weight_decay"] = 0.0
    group["params"].append(parameter)
