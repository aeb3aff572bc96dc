"""A voice for other programs: the plain `.pt` of StableTTS, and a JSON with what that leaves unsaid."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from codex_worker.errors import DataError
from codex_worker.stabletts.checkpoint import read_checkpoint
from codex_worker.stabletts.symbols import official_symbols


def export_stabletts(checkpoint: Path, folder: Path) -> list[Path]:
    """Writes `<name>.pt` and `<name>.json`; answers their paths. Raises DataError for what is no voice.

    StableTTS itself loads the `.pt` where the voice has the official alphabet; with letters of its own, the
    list of symbols in the JSON has to take the place of the program's.
    """
    loaded = read_checkpoint(checkpoint)
    if loaded.voice is None:
        raise DataError(f"{checkpoint.name} is a StableTTS state dict already; there is nothing to export.")
    voice = loaded.voice
    folder.mkdir(parents=True, exist_ok=True)
    weights, description = folder / f"{checkpoint.stem}.pt", folder / f"{checkpoint.stem}.json"
    torch.save({name: tensor.clone() for name, tensor in loaded.weights.items()}, weights)
    content = {
        "model": asdict(voice.settings),
        "mel": asdict(voice.mel),
        "symbols": list(voice.frontend.symbols),
        "symbols_are_official": tuple(voice.frontend.symbols) == tuple(official_symbols()),
        "frontend": {
            "name": voice.frontend.name,
            "version": voice.frontend.version,
            "state": voice.frontend.state(),
        },
        "vocoder": voice.vocoder,
        "language": voice.language,
        "base": voice.base,
        "training_commit": voice.training_commit,
        "metrics": dict(voice.metrics),
    }
    description.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return [weights, description]
