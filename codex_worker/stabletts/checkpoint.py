"""A voice as one file: the network's tensors, and as metadata all that is needed to speak with them.

Written as `.safetensors`. Older jobs' and the official `.pt` state dicts are read as well, without running
any code that they may carry. Sizes are looked at before anything is allocated.
"""

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from codex_worker.contract.licences import licence_of
from codex_worker.errors import DataError, clause
from codex_worker.stabletts.configuration import FULL, TINY, MelSettings, ModelSettings, VocosSettings
from codex_worker.stabletts.frontend.choose import restore_frontend
from codex_worker.stabletts.frontend.encoding import TextFrontend
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.new_letters import start_from
from codex_worker.stabletts.symbols import official_symbols
from codex_worker.stabletts.vocos import Vocos
from codex_worker.training.stored_weights import finite

FORMAT = "codex-worker/stabletts"
FORMAT_VERSION = 1
MAX_FILE_BYTES = 2 * 1024**3
_MAX_NUMBER = 100_000  # of any setting: rates, widths, symbols
_MAX_LAYERS = 64
_EMBEDDING = "encoder.emb.weight"

Vocoder = Literal["vocos", "griffin_lim"]
_Settings = TypeVar("_Settings", ModelSettings, MelSettings)


@dataclass(frozen=True)
class VoiceDescription:
    """What a checkpoint says about itself.

    `base` is what its training started from; `official_revision` the revision of the official weights at the
    root of that, however many trainings ago, and `licence` theirs. `training_commit` is the project's commit
    that it learnt from.
    """

    settings: ModelSettings
    frontend: TextFrontend
    mel: MelSettings = field(default_factory=MelSettings)
    vocoder: Vocoder = "vocos"
    language: str = ""
    base: str = "random weights"
    official_revision: str = ""
    training_commit: str = ""
    licence: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    speaker: tuple[float, ...] = ()  # [G]: the voice of one of its recordings, as the network hears it

    def metadata(self) -> dict[str, str]:
        """The strings that go into the file."""
        return {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "config": json.dumps({"model": asdict(self.settings), "mel": asdict(self.mel)}, sort_keys=True),
            "frontend": self.frontend.name,
            "frontend_version": str(self.frontend.version),
            "frontend_state": json.dumps(self.frontend.state(), sort_keys=True),
            "symbols": json.dumps(self.frontend.symbols),
            "language": self.language,
            "sample_rate": str(self.mel.sample_rate),
            "vocoder": self.vocoder,
            "base": self.base,
            "official_revision": self.official_revision,
            "training_commit": self.training_commit,
            "metrics": json.dumps(dict(self.metrics), sort_keys=True),
            **({"licence": self.licence} if self.licence else {}),
            **({"speaker": json.dumps(self.speaker)} if self.speaker else {}),
        }


@dataclass(frozen=True)
class VoiceCheckpoint:
    """Weights and what is known about them; `voice` is None for a `.pt`, which says nothing about itself."""

    path: Path
    settings: ModelSettings
    weights: Mapping[str, Tensor]
    voice: VoiceDescription | None

    def network(self) -> StableTTS:
        """The network with these weights, in evaluation mode."""
        network = StableTTS(self.settings)
        network.load_state_dict(dict(self.weights))
        return network.eval()


def write_checkpoint(
    path: Path, network: StableTTS, voice: VoiceDescription, extra: Mapping[str, str] | None = None
) -> None:
    """Write a voice; `extra` metadata goes beside its own, and replaces it under the same name."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, path, metadata={**voice.metadata(), **(extra or {})})


def read_checkpoint(path: Path) -> VoiceCheckpoint:
    """Read a voice, ours or an older job's. Raises DataError with what is wrong with the file."""
    _check_size(path)
    if zipfile.is_zipfile(path):
        return _read_state_dict(path)
    return _read_safetensors(path)


def read_vocos(path: Path, settings: VocosSettings | None = None) -> Vocos:
    """The official vocoder (`vocos.pt`), in evaluation mode. Raises DataError when the file is another."""
    _check_size(path)
    vocoder = Vocos(settings or VocosSettings())
    weights = _load_pickled_tensors(path)
    _check_shapes(path, weights, vocoder)
    vocoder.load_state_dict(dict(weights))
    return vocoder.eval()


def grow_alphabet(
    checkpoint: VoiceCheckpoint, old_symbols: tuple[str, ...], new_symbols: tuple[str, ...], *, seed: int = 0
) -> VoiceCheckpoint:
    """The same weights for another alphabet: known symbols keep their vectors, new ones start from kin.

    The embedding [len(old_symbols), hidden] becomes [len(new_symbols), hidden]. A new row is the mean of the
    rows of the symbols that sound like it (`new_letters`); where there are none, it is drawn as the network's
    own are, N(0, 1/hidden).
    """
    known = checkpoint.weights[_EMBEDDING]
    width = known.shape[1]
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(len(new_symbols), width, generator=generator) * width**-0.5
    places = {symbol: place for place, symbol in enumerate(old_symbols)}
    starts = start_from(new_symbols, places)
    for row, symbol in enumerate(new_symbols):
        alike = (symbol,) if symbol in places else starts[symbol]
        if alike:
            rows[row] = known[[places[each] for each in alike]].mean(0)
    weights = {**checkpoint.weights, _EMBEDDING: rows}
    settings = replace(checkpoint.settings, n_vocab=len(new_symbols))
    return replace(checkpoint, settings=settings, weights=weights)


def _read_safetensors(path: Path) -> VoiceCheckpoint:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise DataError(
                    f"{path.name} is not a StableTTS voice of this worker (it says "
                    f"{metadata.get('format')!r:.80}); choose the checkpoint of a TTS training job"
                )
            voice = _read_voice(path, metadata)
            names = list(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            _compare_shapes(path, shapes, _outline(voice.settings))
            weights = {name: file.get_tensor(name) for name in shapes}
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(
            f"{path.name} is not a checkpoint (neither safetensors nor a state dict of PyTorch): {error}"
        ) from error
    _check_finite(path, weights)
    return VoiceCheckpoint(path, voice.settings, weights, voice)


def _read_voice(path: Path, metadata: Mapping[str, str]) -> VoiceDescription:
    try:
        version = int(metadata["format_version"])
        if version > FORMAT_VERSION:
            raise DataError(
                f"{path.name} was made by a newer worker (format {version}), which is needed to use it"
            )
        config = json.loads(metadata["config"])
        settings = _settings(ModelSettings, config["model"])
        mel = _settings(MelSettings, config["mel"])
        _check_sound(mel, settings)
        _outline(settings)  # some numbers make no network, each for a reason of its own
        frontend = restore_frontend(
            metadata["frontend"], int(metadata["frontend_version"]), json.loads(metadata["frontend_state"])
        )
        metrics = {str(name): float(value) for name, value in json.loads(metadata["metrics"]).items()}
        vocoder = metadata["vocoder"]
        speaker = _speaker(metadata.get("speaker", "[]"), settings)
        if vocoder not in {"vocos", "griffin_lim"} or settings.n_vocab != len(frontend.symbols):
            raise ValueError("vocoder or alphabet")
    except DataError:
        raise
    except Exception as error:  # whatever made-up settings lead into, the file is to blame
        raise DataError(
            f"{path.name} has damaged metadata ({clause(error)}); choose another checkpoint"
        ) from error
    return VoiceDescription(
        settings=settings,
        frontend=frontend,
        mel=mel,
        vocoder="vocos" if vocoder == "vocos" else "griffin_lim",
        language=metadata.get("language", ""),
        base=metadata.get("base", ""),
        official_revision=metadata.get("official_revision", ""),
        licence=licence_of(metadata) or "",
        training_commit=metadata.get("training_commit", ""),
        metrics=metrics,
        speaker=speaker,
    )


def _speaker(text: str, settings: ModelSettings) -> tuple[float, ...]:
    """A voice as numbers, none where the file has none. Raises ValueError for what is no voice."""
    numbers = json.loads(text)
    if not isinstance(numbers, list) or len(numbers) not in {0, settings.gin_channels}:
        raise ValueError("speaker")
    if not all(type(number) in (int, float) and abs(number) < _MAX_NUMBER for number in numbers):
        raise ValueError("speaker")
    return tuple(map(float, numbers))


def _settings(kind: type[_Settings], values: dict[str, Any]) -> _Settings:
    """Settings from a file, every number checked before anything is built with it."""
    known = {each.name for each in fields(kind)}
    if set(values) - known:
        raise ValueError(f"unknown settings {sorted(set(values) - known)}")
    for each in fields(kind):
        if each.name in values and not _is_sound(each.name, each.type, values[each.name]):
            raise ValueError(f"{each.name} is {str(values[each.name])[:40]}")
    return kind(**values)


def _is_sound(name: str, wanted: Any, value: object) -> bool:
    """Whether a setting is a number of its type, from 1 (a count) or 0 up to what any network may have."""
    if value is None:
        return type(None) in get_args(wanted)
    if wanted is int:
        return type(value) is int and 1 <= value <= (_MAX_LAYERS if name.endswith("_layers") else _MAX_NUMBER)
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MAX_NUMBER


def _check_sound(mel: MelSettings, settings: ModelSettings) -> None:
    """Raises ValueError for sound that the network does not speak, or that no sample rate holds."""
    highest_hz = mel.sample_rate / 2 if mel.f_max_hz is None else mel.f_max_hz
    if mel.n_mels != settings.mel_channels:
        raise ValueError(f"{mel.n_mels} mel bands for a network of {settings.mel_channels}")
    if not mel.f_min_hz < highest_hz <= mel.sample_rate / 2 or not mel.hop_length <= mel.n_fft:
        raise ValueError("frequencies or windows that there cannot be")
    if not 0 <= settings.p_dropout < 1:
        raise ValueError(f"p_dropout is {settings.p_dropout}")


def _read_state_dict(path: Path) -> VoiceCheckpoint:
    weights = _load_pickled_tensors(path)
    embedding = weights.get(_EMBEDDING)
    rows = embedding.shape[0] if embedding is not None and embedding.dim() == 2 else None
    if rows is not None and rows > len(official_symbols()):
        raise DataError(
            f"{path.name} has {rows} symbols, but the file does not say which: it was exported from a "
            "voice with letters of its own. Use that voice's .safetensors file."
        )
    width = embedding.shape[-1] if embedding is not None else 0
    settings = TINY if width == TINY.hidden_channels else FULL
    _check_shapes(path, weights, _outline(settings))
    return VoiceCheckpoint(path, settings, weights, None)


def _load_pickled_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict; code inside is not run, but refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path.name} is not a checkpoint, or it is truncated: {error}") from error
    if unpacked > path.stat().st_size:
        raise DataError(
            f"{path.name} is packed ({unpacked:,} bytes of {path.stat().st_size:,}), as PyTorch writes none; "
            "choose a checkpoint that a training job made"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path.name} holds more than tensors (it would run code when loaded), so it was not opened. "
            "Choose a checkpoint that a training job made."
        ) from error
    except Exception as error:  # damaged bytes lead torch's reader into any error
        raise DataError(f"{path.name} is damaged or not a checkpoint: {clause(error)}") from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise DataError(f"{path.name} is not a state dict: it holds something else than named tensors")
    return content


def _outline(settings: ModelSettings) -> StableTTS:
    """The network's shapes without memory for its numbers, which a stranger's settings may make huge."""
    with torch.device("meta"):
        return StableTTS(settings)


def _check_shapes(path: Path, weights: Mapping[str, Tensor], network: nn.Module) -> None:
    _compare_shapes(path, {name: tuple(value.shape) for name, value in weights.items()}, network)
    _check_finite(path, weights)


def _compare_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]], network: nn.Module) -> None:
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    missing = sorted(wanted.keys() - shapes.keys())
    extra = sorted(shapes.keys() - wanted.keys())
    other = [
        f"{name} is {shapes[name]}, not {wanted[name]}"
        for name in sorted(wanted.keys() & shapes.keys())
        if shapes[name] != wanted[name]
    ]
    if missing or extra or other:
        details = [f"{len(missing)} tensors are missing ({', '.join(missing[:3])}, ...)"] if missing else []
        details += [f"{len(extra)} are unknown ({', '.join(extra[:3])}, ...)"] if extra else []
        details += [f"{len(other)} have another shape ({other[0]}, ...)"] if other else []
        raise DataError(
            f"{path.name} is a checkpoint of another architecture than {type(network).__name__}: "
            f"{'; '.join(details)}. Choose one that a StableTTS job made."
        )


def _check_finite(path: Path, weights: Mapping[str, Tensor]) -> None:
    for name, value in weights.items():
        finite(path.name, name, value)


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{path.name} is empty")
    if size > MAX_FILE_BYTES:
        raise DataError(f"{path.name} has {size / 1e9:.1f} GB; a StableTTS checkpoint has 0.13 GB")
