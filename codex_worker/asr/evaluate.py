"""How well a network reads examples whose texts are known: its loss, its readings and their error rates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from codex_worker.asr.corpus import Example, Sounds
from codex_worker.asr.decoding.decoder import GreedyDecoder, ReadingWay
from codex_worker.asr.evidence import Evidence, evidence_of
from codex_worker.asr.features import pad_batch
from codex_worker.asr.networks.build import frame_seconds, output_frames
from codex_worker.asr.networks.hearing import logits_of
from codex_worker.asr.vocabulary import Vocabulary
from codex_worker.asr.words import confidence_of, words_of
from codex_worker.text import spacing
from codex_worker.text.error_rate import character_error_rate, word_error_rate
from codex_worker.training.batches import batches_by_length
from codex_worker.training.memory import in_halves


@dataclass(frozen=True)
class Prediction:
    """What the network read in a recording that it was not trained on, beside what is said there."""

    key: str
    hypothesis: str
    reference: str
    confidence: float = 0.0  # of the hypothesis, 0 to 1
    evidence: Evidence | None = None


@torch.no_grad()
def read_examples(
    model: PreTrainedModel,
    vocabulary: Vocabulary,
    sounds: Sounds,
    examples: Sequence[Example],
    batch_seconds: float,
    decoder: ReadingWay | None = None,
) -> tuple[float, tuple[Prediction, ...]]:
    """Mean CTC loss and readings of examples, in their order; greedy ones where no decoder is named."""
    decoder, frame_s = decoder or GreedyDecoder(), frame_seconds(model)
    predictions: dict[int, Prediction] = {}
    losses = []
    for batch, log_probs in heard_in(model, sounds, examples, batch_seconds):
        chosen = [examples[i] for i in batch]
        labels = [vocabulary.encode(example.text) for example in chosen]
        lengths = [len(frames) for frames in log_probs]
        together = nn.utils.rnn.pad_sequence(log_probs, batch_first=True)
        losses.append((float(ctc_loss(together, lengths, labels, vocabulary.blank_id)), len(batch)))
        for index, example, path in zip(batch, chosen, decoder.paths(log_probs), strict=True):
            words = words_of(vocabulary, path.symbols, path.probabilities, seconds_per_frame=frame_s)
            predictions[index] = Prediction(
                example.utterance.key,
                " ".join(word.text for word in words),
                example.reference,
                confidence_of(words),
                evidence_of(words, path.probabilities, frame_s),
            )
    total = sum(loss * count for loss, count in losses) / sum(count for _, count in losses)
    return total, tuple(predictions[i] for i in range(len(examples)))


@torch.no_grad()
def heard_in(
    model: PreTrainedModel, sounds: Sounds, examples: Sequence[Example], batch_seconds: float
) -> Iterator[tuple[list[int], list[Tensor]]]:
    """Batches of examples, by their places, with the log probabilities `[frames, symbols]` of each."""
    seconds = [example.duration_s for example in examples]

    def heard(batch: Sequence[int]) -> list[Tensor]:
        inputs, mask = pad_batch([sounds.features(examples[i]) for i in batch])
        logits = logits_of(model, inputs, mask).float()
        lengths = [output_frames(model, int(rows)) for rows in mask.sum(1)]
        return [row[:length].log_softmax(-1) for row, length in zip(logits, lengths, strict=True)]

    for batch in batches_by_length(seconds, max_total=2 * batch_seconds):
        yield batch, in_halves(batch, heard)


def error_rates(predictions: Sequence[Prediction], *, has_words: bool | None = None) -> dict[str, float]:
    """Character and word error rates (`cer`, `wer`) over all predictions together.

    There is no `wer` where the texts have no spaces between words: `has_words` says so of a whole project,
    and where it is None the references decide.
    """
    spoken = [prediction.reference for prediction in predictions]
    heard = [prediction.hypothesis for prediction in predictions]
    rates = {"cer": character_error_rate(spoken, heard)}
    if spacing.has_words(spoken) if has_words is None else has_words:
        rates["wer"] = word_error_rate(spoken, heard)
    return rates


def ctc_loss(
    logits: Tensor, lengths: Sequence[int], labels: Sequence[Sequence[int]], blank_id: int
) -> Tensor:
    """CTC loss (Graves et al. 2006) of `logits [B, T, V]`: per letter, then the mean over the batch.

    Infinite losses (a text that doesn't fit its frames) count as zero and have no gradient.
    """
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)
    targets = torch.tensor([label for row in labels for label in row], dtype=torch.long)
    with torch.autocast(logits.device.type, enabled=False), torch.backends.cudnn.flags(enabled=False):
        return nn.functional.ctc_loss(
            log_probs,
            targets.to(logits.device),
            torch.tensor(lengths),
            torch.tensor([len(row) for row in labels]),
            blank=blank_id,
            reduction="mean",
            zero_infinity=True,
        )
