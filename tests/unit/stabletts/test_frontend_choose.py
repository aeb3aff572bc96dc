"""Which reading a voice gets, and that it says why."""

import pytest

from codex_worker.errors import DataError, UserError
from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.frontend.choose import (
    FrontendRequest,
    choose_frontend,
    legacy_frontend,
    measure_loss,
    mostly_not_latin,
    restore_frontend,
)
from codex_worker.stabletts.frontend.compat import CompatFrontend

ENGLISH = ["The river was calm in the morning.", "She carried water to the old house."] * 10
TONAL = ["dàŋ kɔ̀ mɛ́ ŋgàá", "mɛ́ kɔ́ ŋò"] * 20
PLAIN = ["mungu aliupenda ulimwengu", "bylo boga ziku"] * 10


def test_english_keeps_the_official_reading():
    choice = choose_frontend(ENGLISH, FrontendRequest())
    assert choice.frontend == CompatFrontend()
    assert choice.reasons == ("text frontend compat: the official alphabet loses 0.0% of the letters",)


def test_a_language_whose_tones_would_be_lost_gets_its_own_letters():
    choice = choose_frontend(TONAL, FrontendRequest())
    assert isinstance(choice.frontend, CharactersFrontend)
    assert "the official alphabet would lose or change" in choice.reasons[0]
    assert "letters are new to the official weights" in choice.reasons[1]


def test_latin_letters_the_official_alphabet_has_stay_with_it():
    assert choose_frontend(PLAIN, FrontendRequest()).frontend == CompatFrontend()


def test_words_that_only_look_english_count_as_lost():
    loss = measure_loss(["he a do to ziku wamba tulenge manoko"])
    assert loss.read_as_english == len("headoto")
    assert isinstance(
        choose_frontend(["he a do to ziku wamba"], FrontendRequest()).frontend, CharactersFrontend
    )


@pytest.mark.parametrize("text", ["съезд сборщик", "цэ щё ъ ь", "çııı ş"])
def test_never_more_than_all_letters_are_lost(text):
    assert measure_loss([text]).share == 1.0


def test_another_script_gets_its_own_letters_unless_romanisation_is_asked_for():
    texts = ["в начале было слово"] * 20
    assert isinstance(choose_frontend(texts, FrontendRequest()).frontend, CharactersFrontend)
    romanised = choose_frontend(texts, FrontendRequest(use_uroman=True, uroman_language="rus"))
    assert romanised.frontend == CompatFrontend(use_uroman=True, uroman_language="rus")


def test_the_manifest_decides_where_it_says_something():
    assert choose_frontend(TONAL, FrontendRequest(name="compat")).frontend == CompatFrontend()
    own = choose_frontend(ENGLISH, FrontendRequest(name="characters"))
    assert isinstance(own.frontend, CharactersFrontend)
    assert "as model.frontend asks" in own.reasons[0]


def test_training_on_keeps_the_reading_of_the_base_checkpoint():
    base = CompatFrontend(use_uroman=True)
    assert choose_frontend(TONAL, FrontendRequest(), base=base).frontend is base
    letters = CharactersFrontend.learn(["mama"])
    grown = choose_frontend(["mama rita"], FrontendRequest(), base=letters)
    assert isinstance(grown.frontend, CharactersFrontend)
    assert grown.frontend.letters == ("r",)
    assert grown.reasons == ("text frontend characters, as in the base checkpoint, with 1 new letters: r",)


def test_rare_letters_are_named():
    choice = choose_frontend([*TONAL, "ʒ"], FrontendRequest(name="characters"))
    assert any("heard too seldom" in line and "ʒ (1)" in line for line in choice.reasons)


def test_an_older_checkpoint_is_read_as_older_jobs_did():
    as_then = CompatFrontend(version=1)
    romanised = CompatFrontend(use_uroman=True, version=1)
    assert legacy_frontend(["", "в начале"], FrontendRequest()).frontend == romanised
    assert legacy_frontend(["mama", "в начале"], FrontendRequest()).frontend == as_then
    said = legacy_frontend(["mama"], FrontendRequest(use_uroman=True))
    assert said.frontend == romanised
    assert "as model.use_uroman says" in said.reasons[0]


def test_an_older_checkpoint_cannot_take_another_reading():
    with pytest.raises(UserError, match="train a new voice from it first"):
        legacy_frontend(["mama"], FrontendRequest(name="characters"))


@pytest.mark.parametrize("version", [1, 2])
def test_the_compat_reading_comes_back_from_its_checkpoint(version):
    frontend = CompatFrontend(use_uroman=True, uroman_language="hin", version=version)
    assert restore_frontend(frontend.name, frontend.version, frontend.state()) == frontend


@pytest.mark.parametrize(
    ("name", "version"), [("compat", 3), ("compat", 0), ("characters", 3), ("phones", 1)]
)
def test_a_reading_that_this_worker_does_not_know_is_refused(name, version):
    with pytest.raises(DataError, match="a newer worker made it"):
        restore_frontend(name, version, CompatFrontend().state())


def test_names_do_not_make_english_another_language():
    texts = [*ENGLISH, "Zacchaeus carried Nebuchadnezzar and Melchizedek to the old river in the morning."]
    assert choose_frontend(texts, FrontendRequest()).frontend == CompatFrontend()
    others = ["mungu cikale aliupenda qulimwengu"] * 20
    assert isinstance(choose_frontend(others, FrontendRequest()).frontend, CharactersFrontend)


@pytest.mark.parametrize(
    ("text", "expected"), [("mama", False), ("мама mamma", False), ("мама", True), ("123", False)]
)
def test_script_is_judged_by_most_of_the_letters(text, expected):
    assert mostly_not_latin(text) is expected
