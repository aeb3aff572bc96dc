"""What of a text is a letter, as its project's texts have it."""

import itertools
import random
import unicodedata
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.text.letters import WordMarks, learn_marks
from codex_worker.text.losses import loss_lines
from codex_worker.text.normalise import TextRecipe, dropped_lines, recipe_for
from codex_worker.text.signs import CLINGING, kind_of, tidied

SIX = 6  # verses that say the same


def kept(words, verses=SIX):
    """The words of a project as its transcriber would write them."""
    texts = [" ".join(words)] * verses
    return recipe_for(texts).apply(texts[0]).split()


@pytest.mark.parametrize(
    "words",
    [
        ["ka:na", "to:ki"],
        ["ka꞉na", "toːki"],
        ["ka;na", "to;ki"],
        ["col·la", "pa·ma"],
        ["bo=la", "ka+ti", "zi*mo"],
        ["ka~na", "ka^na", "ka_na", "ka@na", "ka&na", "ka/na", "ka\\na", "ka|na", "ka$na", "ka%na", "ka#na"],
        ['"kwa', "=bha", "kwa"],
        ["kwa=", "bha^", "kwa"],
        ["'yua", '"yua', "yua"],
        ["n!ai", "g!a", "!kung"],
        ["|gai", "//gau", "≠an", "ǀgai", "ǁgau"],
        ["ma?a", "ka?o"],
        ["k.wa", "t.lo"],
        ["ka//na", "ka''na"],
        ["ma-'alam", "a'-o"],
        ["צ׳יפס", "צה״ל", "ר׳", 'צה"ל'],
        ["אל־הארץ", "על־פני"],
        ["ի՞նչ", "ե՛կ", "ո՜հ"],
        ["བོད་ཡིག་"],
        ["ሰላም፡ዓለም", "ቃል፡ነበረ"],
        ["约翰·马克"],
        ["イエス・キリスト"],
        ["ka\uf171so", "\uf175mena", "\U000f0123a"],
        ["a\ua7cdo", "ma\ua7dba", "\U00010d70\U00010d71", "\U00011f04\U00011f34"],
        ["كـتـاب", "می\u200cخواهم", "क्\u200dष"],
        ["x\u0301a", "m\u0329n\u20dd", "o\u0361a"],
        ["ʼalam", "ʻaina", "ꞌak", "kʷa", "tʰa", "ma˥ma", "ma꞊ma"],
        ["si¹to²", "ma1na2"],
        ["၎င်း", "၏"],
        ["well-known", "ni'o"],
    ],
    ids=lambda words: ascii(" ".join(words))[:40],
)
def test_signs_that_a_project_writes_in_its_words_are_letters(words):
    assert kept(words) == [unicodedata.normalize("NFC", word) for word in words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mungu alisema: Nuru, iwe. Ndiyo? La! «Naam» “ona” (huyu) [na] – yule — basi…", None),
        ("word,word second,third", "word word second third"),
        ("3:16 na 4:12,5 1.000 12/5", "3 16 na 4 12 5 1 000 12 5"),
        ("1.Hapo mwa:3 2:Neno", "1 hapo mwa 3 2 neno"),
        ("he--she said -- so", "he she said so"),
        ("起初,神创造:天地。地是空虚；混沌！", "起初 神创造 天地 地是空虚 混沌"),
        ("他说“你好”吧", "他说 你好 吧"),
        ("ในปฐมกาล,พระเจ้า!สร้าง", "ในปฐมกาล พระเจ้า สร้าง"),
        ("في البدء، كان؛ الكلمة؟", "في البدء كان الكلمة"),
        ("आदि में। वचन॥ था", "आदि में वचन था"),
        ("በመጀመሪያ። ቃል፤ ነበረ", "በመጀመሪያ ቃል ነበረ"),
        ("ἐν ἀρχῇ· ὁ λόγος;", "ἐν ἀρχῇ ὁ λόγος"),
        ("בראשית׃ ברא", "בראשית ברא"),
        ("¿Quién? ¡Él! •uno ¶dos §tres", "quién él uno dos tres"),
        ("ok😀ok ❤️ a\ufffdb", "ok ok a b"),
        ("'word' \"word\" word ‘word’ „word“ ‚word‘ word", "word " * 6 + "word"),
        ('alisema \'Amina\' "Amina" "Ni yeye" na', "alisema amina amina ni yeye na"),
        ("word* word LORD* lord LORD", "word word lord lord lord"),
    ],
)
def test_punctuation_is_no_letter_however_often_it_stands_there(text, words):
    expected = words or "mungu alisema nuru iwe ndiyo la naam ona huyu na yule basi"
    assert recipe_for([text] * SIX).apply(text) == expected


def verses(count=400, seed=0):
    """Made-up verses of a large project, with punctuation as people put it."""
    random_words = random.Random(seed)
    syllables = [a + b for a, b in itertools.product("bdgklmnprst", "aeiou")]
    words = ["".join(random_words.choices(syllables, k=k)) for k in (1, 2, 2, 2, 3, 3) for _ in range(60)]
    texts = []
    for _ in range(count):
        chosen = random_words.choices(words, k=14)
        chosen[3] += ","
        chosen[7] += ": "
        chosen[8] = f'"{chosen[8].capitalize()}'
        chosen[12] += random_words.choice(["?", "!", ";"])
        chosen[13] += '."'
        texts.append(" ".join(chosen))
    return texts


def test_a_space_that_is_missing_here_and_there_makes_no_letter():
    texts = verses()
    for at, mark in enumerate(",.:;!?" * 8):
        words = texts[at].split()
        texts[at] = " ".join([*words[:4], f"{words[5]}{mark}{words[6]}", *words[7:]])
    assert learn_marks(texts) == WordMarks()


def test_a_space_that_is_missing_at_every_comma_makes_no_letter():
    texts = [text.replace(", ", ",").replace(": ", ":") for text in verses()]
    assert learn_marks(texts) == WordMarks()


def test_a_letter_in_one_or_two_places_of_a_large_text_is_none_and_is_said():
    texts = [*verses(), "ka=na", "ka=na"]
    recipe = recipe_for(texts)
    assert "=" not in recipe.within
    assert dropped_lines(recipe, texts)[0] == (
        "'=' (U+003D EQUALS SIGN) is not written, although it stands between letters: 2 times in 2 texts"
    )


def test_marks_in_few_words_of_a_large_text_with_much_punctuation_are_letters():
    texts = [f"{text} ka:na to:ki mu·la" for text in verses(100)] + verses(300, seed=1)
    marks = learn_marks(texts)
    assert marks.within == "'-:·"
    assert (marks.initial, marks.final) == ("", "")
    assert TextRecipe(within=marks.within).apply('sema: "Ka:na!" 3:16') == "sema ka:na 3 16"


def test_a_quotation_mark_that_is_a_tone_is_told_from_curly_quotes():
    texts = ['"kwa ni kwa', '“Ni "kwa”', '"kwa "bha ni'] * 3
    recipe = recipe_for(texts)
    assert recipe.apply('“Ni "kwa”') == 'ni "kwa'


def test_a_colon_is_a_letter_at_the_end_of_words_where_it_is_one_within():
    texts = ["ka:na to: mi: sa", "mi: ka:na lu:po to: na"] * 3
    assert recipe_for(texts).apply("To: ka:na, mi: sa.") == "to: ka:na mi: sa"


def test_each_kind_of_sign_that_is_dropped_is_counted():
    texts = ["col·la, 😀 (3:16)", "pa·ma."]
    assert dropped_lines(recipe_for(texts), texts) == [
        "'·' (U+00B7 MIDDLE DOT) is not written, although it stands between letters: 2 times in 2 texts",
        "not written, as punctuation or digits: , (1) 😀 (1) ( (1) : (1) ) (1) . (1)",
    ]
    without_digits = TextRecipe(remove_numbers=True)
    assert dropped_lines(without_digits, ["a 12"]) == ["not written, as punctuation or digits: 1 (1) 2 (1)"]
    assert dropped_lines(TextRecipe(remove_punctuation=False), texts) == []


def test_error_rates_see_what_people_wrote_between_letters():
    recipe = TextRecipe()
    assert recipe.apply("Col·la, word,word") == "col la word word"
    assert recipe.written("Col·la, word,word") == "col·la word word"


def test_more_signs_than_a_page_can_show_are_summed_up():
    assert loss_lines(["abc", "ab"], "is lost", at_most=1) == [
        "'a' (U+0061 LATIN SMALL LETTER A) is lost: 2 times in 2 texts",
        "2 more signs: each is lost; 3 times together",
    ]


WRITTEN = st.text(st.characters(exclude_categories=()), max_size=30)
MARKED = st.text("aA9 :;=·'\"-,.!?/*@^~|׳་፡\uf171\ua7cd\u200d\u0301“”İ❤\ufe0f", max_size=30)


def signs(text):
    """All that is seen of a text: without spaces, and without what clings to another sign."""
    parted = unicodedata.normalize("NFD", text.translate(dict.fromkeys(map(ord, "“”„‟"), '"')))
    return Counter(sign for sign in parted if not sign.isspace() and kind_of(sign) != CLINGING)


@settings(max_examples=60, deadline=None)
@given(st.lists(WRITTEN | MARKED, max_size=6), st.booleans(), st.booleans())
def test_every_sign_of_any_script_is_written_or_counted(texts, remove_punctuation, remove_numbers):
    texts = texts * 4
    wanted = {"remove_punctuation": remove_punctuation, "remove_numbers": remove_numbers}
    recipe = recipe_for(texts, lowercase=False, **wanted)
    for text in texts:
        result = recipe.normalise(text)
        assert signs(tidied(text)) == signs(result.text) + signs("".join(result.dropped))
        assert recipe.apply(result.text) == result.text
        small = replace(recipe, lowercase=True)
        assert small.apply(small.apply(text)) == small.apply(text)


@settings(max_examples=30, deadline=None)
@given(st.lists(WRITTEN | MARKED, max_size=6))
def test_what_is_dropped_of_a_text_is_named_in_the_lines_for_people(texts):
    recipe = recipe_for(texts)
    lines = " ".join(dropped_lines(recipe, texts))
    assert all(
        sign in lines or f"U+{ord(sign):04X}" in lines
        for text in texts
        for sign in recipe.normalise(text).dropped
    )
