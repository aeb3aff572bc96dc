"""Networks of the full width, which tests and benchmarks make of random weights."""

from transformers import PretrainedConfig

from codex_worker.asr.networks.build import FAMILIES, config_from
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
