"""Which parameters of a transcriber train, when, and how fast."""

from typing import Any, Protocol

from transformers import PreTrainedModel

Groups = list[dict[str, Any]]  # as torch's optimisers take them


class Trainable(Protocol):
    """A way of fine-tuning: asked once for the optimiser's groups, and again before each epoch."""

    def groups(self, model: PreTrainedModel, learning_rate: float, layer_decay: float) -> Groups:
        """The parameters that ever train, with their learning rates."""

    def begin_epoch(self, model: PreTrainedModel, *, is_first_stage: bool) -> None:
        """Sets `requires_grad`; in the first stage only what is new trains."""


class WholeNetwork:
    """All parameters train: the new head and the adapter before it first, then the pre-trained body too.

    Each layer learns at `layer_decay` of the rate of the one above it (Howard and Ruder 2018, section 3.2).
    """

    def groups(self, model: PreTrainedModel, learning_rate: float, layer_decay: float) -> Groups:
        """One group for each rate, with and without weight decay."""
        depth = len(model.base_model.encoder.layers)
        groups: dict[tuple[float, bool], dict[str, Any]] = {}
        for name, parameter in model.named_parameters():
            rate = learning_rate * layer_decay ** height_from_top(name, depth)
            decays = parameter.ndim > 1
            group = groups.setdefault((rate, decays), {"params": [], "lr": rate})
            if not decays:
                group["weight_decay"] = 0.0
            group["params"].append(parameter)
        return list(groups.values())

    def begin_epoch(self, model: PreTrainedModel, *, is_first_stage: bool) -> None:
        """Freezes the body in the first stage."""
        for name, parameter in model.named_parameters():
            parameter.requires_grad = not (is_first_stage and is_body(name))


def is_body(name: str) -> bool:
    """Whether a parameter belongs to the pre-trained body: not to the head, nor to the adapter before it."""
    return not name.startswith("lm_head.") and ".adapter." not in name


def height_from_top(name: str, depth: int) -> int:
    """0 for head and adapter, 1 for the last encoder layer, depth + 1 for what lies below the encoder."""
    if not is_body(name):
        return 0
    _, found, rest = name.partition(".encoder.layers.")
    return depth - int(rest.split(".")[0]) if found else depth + 1
