"""Networks that a transcriber may be made of: built from a preset or read from a folder of weights."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    PretrainedConfig,
    PreTrainedModel,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForCTC,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
)

from codex_worker.asr.features import MEL_BINS, MOST_STACKED, SAMPLE_RATE, FeatureExtractor
from codex_worker.asr.networks import omniasr
from codex_worker.asr.networks.base_letters import PublishedHead, read_base_letters, take_over_letters
from codex_worker.asr.networks.small_lstm import SmallLstmConfig, SmallLstmForCTC
from codex_worker.asr.networks.w2v2bert_attention import use_fast_attention
from codex_worker.asr.networks.w2v2bert_convolution import use_fast_convolution
from codex_worker.asr.vocabulary import Vocabulary
from codex_worker.errors import DataError, UserError, clause

logger = logging.getLogger(__name__)

DEFAULT_BASE_MODEL = "facebook/w2v-bert-2.0"
Preset = Literal["full", "tiny"]


# The published recipe for w2v-bert-2.0: Hugging Face blog, "Fine-Tune W2V2-Bert for low-resource ASR".
_NO_DROPOUT: dict[str, Any] = {
    "attention_dropout": 0.0,
    "hidden_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "layerdrop": 0.0,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "apply_spec_augment": False,
}


@dataclass(frozen=True)
class NetworkFamily:
    """Networks of one kind: transformers' classes for them, and the settings that fine-tuning changes."""

    config: type[PretrainedConfig]
    network: type[PreTrainedModel]  # with a CTC head, `lm_head`
    fine_tuning: Mapping[str, Any]
    reads: Literal["log_mel", "waveform"]
    trial_rows: int  # of input that show whether a configuration makes a network


FAMILIES: dict[str, NetworkFamily] = {
    "wav2vec2-bert": NetworkFamily(
        Wav2Vec2BertConfig, Wav2Vec2BertForCTC, {**_NO_DROPOUT, "add_adapter": True}, "log_mel", 400
    ),
    "wav2vec2": NetworkFamily(Wav2Vec2Config, Wav2Vec2ForCTC, _NO_DROPOUT, "waveform", 32_000),
    # An LSTM that is only tried out takes torch a long while for each row, and is the same at all of them.
    SmallLstmConfig.model_type: NetworkFamily(SmallLstmConfig, SmallLstmForCTC, {}, "log_mel", 2),
}
"""The architectures that a transcriber may have, by the `model_type` of their configuration.

A folder of weights may also be of `omniasr_ctc`: it is read as the Wav2Vec2 network that it is.
"""

_NO_TABLE = "The model's configuration is not a table of settings."
_MAX_CONFIG_BYTES = 1_000_000
_MAX_PARAMETERS = 2_500_000_000
# What takes long to build before it can be counted.
_LIMITS = {
    "num_hidden_layers": 128,
    "num_adapter_layers": 16,
    "max_source_positions": 20_000,
    "num_conv_pos_embeddings": 1024,
    "left_max_position_embeddings": 10_000,
    "right_max_position_embeddings": 10_000,
}
_LARGEST_NUMBER = 100_000  # of any other: widths, letters, distances
_MOST_NUMBERS = 32  # of a list: one for each convolution of a front end


# Frames of 40 ms: a letter of quick speech still has one, and half as many frames are half the work.
TINY_FRONTEND = FeatureExtractor(stacked_frames=4)


def tiny_config(vocabulary: Vocabulary) -> SmallLstmConfig:
    """About a million parameters: learns a few dozen words in a minute on two CPU cores."""
    rows = TINY_FRONTEND.stacked_frames * MEL_BINS
    return _with_ctc(SmallLstmConfig(feature_projection_input_dim=rows), vocabulary)


def build_model(config: PretrainedConfig) -> PreTrainedModel:
    """A CTC network with random weights. Raises DataError for what is not an allowed architecture."""
    family = FAMILIES.get(str(config.model_type))
    if family is None:
        raise DataError(_not_allowed(str(config.model_type)))
    model = family.network(config)
    use_fast_layers(model)
    return model


def use_fast_layers(model: nn.Module) -> None:
    """Let a Wav2Vec2-BERT compute the same numbers in less time; other networks stay as they are."""
    use_fast_attention(model)
    use_fast_convolution(model)


def read_pretrained(folder: Path, vocabulary: Vocabulary) -> PreTrainedModel:
    """The network of a Hugging Face folder that the supervisor fetched, with a new head for `vocabulary`.

    Where the folder's own head writes letters of the vocabulary, their rows are taken over. Only
    `config.json`, the tokenizer's tables and `*.safetensors` are read. Raises UserError for an architecture
    that can't do CTC and DataError for weights that don't fit their configuration.
    """
    fields = config_fields(folder)
    config = config_from(fields)
    if not list(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder.name} has no safetensors weights, and other formats can run code when they are read. "
            f"Choose a base model with safetensors, for example {DEFAULT_BASE_MODEL}."
        )
    family = FAMILIES[config.model_type]
    config.update(dict(family.fine_tuning))
    _with_ctc(config, vocabulary)
    try:
        is_renamed = fields.get("model_type") == omniasr.MODEL_TYPE
        state = omniasr.read_as_wav2vec2(folder) if is_renamed else None
        model, report = family.network.from_pretrained(
            folder if state is None else None,
            config=config,
            state_dict=state,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
        head = PublishedHead.read(folder) if state is None else PublishedHead.of(state)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise DataError(
            f"The weights in {folder.name} cannot be read ({error}); fetch them again."
        ) from error
    _check_body(report, folder)
    if head is not None:
        take_over_letters(model.lm_head, vocabulary, read_base_letters(folder, fields), head)
    use_fast_layers(model)
    return model


def read_config(folder: Path) -> PretrainedConfig:
    """The configuration of a folder of weights, if it is an allowed architecture."""
    return config_from(config_fields(folder))


def config_fields(folder: Path) -> dict[str, Any]:
    """What a folder's `config.json` says, unchecked. Raises DataError where it is no table of settings."""
    path = folder / "config.json"
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise DataError(f"{folder.name}/config.json is larger than any real configuration.")
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{folder.name} has no readable config.json ({error}); it is no model.") from error
    if not isinstance(fields, dict):
        raise DataError(_NO_TABLE)
    return fields


def config_from(fields: object) -> PretrainedConfig:
    """A configuration from JSON fields. Raises UserError for an architecture that is not allowed and
    DataError for numbers that no real network has."""
    if not isinstance(fields, dict):
        raise DataError(_NO_TABLE)
    if fields.get("model_type") == omniasr.MODEL_TYPE:
        fields = omniasr.as_wav2vec2(fields)
    model_type = str(fields.get("model_type"))
    if model_type not in FAMILIES:
        raise UserError(_not_allowed(model_type))
    safe = {name: value for name, value in fields.items() if name in _own_settings(FAMILIES[model_type])}
    for name, value in safe.items():
        _check_setting(name, value)
    if safe.get("vocab_size") is None:
        safe["vocab_size"] = 1  # a body without a head, as w2v-bert-2.0 is; the head is made for the letters
    try:
        config = FAMILIES[model_type].config.from_dict(safe)
        frontend = frontend_of(config)
        network = outline(config)
        parameters = int(network.num_parameters())
        _try_out(network, frontend, FAMILIES[model_type].trial_rows)
    # Whatever a made-up configuration makes transformers raise, the file is to blame.
    except Exception as error:
        raise DataError(f"The model's configuration cannot be built ({clause(error)[:300]}).") from error
    if parameters > _MAX_PARAMETERS:
        raise DataError(
            f"The configuration asks for {parameters:,} parameters; {_MAX_PARAMETERS:,} is the limit."
        )
    return config


def count_parameters(config: PretrainedConfig) -> int:
    """How many parameters a CTC network of this configuration has; none of them is made."""
    return int(outline(config).num_parameters())


def outline(config: PretrainedConfig) -> PreTrainedModel:
    """The network's shapes without memory for its numbers, which a stranger's configuration may make huge."""
    with torch.device("meta"):
        return build_model(config)


def _try_out(network: PreTrainedModel, frontend: FeatureExtractor, rows: int) -> None:
    """Reads so many rows of nothing, without computing: many a wrong number shows only there."""
    columns = (frontend.stacked_frames * MEL_BINS,) if frontend.kind == "log_mel" else ()
    with torch.no_grad(), torch.device("meta"):
        network.eval()(torch.zeros(1, rows, *columns))


def _own_settings(family: NetworkFamily) -> set[str]:
    """The settings of the architecture. Those of every model are left out: they load code, or make tables."""
    return {each.name for each in fields_of(family.config)} - {
        each.name for each in fields_of(PretrainedConfig)
    }


def _check_setting(name: str, value: object) -> None:
    numbers = value if isinstance(value, list) else [value]
    limit = _LIMITS.get(name, _LARGEST_NUMBER)
    if len(numbers) > _MOST_NUMBERS:
        raise DataError(f"The model's configuration has {len(numbers)} numbers for {name}; no real one has.")
    for number in numbers:
        if isinstance(number, int | float) and not 0 <= number <= limit:
            raise DataError(
                f"The model's configuration has {name} = {str(number)[:40]}; it must be from 0 to {limit:g}."
            )


def frontend_of(config: PretrainedConfig) -> FeatureExtractor:
    """What this network reads. Raises ValueError for rows that no log-mel frames make."""
    reads = FAMILIES[config.model_type].reads
    if reads == "waveform":
        return FeatureExtractor(reads)
    stacked, rest = divmod(config.feature_projection_input_dim, MEL_BINS)
    if rest or not 1 <= stacked <= MOST_STACKED:
        raise ValueError(f"input rows of {config.feature_projection_input_dim} are no log-mel frames")
    return FeatureExtractor(reads, stacked_frames=stacked)


def has_adapters(config: PretrainedConfig) -> bool:
    """Whether a network has adapters in its layers, as MMS's have; transformers has them in one kind only."""
    width = getattr(config, "adapter_attn_dim", None)
    return width is not None and bool(getattr(config, "do_stable_layer_norm", False))


def output_frames(model: PreTrainedModel, input_length: int) -> int:
    """How many CTC frames an input of this many rows (log-mel) or samples (waveform) comes out as."""
    length = torch.tensor(input_length)
    return int(model._get_feat_extract_output_lengths(length))


def frame_seconds(model: PreTrainedModel) -> float:
    """Seconds between two CTC frames."""
    config = model.config
    if FAMILIES[config.model_type].reads == "log_mel":
        has_adapter = getattr(config, "add_adapter", False)
        stride = config.adapter_stride**config.num_adapter_layers if has_adapter else 1
        return frontend_of(config).input_seconds(stride)
    samples = 1
    for conv_stride in config.conv_stride:
        samples *= conv_stride
    return samples / SAMPLE_RATE


def grow_head(model: PreTrainedModel, vocabulary: Vocabulary) -> None:
    """Make the CTC head as wide as an extended vocabulary; rows that were trained are kept.

    A new word delimiter of an old model starts from its unknown symbol's row, which is what spaces were.
    """
    old: nn.Linear = model.lm_head
    grown = len(vocabulary) - old.out_features
    if grown < 0:
        raise ValueError("a vocabulary can only grow")
    if grown == 0:
        return
    head = nn.Linear(old.in_features, len(vocabulary)).to(old.weight.device, old.weight.dtype)
    with torch.no_grad():
        head.weight[: old.out_features] = old.weight
        head.bias[: old.out_features] = old.bias
        # New letters start improbable, or they would take frames from the letters that are known.
        head.weight[old.out_features :] *= 0.1
        head.bias[old.out_features :] = old.bias.min()
        if vocabulary.delimiter_id is not None and vocabulary.delimiter_id >= old.out_features:
            head.weight[vocabulary.delimiter_id] = old.weight[vocabulary.unknown_id]
            head.bias[vocabulary.delimiter_id] = old.bias[vocabulary.unknown_id]
            head.bias[vocabulary.unknown_id] = old.bias.min()
    model.lm_head = head
    _with_ctc(model.config, vocabulary)


# Heads of pre-training and of other languages: missing or left over on purpose.
_EXPECTED_KEYS = ("lm_head.", ".adapter.", ".masked_spec_embed", "quantizer.", "project_hid.", "project_q.")


def _with_ctc(config: Any, vocabulary: Vocabulary) -> Any:
    """The settings that CTC needs: blank equals padding, infinite losses are zero, the loss is a mean."""
    config.vocab_size = len(vocabulary)
    config.pad_token_id = vocabulary.blank_id
    config.bos_token_id = None
    config.eos_token_id = None
    config.ctc_loss_reduction = "mean"
    config.ctc_zero_infinity = True
    return config


def _check_body(report: Mapping[str, Any], folder: Path) -> None:
    """Complain when anything but the head and adapter had to be made up."""
    missing = [
        key
        for key in report.get("missing_keys", ())
        if not any(part in f".{key}" or key.startswith(part) for part in _EXPECTED_KEYS)
    ]
    if missing:
        raise DataError(
            f"The weights in {folder.name} lack {len(missing)} tensors of their own architecture, "
            f"for example {sorted(missing)[0]}; choose another base model."
        )


def _not_allowed(model_type: str) -> str:
    return (
        f"A model of type {model_type!r:.80} cannot be a transcriber here. "
        f"Choose a Wav2Vec2-BERT or Wav2Vec2 model, for example {DEFAULT_BASE_MODEL}."
    )
