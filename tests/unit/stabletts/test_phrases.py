"""Long verses of any script in parts that the network can hold."""

import pytest

from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.frontend.compat import CompatFrontend
from codex_worker.stabletts.frontend.encoding import lost_letters
from codex_worker.stabletts.phrases import MAX_SYMBOLS, phrases


@pytest.mark.parametrize(
    "text",
    [
        "kama tole " * 70,
        "កខគ\u200b" * 220,
        "བོད་" * 180,
        "กขคงจฉ" * 110,
        "天地" * 330,
        "ꦏꦤ꧀ꦢ" * 150,
        "ᬓᬦ᭄ᬤ" * 150,
        "ကြောင့်" * 150,
        "ꀋꂿꄮ" * 200,
        "はじめに" * 150,
        "neverendingword" * 40,
        "太初有道，道與神同在。" * 60,
        "ཐོག་མར་བཀའ།" * 60,
    ],
)
def test_no_part_of_a_verse_is_longer_than_the_network_holds(text):
    frontend = CharactersFrontend.learn([text])
    parts = phrases(text, frontend)
    assert all(len(part.ids) <= 2 * MAX_SYMBOLS + 1 for part in parts)
    assert "".join(part.text for part in parts).replace(" ", "") == text.replace(" ", "")
    assert len(parts) <= 2 * (len(frontend.encode(text).ids) // MAX_SYMBOLS + 1)


def test_parts_without_marks_are_about_equally_long():
    lengths = [len(part.ids) for part in phrases("天" * 500, CharactersFrontend.learn(["天"]))]
    assert len(lengths) == 3
    assert max(lengths) - min(lengths) <= 2


def test_a_stretch_that_is_cut_between_letters_goes_on_without_a_pause():
    first, last = phrases("天" * 300 + "。", CharactersFrontend.learn(["天"]))
    assert first.pause_s == 0
    assert last.pause_s > 0


LATIN = CharactersFrontend.learn(["kama, tole. bina! suru?"])


@pytest.mark.parametrize("frontend", [LATIN, CompatFrontend()], ids=["characters", "compat"])
@pytest.mark.parametrize("text", ["…", "—", "?!", "...", "***", "· · ·", "🙏", "\u0301", "!" * 500])
def test_signs_without_a_letter_are_not_spoken(frontend, text):
    assert frontend.encode(text).ids == ()
    assert phrases(text, frontend) == []


@pytest.mark.parametrize("text", ["Да!", "天…", "«Ѳ»"])
def test_signs_are_not_spoken_where_the_voice_has_none_of_the_letters(text):
    encoding = LATIN.encode(text)
    assert encoding.ids == ()
    assert lost_letters(encoding) == {letter.lower() for letter in text if letter.isalpha()}


@pytest.mark.parametrize("text", ["a" * 100, "in the beginning, " * 9, "กำ天" * 30, "ñ\u0301-" * 40])
def test_the_english_reading_is_held_to_the_same_limit(text):
    parts = phrases(text, CompatFrontend(), max_symbols=40)
    assert all(0 < len(part.ids) <= 2 * 40 + 1 for part in parts)
    assert len(parts) > 1
