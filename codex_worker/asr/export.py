"""A transcriber as a folder that Hugging Face's `transformers` reads."""

import json
from pathlib import Path

from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor

from codex_worker.asr.features import MEL_BINS
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.small_lstm import SmallLstmConfig
from codex_worker.errors import UserError


def export_hugging_face(checkpoint: Path, folder: Path) -> list[Path]:
    """Writes network, vocabulary and feature extractor; answers the paths of all files.

    `AutoModelForCTC.from_pretrained(folder)` and `Wav2Vec2CTCTokenizer.from_pretrained(folder)` load it. The
    text recipe, the corrector, the language and what else only this worker uses go beside it as JSON: with
    `transformers` alone it reads greedily. Raises DataError for what is no transcriber, and UserError for one
    of preset tiny.
    """
    loaded = load_checkpoint(checkpoint, unpack_folder=folder / "unpacked")
    if loaded.model.config.model_type == SmallLstmConfig.model_type:
        raise UserError(
            f"{checkpoint.name} is of preset tiny, whose network transformers does not know. Only this "
            "worker reads it; train with preset full for a model that others read, too."
        )
    folder.mkdir(parents=True, exist_ok=True)
    loaded.model.save_pretrained(folder)
    vocabulary = loaded.vocabulary
    symbols = {symbol: index for index, symbol in enumerate(vocabulary.symbols)}
    (folder / "vocab.json").write_text(json.dumps(symbols, ensure_ascii=False, indent=1), encoding="utf-8")
    # Older workers' networks wrote spaces as "unknown"; their delimiter is then that symbol.
    delimiter_id = vocabulary.unknown_id if vocabulary.delimiter_id is None else vocabulary.delimiter_id
    tokenizer = Wav2Vec2CTCTokenizer(
        str(folder / "vocab.json"),
        unk_token=vocabulary.symbols[vocabulary.unknown_id],
        pad_token=vocabulary.symbols[vocabulary.blank_id],
        word_delimiter_token=vocabulary.symbols[delimiter_id],
        bos_token=None,
        eos_token=None,
    )
    tokenizer.save_pretrained(folder)
    extractor: SeamlessM4TFeatureExtractor | Wav2Vec2FeatureExtractor
    if loaded.frontend.kind == "log_mel":
        extractor = SeamlessM4TFeatureExtractor(
            feature_size=MEL_BINS,
            num_mel_bins=MEL_BINS,
            sampling_rate=loaded.frontend.sample_rate,
            padding_value=0.0,
            stride=loaded.frontend.stacked_frames,
        )
    else:
        extractor = Wav2Vec2FeatureExtractor(sampling_rate=loaded.frontend.sample_rate)
    extractor.save_pretrained(folder)
    (folder / "codex_worker.json").write_text(
        json.dumps(dict(loaded.metadata), ensure_ascii=False, indent=1), encoding="utf-8"
    )
    if loaded.corrector is not None:
        (folder / "corrector.json").write_text(loaded.corrector.to_json(), encoding="utf-8")
    if loaded.language is not None:
        (folder / "language.json").write_text(loaded.language.to_json(), encoding="utf-8")
    return sorted(path for path in folder.iterdir() if path.is_file())
