"""From what the network heard to symbols with their frames: greedily, or by a search with the language."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import torch
from torch import Tensor

from codex_worker.asr.decoding.beam import search
from codex_worker.asr.decoding.frames import heard_frames
from codex_worker.asr.decoding.language import LanguageOf, ProjectLanguage, word_ends
from codex_worker.asr.viterbi import best_paths
from codex_worker.asr.vocabulary import Vocabulary


class Decoding(StrEnum):
    """How readings are found: the values of the manifest's `inference.decoding`."""

    GREEDY = "greedy"
    BEAM = "beam"


@dataclass(frozen=True)
class FramePath:
    """The symbol of each frame of a recording, and its probability."""

    symbols: list[int]
    probabilities: list[float]


class ReadingWay(Protocol):
    """A way to read."""

    def paths(self, log_probs: Sequence[Tensor]) -> list[FramePath]:
        """What is read in recordings of log probabilities `[frames, symbols]`, on any device."""
        ...


class GreedyDecoder:
    """The best symbol of each frame."""

    def paths(self, log_probs: Sequence[Tensor]) -> list[FramePath]:
        """Only the best symbol of each frame travels back from the device."""
        best = [frames.max(dim=-1) for frames in log_probs]
        return [FramePath(each.indices.tolist(), each.values.exp().tolist()) for each in best]


class BeamDecoder:
    """The best text by sound, letters and words; its symbols where the sound has them.

    A text that is the greedy one has the greedy one's path, so that times and confidences mean the same.
    """

    def __init__(self, vocabulary: Vocabulary, language: ProjectLanguage | None) -> None:
        self._vocabulary = vocabulary
        self._ends = word_ends(vocabulary)
        self._tables = None if language is None else LanguageOf(language, vocabulary).tables()

    def paths(self, log_probs: Sequence[Tensor]) -> list[FramePath]:
        """Each text's likeliest symbols, frame by frame; what the search finds fits into the frames."""
        blank = self._vocabulary.blank_id
        read = search(heard_frames(log_probs, blank), self._tables, self._ends)
        paths = []
        for heard, labels, states in zip(log_probs, read, best_paths(log_probs, read, blank), strict=True):
            symbols = [labels[state // 2] if state % 2 else blank for state in states.tolist()]
            index = torch.tensor(symbols, dtype=torch.long, device=heard.device)[:, None]
            paths.append(FramePath(symbols, heard.gather(1, index)[:, 0].float().exp().tolist()))
        return paths


def decoder_for(
    vocabulary: Vocabulary, language: ProjectLanguage | None, asked: Decoding | None
) -> ReadingWay:
    """What was asked for; else a search where there is a language that has been seen to help."""
    decoding = asked or (Decoding.BEAM if language is not None else Decoding.GREEDY)
    return BeamDecoder(vocabulary, language) if decoding is Decoding.BEAM else GreedyDecoder()
