"""A VITS voice reads text by its own list of characters, as the published tokenizer does."""

import json

import pytest
from transformers import VitsTokenizer

from codex_worker.errors import DataError
from codex_worker.stabletts.phrases import phrases
from codex_worker.vits.text import BLANK, MmsFrontend, read_mms_frontend
from tests.support.mms_voice import SYMBOLS, mms_folder

TEXTS = [
    "mama na baba",
    'Yesu alisema: "Njooni kwangu!"',
    "  Petro  na Yohana ",
    "ng'ombe wa Nebukadneza",
    "Zab 12; 34",
    "a",
]


@pytest.mark.parametrize("settings", [{}, {"add_blank": False}])
@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_those_of_the_published_tokenizer(tmp_path, settings, text):
    folder = mms_folder(tmp_path / "mms-tts-swh", **settings)
    frontend = read_mms_frontend(folder, len(SYMBOLS))
    (phrase,) = phrases(text, frontend)
    theirs = VitsTokenizer(folder / "vocab.json", phonemize=False, **settings)(" ".join(text.split()))
    assert list(frontend.network_ids(phrase.ids)) == theirs["input_ids"]


def test_a_voice_that_romanises_reads_any_script(tmp_path):
    folder = mms_folder(tmp_path / "mms-tts-rus", is_uroman=True)
    frontend = read_mms_frontend(folder, len(SYMBOLS))
    theirs = VitsTokenizer(folder / "vocab.json", phonemize=False, is_uroman=True)("Иисус и Пётр")
    assert list(phrases("Иисус и Пётр", frontend)[0].ids) == theirs["input_ids"]
    assert MmsFrontend.learn(["Пётр"], base=frontend) == frontend


def test_what_the_list_lacks_is_read_without_its_marks_or_reported():
    frontend = MmsFrontend((BLANK, *"abe n"))
    encoding = frontend.encode("Bé ñ ц «a»?")
    assert "".join(frontend.symbols[number] for number in encoding.ids) == "be n  a"
    assert encoding.substituted == ("é", "ñ")
    assert encoding.dropped == ("ц",)
    assert encoding.unread == ("«", "»", "?")
    assert frontend.encode("?!").ids == ()


def test_the_romanian_voice_reads_the_older_letter():
    frontend = MmsFrontend((BLANK, *"ţai"), language="ron")
    assert frontend.encode("Ța").ids == (1, 2)


def test_a_list_is_learnt_from_the_texts_and_grows_behind_a_base():
    first = MmsFrontend.learn(["Mama, na baba!"])
    assert first.symbols == (BLANK, " ", "!", ",", "a", "b", "m", "n")
    grown = MmsFrontend.learn(["éa IR"], base=first, languages=["tr"])
    assert grown.symbols == (*first.symbols, "r", "é", "ı")
    assert [grown.symbols[number] for number in grown.encode("IR").ids] == ["ı", "r"]
    assert MmsFrontend.from_state(json.loads(json.dumps(grown.state()))) == grown


@pytest.mark.parametrize(
    "change",
    [
        {"symbols": None},
        {"symbols": []},
        {"symbols": ["a" * 100]},
        {"symbols": ["a"] * 9_000},
        {"symbols": [1]},
        {"is_uroman": 1},
        {"language": None},
        {"casing": "odd"},
    ],
)
def test_a_state_that_no_frontend_wrote_is_refused(change):
    state = MmsFrontend((BLANK, "a")).state()
    with pytest.raises(DataError, match="does not say which letters"):
        MmsFrontend.from_state({**state, **change})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.json", "[]", "no list of characters"),
        ("vocab.json", '{"a": 99}', "does not fit its network"),
        ("vocab.json", '{"a": true}', "does not fit its network"),
        ("vocab.json", '{"a": -1}', "does not fit its network"),
        ("vocab.json", "{" + " " * 2_000_000 + "}", "larger than any real one"),
        ("vocab.json", "[" * 100_000, "no readable vocab.json"),
        ("tokenizer_config.json", "nothing", "no readable tokenizer_config.json"),
        ("tokenizer_config.json", '{"phonemize": true}', "reads phones of another program"),
    ],
)
def test_a_folder_that_holds_no_mms_voice_says_what_is_wrong(tmp_path, name, content, message):
    folder = mms_folder(tmp_path / "mms-tts-swh")
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_mms_frontend(folder, len(SYMBOLS))
