"""The parameters of a network as the optimiser takes them."""

from typing import Any

from torch import nn


def groups_by_decay(model: nn.Module) -> list[dict[str, Any]]:
    """All parameters in two groups: biases and single vectors are not decayed."""
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    return [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
