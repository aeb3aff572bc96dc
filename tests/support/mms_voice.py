"""A folder as the hub has one of an MMS voice, of a network that is small enough for a test."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import VitsModel

from codex_worker.vits.configuration import new_config

SYMBOLS = [*"kanio 'bsdtelwmuhgyr-_zpjfv"]


def mms_folder(
    folder: Path, *, symbols: list[str] | None = None, older: bool = False, **settings: Any
) -> Path:
    """Writes one; `older` names the parts of normalised weights as the published files do."""
    symbols = symbols or SYMBOLS
    torch.manual_seed(0)
    model = VitsModel(new_config(len(symbols), tiny=True))
    model.save_pretrained(folder)
    vocabulary = {symbol: number for number, symbol in enumerate(symbols)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    said = {"language": "swh", "add_blank": True, "normalize": True, "phonemize": False, "is_uroman": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(said | settings), encoding="utf-8")
    if older:
        path = folder / "model.safetensors"
        names = {
            "parametrizations.weight.original0": "weight_g",
            "parametrizations.weight.original1": "weight_v",
        }
        tensors = {}
        for name, value in load_file(path).items():
            for new, old in names.items():
                name = name.replace(new, old)
            tensors[name] = value
        save_file(tensors, path)
    return folder
