"""A letter that is new to a voice starts from what the voice knows of its sound."""

from dataclasses import replace

import pytest
import torch

from codex_worker.stabletts.checkpoint import VoiceCheckpoint, VoiceDescription, grow_alphabet
from codex_worker.stabletts.configuration import TINY
from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.new_letters import describe, start_from
from codex_worker.stabletts.symbols import official_symbols
from codex_worker.stabletts.train import begin_from

EMBEDDING = "encoder.emb.weight"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    weights = StableTTS(TINY).state_dict()
    return VoiceCheckpoint(tmp_path_factory.mktemp("voice") / "official.pt", TINY, weights, None)


@pytest.mark.parametrize(
    ("letter", "kin"),
    [
        ("c", "k"),
        ("q", "k"),
        ("r", "ɹ"),
        ("é", "e"),
        ("ǘ", "u"),
        ("č", "k"),
        ("ŕ", "ɹ"),
        ("ɓ", "b"),
        ("ш", "sh"),
        ("р", "ɹ"),
        ("ц", "ts"),
        ("क", "ka"),
        ("ि", "i"),
        ("ガ", "ga"),
        ("한", "han"),
        ("ك", "k"),
    ],
)
def test_a_new_row_is_the_mean_of_the_rows_that_sound_like_it(checkpoint, letter, kin):
    old = official_symbols()
    grown = grow_alphabet(checkpoint, old, (*old, letter)).weights[EMBEDDING]
    known = checkpoint.weights[EMBEDDING]
    assert torch.equal(grown[:401], known)
    assert torch.allclose(grown[401], known[[old.index(sound) for sound in kin]].mean(0))


@pytest.mark.parametrize("letter", ["ǃ", "\u0301", "7", "ʼ", "\ue000"])
def test_what_nothing_is_known_of_starts_from_noise_that_follows_from_the_seed(checkpoint, letter):
    old = official_symbols()
    assert start_from([letter], old) == {letter: ()}
    rows = [
        grow_alphabet(checkpoint, old, (*old, letter), seed=seed).weights[EMBEDDING][401]
        for seed in (0, 0, 1)
    ]
    assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])


def test_a_letter_that_the_voice_has_learnt_itself_is_nearer_than_any_romanisation(checkpoint):
    first = CharactersFrontend.learn(["цара"])
    settings = replace(TINY, n_vocab=len(first.symbols))
    torch.manual_seed(1)
    voice = VoiceCheckpoint(
        checkpoint.path, settings, StableTTS(settings).state_dict(), VoiceDescription(settings, first)
    )
    second = CharactersFrontend.learn(["цар\u0301а ӓ рар" * 30], base=first)
    rows = begin_from(voice, second, base="earlier").network.encoder.emb.weight
    known = voice.weights[EMBEDDING]
    assert torch.equal(rows[second.symbols.index("ӓ")], known[first.symbols.index("а")])


def test_the_report_says_what_each_new_letter_starts_from():
    starts = start_from(["a", "é", "ц", "ǃ"], official_symbols())
    assert describe(starts) == [
        "2 new symbols start from known ones that sound like them: é (e), ц (t s)",
        "1 new symbols start from random vectors, because nothing is known of their sounds: ǃ",
    ]
    assert describe({}) == []
    many = describe({chr(0x4E00 + number): () for number in range(100)})
    assert many[0].endswith(" and 60 more")
