"""Omnilingual ASR's CTC models (arXiv 2511.09690) as the Wav2Vec2 networks that they are.

Their encoder computes what Wav2Vec2 with layer norms before its blocks computes. `OmniASRForCTC` only gives
other names to the parts, and stores the weight of the positional convolution whole, where Wav2Vec2 stores its
length and its direction. So the weights are read under Wav2Vec2's names, and training, checkpoints and export
need not know of them. (Their front end adds 1e-5 to a waveform's variance, ours 1e-7: very quiet recordings
come out a little louder here.)
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from codex_worker.errors import DataError

MODEL_TYPE = "omniasr_ctc"

# What a published configuration leaves out, because it is so by default in transformers' OmniASRAudioConfig.
_DEFAULTS: Mapping[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": True,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "layer_norm_eps": 1e-5,
    "hidden_act": "gelu",
}
_VOCAB_SIZE = 10_288
_BLANK = 0  # `<s>`, and not the padding symbol: fairseq2's custom
_NAMES = (
    (re.compile(r"^ctc_head\."), "lm_head."),
    (
        re.compile(r"^model\.audio_tower\.subsampling\.conv_layers\."),
        "wav2vec2.feature_extractor.conv_layers.",
    ),
    (re.compile(r"^model\.audio_tower\.subsampling\."), "wav2vec2.feature_projection."),
    (re.compile(r"^model\.audio_tower\.encode_positions\."), "wav2vec2.encoder.pos_conv_embed."),
    (re.compile(r"^model\.audio_tower\."), "wav2vec2.encoder."),
)
_WHOLE = "wav2vec2.encoder.pos_conv_embed.conv.weight"
_LENGTH = "wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight.original0"
_DIRECTION = "wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight.original1"


def as_wav2vec2(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the Wav2Vec2 network that is this one. Raises DataError where they are no table."""
    audio = fields.get("audio_config")
    if audio is None:
        audio = {}
    if not isinstance(audio, dict):
        raise DataError("The model's configuration has an audio_config that is no table of settings.")
    own = {name: audio.get(name, default) for name, default in _DEFAULTS.items()}
    blank = fields.get("blank_token_id")
    return {
        **own,
        "model_type": "wav2vec2",
        "feat_extract_activation": own["hidden_act"],
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "vocab_size": fields.get("vocab_size", _VOCAB_SIZE),
        "pad_token_id": _BLANK if blank is None else blank,
    }


def read_as_wav2vec2(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a folder under the names that Wav2Vec2ForCTC has for them.

    Raises what safetensors raises for files that are none.
    """
    return dict(_renamed(folder))


def _renamed(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118
                name = _wav2vec2_name(key)
                if name == _WHOLE:
                    yield from _parted(file.get_tensor(key))
                else:
                    yield name, file.get_tensor(key)


def _wav2vec2_name(key: str) -> str:
    for pattern, name in _NAMES:
        if pattern.match(key):
            return pattern.sub(name, key)
    return key


def _parted(weight: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Length and direction over all but the last dimension (weight norm, Salimans and Kingma 2016)."""
    weight = weight.float()
    length = weight.norm(dim=(0, 1), keepdim=True)
    yield _LENGTH, length
    yield _DIRECTION, torch.where(length > 0, weight, torch.ones_like(weight))
