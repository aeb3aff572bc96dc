import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.codex.sayable import holds_letters

SILENT = [
    "…", "—", "?!", "...", "***", "· · ·", "- - -", "«»", "“ ”", "¿¡", "。", "།", "॥", "؟", "፡", "๚", "🙏",
    "👩‍👩‍👧", "\U0001fae8", "❤\ufe0f", "\u0301\u0302", "\u0e49", "\u200b\u200d", "\ufeff", "  \t\n", "_", "|",
    "=", "§", "†‡", "→", "\u00a0…\u00a0", "\u093f", "٪", "ـــ", "ーー", "ʼ", "ๆ", "々",
    "$€", "^~`", "[ ]", "( )", "",
]  # fmt: skip
SPOKEN = [
    "a", "é", "e\u0301", "…a", "— ŋ", "1", "٣", "१", "Ⅷ", "½", "天", "ก", "ꀋ", "ʼa", "ǃ", "\ue000",
    "\U000f0000", "\U00010d4a", "ߒ", "ⵣ", "🙏 amen",
]  # fmt: skip


@pytest.mark.parametrize("text", SILENT)
def test_signs_marks_and_pictures_alone_say_nothing(text):
    assert not holds_letters(text)


@pytest.mark.parametrize("text", SPOKEN)
def test_one_letter_or_digit_of_any_script_is_enough(text):
    assert holds_letters(text)


@given(st.sampled_from(SPOKEN), st.sampled_from(SILENT), st.sampled_from(SILENT))
def test_signs_around_a_letter_take_nothing_from_it(letter, before, after):
    assert holds_letters(before + letter + after)
