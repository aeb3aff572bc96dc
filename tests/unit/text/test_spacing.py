import pytest

from codex_worker.text.spacing import divisible, has_words

THAI = "ในปฐมกาลพระวาทะทรงดำรงอยู่ และพระวาทะทรงอยู่กับพระเจ้า และพระวาทะทรงเป็นพระเจ้า"


@pytest.mark.parametrize(
    "texts",
    [
        ["in the beginning was the word"],
        ["amen"],  # a single word is one
        ["amen", "selah"],
        ["обещание"],
        ["आदि में वचन था"],
        ["በመጀመሪያ ቃል ነበረ"],
        ["בראשית ברא אלהים"],
        ["태초에 말씀이 계시니라"],
        ["qanuqtuurniaqtugut pijunnaqsilluta tamaani"],  # long words are words
        ["ki te timatanga te kupu"],
        ["ใน ปฐม กาล พระ วาทะ ทรง ดำรง อยู่"],  # a project that parts words with spaces
        ["太初 有 道 道 与 神 同在"],
        ["ကြောင့် အစ အ ဦး ၌"],
        ["in the beginning 太初有道 was the word"],
        ["", "in the beginning"],
    ],
)
def test_there_are_words_where_spaces_part_them(texts):
    assert has_words(texts)


@pytest.mark.parametrize(
    "texts",
    [
        [THAI],
        ["ใน"],  # no space anywhere, so nothing is known of words
        ["ใน", "กาล"],
        ["ໃນຕົ້ນເດີມນັ້ນພຣະທັມໄດ້ເປັນຢູ່ແລ້ວ"],
        ["កាលដើមដំបូងបង្អស់ ព្រះបន្ទូលជាព្រះ"],
        ["အစအဦး၌နှုတ်ကပတ်တော်ရှိ၏"],
        ["ཐོག་མར་བཀའ་ཡོད་པ་དང་"],
        ["ཐོག མར བཀའ ཡོད པ དང"],  # syllables, where its marks are made spaces
        ["太初有道 道与神同在 道就是神"],  # clauses, where punctuation is made spaces
        ["はじめに ことばがあった ことばは かみとともに"],
        ["ꦏꦭꦥꦸꦫꦮꦱꦔꦧ꧀ꦢꦶꦏꦲꦸꦮꦶꦱ꧀"],
        ["ᬓᬮᬧᬸᬭ᭄ᬯᬰᬩ᭄ᬤᬲᬸᬧᬸᬦ᭄"],
        ["ꀋꂿꄮꃀꋍꑭꌺꉪꋒꌠ"],
        ["inthebeginningwasthewordandthewordwaswithgod"],
        ["太初有道 John 道与神同在"],
    ],
)
def test_there_are_none_where_spaces_part_clauses_or_syllables_or_are_missing(texts):
    assert not has_words(texts)


def test_one_odd_verse_decides_nothing():
    assert has_words(["in the beginning was the word"] * 20 + [THAI.replace(" ", "")])
    assert not has_words([THAI] * 20 + ["ใน ปฐม กาล"])


@pytest.mark.parametrize(
    ("stretch", "parts"),
    [
        ("beginning", ["beginning"]),
        ("พระเจ้า", ["พ", "ระ", "เจ้า"]),
        ("太初有道", ["太", "初", "有", "道"]),
        (
            "donaudampfschifffahrtsgesellschaft",
            list("donaudampfschifffahrtsgesellschaft"),
        ),  # no word is longer
    ],
)
def test_a_clause_without_spaces_may_be_cut_between_its_letters_and_a_word_may_not(stretch, parts):
    assert divisible(stretch) == parts
