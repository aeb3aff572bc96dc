"""Networks that tests and benchmarks make of random weights."""

from transformers import PretrainedConfig, Wav2Vec2BertConfig

from codex_worker.asr.features import MEL_BINS
from codex_worker.asr.networks.build import FAMILIES, TINY_FRONTEND, config_from
from codex_worker.asr.vocabulary import Vocabulary


def full_config(vocabulary: Vocabulary, *, layers: int = 24) -> PretrainedConfig:
    """The shape of w2v-bert-2.0 as it is fine-tuned: with a convolutional adapter before the CTC head."""
    config = config_from(
        {
            "model_type": "wav2vec2-bert",
            "num_hidden_layers": layers,
            "vocab_size": len(vocabulary),
            **FAMILIES["wav2vec2-bert"].fine_tuning,
        }
    )
    return _with_ctc(config, vocabulary)


def small_conformer(vocabulary: Vocabulary) -> PretrainedConfig:
    """A Wav2Vec2-BERT of 0.8 million parameters, which reads what the tiny preset's network reads."""
    config = Wav2Vec2BertConfig(
        feature_projection_input_dim=TINY_FRONTEND.stacked_frames * MEL_BINS,
        vocab_size=len(vocabulary),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=512,
        output_hidden_size=128,
        conv_depthwise_kernel_size=9,
        add_adapter=False,
        layerdrop=0.0,
        apply_spec_augment=False,
    )
    return _with_ctc(config, vocabulary)


def _with_ctc(config: PretrainedConfig, vocabulary: Vocabulary) -> PretrainedConfig:
    config.update(
        {
            "pad_token_id": vocabulary.blank_id,
            "bos_token_id": None,
            "eos_token_id": None,
            "ctc_loss_reduction": "mean",
            "ctc_zero_infinity": True,
        }
    )
    return config
