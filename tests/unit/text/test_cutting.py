"""Texts of any script in parts: how long, where, and that they are the text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.text.cutting import Border, cut
from codex_worker.text.graphemes import units

# The beginning of a text in each script, without a space.
UNSPACED = {
    "Thai": "ในปฐมกาลพระวาทะทรงดำรงอยู่และพระวาทะทรงอยู่กับพระเจ้า",
    "Lao": "ໃນຕົ້ນເດີມນັ້ນພຣະທັມໄດ້ເປັນຢູ່ແລ້ວ",
    "Khmer": "កាលដើមដំបូងបង្អស់ព្រះបន្ទូលជាព្រះជាម្ចាស់",
    "Myanmar": "အစအဦး၌နှုတ်ကပတ်တော်ရှိ၏",
    "Tibetan": "ཐོག་མར་བཀའ་ཡོད་པ་དང་།བཀའ་ནི་དཀོན་མཆོག་དང་མཉམ་དུ་ཡོད།",
    "Chinese": "太初有道道与神同在道就是神",
    "Japanese": "はじめにことばがあったことばはかみとともにあっチャーチ",
    "Javanese": "ꦏꦭꦥꦸꦫꦮꦱꦔꦧ꧀ꦢꦶꦏꦲꦸꦮꦶꦱ꧀ꦲꦤ",
    "Balinese": "ᬓᬮᬧᬸᬭ᭄ᬯᬰᬩ᭄ᬤᬲᬸᬧᬸᬦ᭄ᬳᬤ",
    "Yi": "ꀋꂿꄮꃀꋍꑭꌺꉪꋒꌠ",
    "Tai Le": "ᥘᥣᥭᥖᥭᥰᥖᥬᥲᥑᥨᥒᥰ",
    "New Tai Lue": "ᦎᦷᦺᦑᦟᦹᧉ",
    "Tai Tham": "ᨲ᩠ᩅᩫᨾᩮᩬᩥᨦ",
    "N'Ko": "ߒߞߏߞߊ߲߬ߞߊ߲",
    "Latin": "thelongestwordofall\u0301",
    "Devanagari": "आदिमेंवचनथाऔरवचनपरमेश्वरके",
    "Hangul in jamo": unicodedata.normalize("NFD", "태초에말씀이계시니라"),
    "Ethiopic": "በመጀመሪያውቃልነበረ",
    "private letters": "\ue000\ue001\ue002",
    "flags and families": "🇫🇷👩‍👩‍👧",
}


@pytest.mark.parametrize("script", UNSPACED)
@pytest.mark.parametrize("normal_form", ["NFC", "NFD"])
@pytest.mark.parametrize("limit", [15, 60, 240])
def test_a_text_without_spaces_is_cut_within_the_limit_and_between_letters(script, normal_form, limit):
    text = unicodedata.normalize(normal_form, UNSPACED[script]) * 40
    parts = [part.text for part in cut(text, len, limit)]
    assert "".join(parts) == text
    assert all(0 < len(part) <= limit for part in parts)
    assert not any(unicodedata.category(part[0])[0] == "M" for part in parts)
    assert [unit for part in parts for unit in units(part)] == units(text)
    assert len(parts) <= 2 * -(-len(text) // limit)


@pytest.mark.parametrize(
    ("text", "border"),
    [
        ("mama na. baba", Border.SENTENCE),
        ('mama "na!" baba', Border.SENTENCE),
        ("mama na… baba", Border.SENTENCE),
        ("天地玄黃。宇宙洪荒", Border.SENTENCE),
        ("天地「玄黃。」宇宙洪荒", Border.SENTENCE),
        ("你好吗?宇宙洪荒", Border.SENTENCE),  # a Latin mark in a script that puts no space behind it
        ("कखगघ। चछज", Border.SENTENCE),
        ("कखगघ॥चछज", Border.SENTENCE),
        ("بسم الله؟ كان", Border.SENTENCE),
        ("یہ ہے۔ کتاب", Border.SENTENCE),
        ("Սկիզբէր։ Եւ", Border.SENTENCE),
        ("በመጀመሪያ። ቃል", Border.SENTENCE),
        ("កកកក។គគគ", Border.SENTENCE),
        ("မြန်မာ။မြန်", Border.SENTENCE),
        ("བོད་ཡིག།ཡིག་", Border.SENTENCE),
        ("ꦏꦏꦏꦏ꧉ꦏꦏ", Border.SENTENCE),
        ("ߒߞߏߞߊ߹ ߞߊ", Border.SENTENCE),
        ("mama na: baba", Border.SENTENCE),
        ("mama na — baba", Border.SENTENCE),
        ("mama na, baba", Border.CLAUSE),
        ("天地玄黃，宇宙洪荒", Border.CLAUSE),
        ("天地玄黃、宇宙洪荒", Border.CLAUSE),
        ("بسم الله، كان", Border.CLAUSE),
        ("በመጀመሪያ፣ ቃል", Border.CLAUSE),
        ("mama na baba", Border.WORD),
        ("កកកក\u200bគគគ", Border.WORD),
        ("བོད་ཡིག་ཡིག་", Border.WORD),
        ("በመጀመሪያ፡ቃልነበ", Border.WORD),
        ("ヨハネ・マルコ", Border.WORD),
        ("mamana-babanaleo", Border.WORD),
        ("天地玄黃宇宙洪荒", Border.LETTER),
    ],
)
def test_the_cut_is_behind_the_strongest_mark(text, border):
    first, *others = cut(text, len, len(text) - 1)
    assert first.border is border
    assert first.text + "".join(part.text for part in others) == text


@pytest.mark.parametrize("number", ["3.14159", "12,500,000", "１２，５００", "10:30"])
def test_a_number_is_kept_whole_where_words_are_spaced(number):
    parts = [part.text.strip() for part in cut(f"mama na {number} baba", len, 14)]
    assert any(number in part for part in parts)


def test_a_space_is_better_than_the_middle_of_a_word_and_a_sentence_better_than_a_space():
    text = "mama na baba. leo asubuhi sokoni"
    assert [part.text for part in cut(text, len, 15)] == ["mama na baba. ", "leo asubuhi ", "sokoni"]


@pytest.mark.parametrize("within", ["Yohana", "1234567", "Йоханна"])
def test_a_name_or_number_of_another_script_is_kept_whole(within):
    parts = [part.text for part in cut(("天地玄黃宇宙洪荒" * 3 + within) * 5, len, 11)]
    assert sum(within in part for part in parts) == 5
    assert max(map(len, parts)) <= 11


def test_a_letter_whose_marks_alone_are_too_many_is_cut_all_the_same():
    text = "a" + "\u0301" * 50
    parts = [part.text for part in cut(text, len, 20)]
    assert "".join(parts) == text
    assert max(map(len, parts)) <= 20


def test_sizes_need_not_be_those_of_the_letters():
    parts = [part.text for part in cut("天" * 100, lambda text: 4 * len(text), 30)]
    assert "".join(parts) == "天" * 100
    assert max(map(len, parts)) == 7


def test_a_hundred_thousand_letters_without_a_space_are_measured_a_few_times_only():
    measured = []

    def size_of(text):
        measured.append(len(text))
        return len(text)

    text = UNSPACED["Thai"] * 2000
    assert "".join(part.text for part in cut(text, size_of, 240)) == text
    assert sum(measured) < 20 * len(text)


ANY_TEXT = st.one_of(
    st.text(max_size=60),
    st.text(st.sampled_from("ab กเา่ក្\u200b་།天。、「ーaa,.!?\u0301 3٣,.;…—-("), max_size=60),
)


@given(ANY_TEXT, st.integers(1, 20))
def test_parts_are_the_text_never_empty_and_never_above_the_limit(text, limit):
    parts = [part.text for part in cut(text, len, limit)]
    assert "".join(parts) == text
    assert all(0 < len(part) <= limit for part in parts)


@given(ANY_TEXT, st.integers(1, 20))
def test_only_what_is_too_long_by_itself_is_cut_inside(text, limit):
    inside = set()
    at = 0
    for unit in units(text):
        inside |= set(range(at + 1, at + len(unit))) if len(unit) <= limit else set()
        at += len(unit)
    at = 0
    for part in cut(text, len, limit):
        assert at not in inside
        at += len(part.text)
