"""The layers of a deep network compiled while it trains on a GPU: one graph serves them all."""

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._dynamo import config as compiler_config
from torch._functorch import config as autograd_config
from torch.utils import checkpoint
from transformers import PreTrainedModel, Wav2Vec2BertForCTC

from codex_worker.errors import clause

logger = logging.getLogger(__name__)

FEWEST_LAYERS = 6  # fewer are trained before they are compiled
# Input rows of a batch are padded to a multiple of this: the attention kernels of a GPU want the rows of a
# bias aligned, and whether they are is part of what a graph was made for.
ROW_MULTIPLE = 16
# A graph serves all lengths but those below the reach of the distance bias, with and without a mask, with the
# body frozen and not, and for one recording or more: after so many a layer is no longer compiled anew.
MOST_GRAPHS = 16


def gains(model: PreTrainedModel, device: torch.device) -> bool:
    """Whether its training is quicker with compiled layers in bf16.

    Only where that was measured: a Wav2Vec2-BERT on a GPU (docs/decisions/0030).
    """
    if device.type != "cuda" or not isinstance(model, Wav2Vec2BertForCTC):
        return False
    return int(model.config.num_hidden_layers) >= FEWEST_LAYERS


@contextmanager
def compiled_layers(model: PreTrainedModel, backend: str | Callable[..., Any] = "inductor") -> Iterator[None]:
    """Let the layers of a network's body train through one compiled forward pass inside the `with` block.

    They are of one class and differ in their weights only, so whatever was compiled for one of them, for any
    number of rows and any length, serves the others. Parameters and their names stay as they are, and so does
    whoever calls the layers: LayerDrop leaves one out, gradient checkpointing runs one twice.
    """
    layers = model.base_model.encoder.layers
    plain = type(layers[0])
    step = _CompiledOrPlain(inspect.unwrap(plain.forward), backend)

    def forward(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        return step(self, *args, **kwargs)

    compiled = type(f"Compiled{plain.__name__}", (plain,), {"forward": forward})
    for layer in layers:
        layer.__class__ = compiled
    try:
        # What a gradient needs is compiled with the rest, or its failure would come where nobody catches it.
        with (
            autograd_config.patch(force_non_lazy_backward_lowering=True),
            compiler_config.patch(recompile_limit=MOST_GRAPHS),
        ):
            yield
    finally:
        for layer in layers:
            layer.__class__ = plain


class _CompiledOrPlain:
    """A forward pass, compiled where gradients are wanted; the plain one from a failure to compile on."""

    def __init__(self, plain: Callable[..., Any], backend: str | Callable[..., Any]) -> None:
        self._plain = plain
        self._compiled: Callable[..., Any] | None = torch.compile(plain, dynamic=True, backend=backend)

    def __call__(self, layer: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if self._compiled is None or not torch.is_grad_enabled():
            return self._plain(layer, *args, **kwargs)
        try:
            return self._compiled(layer, *args, **kwargs)
        except Exception as error:  # whatever a compiler, or the want of one, leads into
            # Gradient checkpointing ends a layer's second run by an exception of its own.
            if isinstance(error, torch.OutOfMemoryError) or type(error).__module__ == checkpoint.__name__:
                raise
            self._compiled = None
            reason = getattr(error, "inner_exception", error)  # torch wraps what its compilers raise
            logger.warning(
                "The network's layers cannot be compiled on this machine (%s: %s); training goes on without "
                "that, and is slower.",
                type(reason).__name__,
                clause(str(reason).strip().partition("\n")[0]),
            )
            return self._plain(layer, *args, **kwargs)
