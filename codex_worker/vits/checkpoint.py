"""A VITS voice as one `.safetensors` file, and the folder of a published MMS voice.

Sizes and shapes are looked at before anything is allocated, and nothing but tensors and JSON is read.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import VitsConfig, VitsModel

from codex_worker.contract.licences import licence_of, published_licence
from codex_worker.errors import DataError, clause
from codex_worker.stabletts.new_letters import start_from
from codex_worker.training.stored_weights import finite, require_shapes
from codex_worker.vits.configuration import MAX_JSON_BYTES, config_from, outline, own_fields, read_config
from codex_worker.vits.text import MmsFrontend, read_mms_frontend

FORMAT = "codex-worker/vits"
FORMAT_VERSION = 1
_EMBEDDING = "text_encoder.embed_tokens.weight"
# As PyTorch named the parts of a normalised weight before it had parametrizations.
_OLDER_NAMES = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}
_OLDER_NAME = re.compile(r"(?<=\.)weight_[gv]$")


@dataclass(frozen=True)
class VitsDescription:
    """What a checkpoint says about itself.

    `base` is what its training started from, `official_revision` the revision of the published voice at the
    root of that, and `licence` theirs; empty where it was trained from nothing.
    """

    config: VitsConfig
    frontend: MmsFrontend
    language: str = ""
    base: str = "random weights"
    official_revision: str = ""
    licence: str = ""
    training_commit: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """The strings that go into the file."""
        return {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "config": json.dumps(own_fields(self.config), sort_keys=True),
            "frontend": json.dumps(self.frontend.state(), sort_keys=True),
            "language": self.language,
            "sample_rate": str(self.config.sampling_rate),
            "base": self.base,
            "official_revision": self.official_revision,
            **({"licence": self.licence} if self.licence else {}),
            "training_commit": self.training_commit,
            "metrics": json.dumps(dict(self.metrics), sort_keys=True),
        }


@dataclass(frozen=True)
class VitsCheckpoint:
    """Weights and what is known about them."""

    voice: VitsDescription
    weights: Mapping[str, Tensor]

    def network(self) -> VitsModel:
        """The network with these weights, in evaluation mode."""
        network = VitsModel(self.voice.config)
        network.load_state_dict(dict(self.weights))
        return network.eval()


def write_checkpoint(
    path: Path, network: VitsModel, voice: VitsDescription, extra: Mapping[str, str] | None = None
) -> None:
    """Write a voice; `extra` metadata goes beside its own, and replaces it under the same name."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, path, metadata={**voice.metadata(), **(extra or {})})


def read_checkpoint(path: Path) -> VitsCheckpoint:
    """Read a voice of ours. Raises DataError with what is wrong with the file."""
    with _opened(path) as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise DataError(
                f"{path.name} is not a VITS voice of this worker (it says {metadata.get('format')!r:.80}); "
                "choose the checkpoint of a TTS training job with model.type: VITS."
            )
        voice = _described(path, metadata)
        return VitsCheckpoint(voice, _weights(path, file, voice.config))


def read_mms_voice(folder: Path, revision: str) -> VitsCheckpoint:
    """The published voice in a folder, as `facebook/mms-tts-XXX` has it. Raises DataError."""
    config = read_config(folder / "config.json")
    frontend = read_mms_frontend(folder, config.vocab_size)
    base = f"facebook/{folder.name}"
    voice = VitsDescription(
        config, frontend, frontend.language, base, f"{base}@{revision}", published_licence(base)
    )
    path = folder / "model.safetensors"
    with _opened(path) as file:
        return VitsCheckpoint(voice, _weights(path, file, config))


def grow_symbols(checkpoint: VitsCheckpoint, frontend: MmsFrontend, *, seed: int = 0) -> VitsCheckpoint:
    """The same voice with more letters: each starts from those that sound like it, from noise where none do.

    The embedding [V, hidden] gets a row for each new symbol of `frontend`, whose first V are the voice's own.
    """
    old = checkpoint.voice.frontend.symbols
    known = checkpoint.weights[_EMBEDDING]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(frontend.symbols), known.shape[1], generator=generator) * known.shape[1] ** -0.5
    rows = torch.cat([known, noise[len(old) :]])
    letters = {symbol: place for place, symbol in enumerate(old) if len(symbol) == 1}
    for symbol, kin in start_from(frontend.symbols[len(old) :], letters).items():
        if kin:
            rows[frontend.symbols.index(symbol)] = known[[letters[each] for each in kin]].mean(0)
    config = config_from({**own_fields(checkpoint.voice.config), "vocab_size": len(frontend.symbols)})
    voice = replace(checkpoint.voice, config=config, frontend=frontend)
    return VitsCheckpoint(voice, {**checkpoint.weights, _EMBEDDING: rows})


class _opened:
    """An open safetensors file whose damage is told as DataError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Any:
        try:
            self.file = safe_open(self.path, "pt")
            return self.file.__enter__()
        except (SafetensorError, OSError, ValueError) as error:
            raise self._damaged(error) from error

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.file.__exit__(kind, error, trace)
        if isinstance(error, SafetensorError | OSError):
            raise self._damaged(error) from error

    def _damaged(self, error: BaseException) -> DataError:
        return DataError(f"{self.path.name} is not a checkpoint, or it is damaged: {clause(error)}.")


def _described(path: Path, metadata: Mapping[str, str]) -> VitsDescription:
    try:
        version = int(metadata["format_version"])
        if version > FORMAT_VERSION:
            raise DataError(
                f"{path.name} was made by a newer worker (format {version}), which is needed to use it."
            )
        if max(len(metadata[name]) for name in ("config", "frontend", "metrics")) > MAX_JSON_BYTES:
            raise ValueError("larger than any real one")
        config = config_from(json.loads(metadata["config"]))
        frontend = MmsFrontend.from_state(json.loads(metadata["frontend"]))
        metrics = {str(name): float(value) for name, value in json.loads(metadata["metrics"]).items()}
        if len(frontend.symbols) != config.vocab_size:
            raise ValueError("its letters are not those of its network")
    except DataError:
        raise
    except Exception as error:  # whatever made-up values lead into, the file is to blame
        raise DataError(
            f"{path.name} has damaged metadata ({clause(error)}); choose another checkpoint."
        ) from error
    texts = ("language", "base", "official_revision", "training_commit")
    return VitsDescription(
        config,
        frontend,
        licence=licence_of(metadata) or "",
        metrics=metrics,
        **{name: metadata.get(name, "") for name in texts},
    )


def _weights(path: Path, file: Any, config: VitsConfig) -> dict[str, Tensor]:
    """The tensors under today's names. All shapes are compared before the first number is read."""
    names = {_OLDER_NAME.sub(lambda found: _OLDER_NAMES[found[0]], name): name for name in file.keys()}  # noqa: SIM118
    shapes = {name: tuple(file.get_slice(stored).get_shape()) for name, stored in names.items()}
    require_shapes(path.name, shapes, outline(config))
    return {name: finite(path.name, name, file.get_tensor(stored)).float() for name, stored in names.items()}
