"""The sizes of a VITS network: the published ones, a tiny twin, and what a stranger's file may ask for."""

import json
import math
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig, VitsConfig, VitsModel

from codex_worker.errors import DataError, clause
from codex_worker.stabletts.configuration import MelSettings

MAX_JSON_BYTES = 1_000_000
_MAX_PARAMETERS = 200_000_000  # the published networks have 36 million
_MOST_LAYERS = 64
_LARGEST_NUMBER = 100_000
_MOST_NUMBERS = 16  # of a list: one for each step of upsampling
_LEAST_RATE, _HIGHEST_RATE = 8_000, 48_000
_MEL_BANDS = 80  # what the published networks are compared by (Kim et al. 2021, section 3)

_TINY: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "ffn_dim": 64,
    "flow_size": 32,
    "upsample_initial_channel": 32,
    "upsample_rates": [8, 8, 4],
    "upsample_kernel_sizes": [16, 16, 8],
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
    "duration_predictor_num_flows": 2,
    "prior_encoder_num_flows": 2,
    "prior_encoder_num_wavenet_layers": 2,
    "posterior_encoder_num_wavenet_layers": 2,
    "layerdrop": 0.0,
}


def new_config(symbols: int, *, tiny: bool = False) -> VitsConfig:
    """The configuration of a network for an alphabet of so many symbols."""
    return VitsConfig(vocab_size=symbols, **(_TINY if tiny else {}))


def read_config(path: Path) -> VitsConfig:
    """The configuration in a `config.json`. Raises DataError for what is none of a VITS voice."""
    fields = read_json(path)
    if not isinstance(fields, dict) or fields.get("model_type") != "vits":
        raise DataError(f"{path.parent.name}/{path.name} is not the configuration of a VITS voice.")
    return config_from(fields)


def read_json(path: Path) -> Any:
    """What a small JSON file of a folder of weights holds. Raises DataError."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise DataError(f"{path.parent.name}/{path.name} is larger than any real one.")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path.parent.name} has no readable {path.name} ({clause(error)}); it is no MMS voice."
        ) from error


def config_from(fields: object) -> VitsConfig:
    """A configuration from JSON fields, every number checked before a network is built with it.

    Raises DataError for numbers that no real network has, and for voices of several speakers.
    """
    if not isinstance(fields, dict):
        raise DataError("The voice's configuration is not a table of settings.")
    own = {each.name for each in fields_of(VitsConfig)} - {each.name for each in fields_of(PretrainedConfig)}
    safe = {name: value for name, value in fields.items() if name in own}
    for name, value in safe.items():
        _check_setting(name, value)
    if safe.get("num_speakers", 1) != 1 or safe.get("speaker_embedding_size", 0) != 0:
        raise DataError(
            "The voice has several speakers, which this worker does not use; choose one of a single."
        )
    try:
        config = VitsConfig(**safe)
        parameters = outline(config).num_parameters()
        is_odd = (
            not 1 <= math.prod(config.upsample_rates) <= 2 * (config.spectrogram_bins - 1)
            or not _LEAST_RATE <= config.sampling_rate <= _HIGHEST_RATE
        )
    except Exception as error:  # whatever made-up numbers make transformers raise, the file is to blame
        raise DataError(f"The voice's configuration cannot be built ({clause(error)[:300]}).") from error
    if parameters > _MAX_PARAMETERS or is_odd:
        raise DataError(
            f"The voice's configuration asks for {parameters:,} parameters, frames of "
            f"{math.prod(config.upsample_rates):,} samples and {config.sampling_rate} samples a second; no "
            "real one does."
        )
    return config


def outline(config: VitsConfig) -> VitsModel:
    """The network's shapes without memory for its numbers."""
    with torch.device("meta"):
        return VitsModel(config)


def own_fields(config: VitsConfig) -> dict[str, Any]:
    """The settings that `config_from` reads, for a checkpoint."""
    inherited = {each.name for each in fields_of(PretrainedConfig)}
    return {
        each.name: getattr(config, each.name) for each in fields_of(VitsConfig) if each.name not in inherited
    }


def frame_samples(config: VitsConfig) -> int:
    """Samples that the network makes of one frame."""
    return math.prod(config.upsample_rates)


def mel_settings(config: VitsConfig) -> MelSettings:
    """The mel spectrogram that a voice's sound is compared by; its window is that of the linear one."""
    return MelSettings(
        sample_rate=config.sampling_rate,
        n_fft=2 * (config.spectrogram_bins - 1),
        hop_length=frame_samples(config),
        n_mels=_MEL_BANDS,
    )


def _check_setting(name: str, value: object) -> None:
    numbers = _flat(value)
    limit = _MOST_LAYERS if "num_" in name else _LARGEST_NUMBER
    if len(numbers) > _MOST_NUMBERS:
        raise DataError(f"The voice's configuration has {len(numbers)} numbers for {name}; no real one has.")
    for number in numbers:
        if isinstance(number, int | float) and not 0 <= number <= limit:
            raise DataError(
                f"The voice's configuration has {name} = {str(number)[:40]}; it must be from 0 to {limit:g}."
            )


def _flat(value: object) -> list[object]:
    """The numbers of a list, and of lists within it."""
    if not isinstance(value, list | tuple):
        return [value]
    return [number for each in value[: _MOST_NUMBERS + 1] for number in _flat_once(each)]


def _flat_once(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]
