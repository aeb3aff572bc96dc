"""A VITS voice for other programs: a folder as the hub has one of an MMS voice."""

import json
from pathlib import Path

from safetensors.torch import save_file

from codex_worker.vits.checkpoint import read_checkpoint
from codex_worker.vits.configuration import own_fields


def export_mms(checkpoint: Path, folder: Path) -> list[Path]:
    """Writes what transformers' `VitsModel` and `VitsTokenizer` read, and answers the paths.

    `voice.json` has what these leave unsaid: what the voice comes from and under which licence. Raises
    DataError for what is no VITS voice.
    """
    loaded = read_checkpoint(checkpoint)
    voice, frontend = loaded.voice, loaded.voice.frontend
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "model.safetensors"
    save_file(dict(loaded.weights), weights, metadata={"format": "pt"})
    tables = {
        "config.json": {
            "architectures": ["VitsModel"],
            "model_type": "vits",
            **own_fields(voice.config),
        },
        "vocab.json": {symbol: number for number, symbol in enumerate(frontend.symbols) if symbol},
        "tokenizer_config.json": {
            "tokenizer_class": "VitsTokenizer",
            "language": frontend.language,
            "add_blank": frontend.add_blank,
            "is_uroman": frontend.is_uroman,
            "normalize": True,
            "phonemize": False,
        },
        "voice.json": {
            "language": voice.language,
            "base": voice.base,
            "official_revision": voice.official_revision,
            "licence": voice.licence,
            "training_commit": voice.training_commit,
            "metrics": dict(voice.metrics),
        },
    }
    paths = [weights]
    for name, content in tables.items():
        path = folder / name
        path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        paths.append(path)
    return paths
