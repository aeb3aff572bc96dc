"""How long reading takes with the project's language and without: `python -m bench.decoding`.

A tiny network reads noise, which gives its time; the search is given what a network that mistakes a third of
the letters would make of sentences of the same length, which is harder to search than what a good one makes.
Greedy reading and the search take turns. One JSON object on the last line, in seconds of audio a second of
processor time; `ratio` is how much longer network and search take than network and greedy reading.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

import codex_worker.asr  # noqa: F401 - patches torchaudio before transformers looks for it
from codex_worker.asr.checkpoint import TranscriberCheckpoint
from codex_worker.asr.decoding.decoder import BeamDecoder, GreedyDecoder
from codex_worker.asr.decoding.language import LanguageWeights, ProjectLanguage
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, frame_seconds, tiny_config
from codex_worker.asr.transcribe import Transcriber
from codex_worker.asr.vocabulary import build_vocabulary
from tests.support.half_heard import half_heard, sentences

WORD_COUNT = 3000
WORDS_A_SENTENCE = 15  # of a verse


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sentences", type=int, default=32, help="in a batch")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    words = made_words(WORD_COUNT)
    vocabulary = build_vocabulary(words)
    language = ProjectLanguage.fit(sentences(words, 3000, 1, WORDS_A_SENTENCE), has_words=True, order=8)
    language = language.weighed(LanguageWeights(0.5, 0.3, 1.5))
    network = Transcriber(
        TranscriberCheckpoint(build_model(tiny_config(vocabulary)), vocabulary, TINY_FRONTEND), device="cpu"
    )
    heard = [
        half_heard(text, vocabulary, seed)
        for seed, text in enumerate(sentences(words, arguments.sentences, 2, WORDS_A_SENTENCE))
    ]
    audio_s = sum(map(len, heard)) * frame_seconds(network.model)
    noise = np.random.default_rng(0).standard_normal((round(audio_s / len(heard) * 16_000),)) * 0.1
    features = [network.checkpoint.frontend(noise.astype(np.float32))] * len(heard)
    greedy, beam = GreedyDecoder(), BeamDecoder(vocabulary, language)
    steps: dict[str, Callable[[], object]] = {
        "network": lambda: network.frame_log_probs(features),
        "greedy": lambda: greedy.paths(heard),
        "beam": lambda: beam.paths(heard),
    }
    taken = {name: statistics.median(times) for name, times in in_turn(steps, arguments.rounds).items()}
    result = {
        "bench": "decoding",
        "audio_s": round(audio_s, 1),
        "ngrams": len(language.letters.counts),
        **{f"{name}_audio_s_per_s": round(audio_s / seconds) for name, seconds in taken.items()},
        "ratio": round((taken["network"] + taken["beam"]) / (taken["network"] + taken["greedy"]), 2),
    }
    print(json.dumps(result))


def in_turn(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each step in each round, after one that warms up."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if number:
                taken[name].append(time.process_time() - start)
    return taken


def made_words(count: int) -> list[str]:
    """Words of two to four syllables."""
    generator = np.random.default_rng(0)
    syllables = [consonant + vowel for consonant in "bdfgklmnprstwz" for vowel in "aeiou"]
    return [
        "".join(generator.choice(syllables, size=int(generator.integers(2, 5))).tolist())
        for _ in range(count)
    ]


if __name__ == "__main__":
    main()
