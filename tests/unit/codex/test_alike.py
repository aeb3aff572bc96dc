"""Which file a written path means: the one that is so called, else the only one that may be meant."""

import unicodedata
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from codex_worker.codex.alike import FilesByName, TwoAlike

FOLDER = ".project/attachments/pointers/"
LETTERS = "aÀéßÑøçşǰΐσकखกؤ한ẞ1 -()%+'&"
NAMES = st.text(LETTERS + "̧́", min_size=1, max_size=12).map(lambda name: f"{name}.webm")


def meant(path, *files):
    return FilesByName(lambda: files).meant_by(path)


def nfc(text):
    return unicodedata.normalize("NFC", text)


def nfd(text):
    return unicodedata.normalize("NFD", text)


FORMS: dict[str, Callable[[str], str]] = {
    "composed": nfc,
    "decomposed": nfd,
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "coded": quote,
    "all coded": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "coded in small letters": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "coded by half": lambda text: text.replace("%", "%25").replace(" ", "%20"),
    "coded and decomposed": lambda text: quote(nfd(text)),
    "coded and in capitals": lambda text: quote(text.upper()),
}


@pytest.mark.parametrize(
    ("written", "file"),
    [
        (nfd("Génesis-(3)/a.webm"), nfc("Génesis-(3)/a.webm")),
        (nfc("Génesis-(3)/a.webm"), nfd("Génesis-(3)/a.webm")),
        (nfc("Gé/") + nfd("é.webm"), nfd("Gé/") + nfc("é.webm")),
        ("mrk/Audio-1.WEBM", "MRK/audio-1.webm"),
        ("STRASSE.webm", "straße.webm"),
        ("MRK/a%20b.webm", "MRK/a b.webm"),
        ("MRK/a b.webm", "MRK/a%20b.webm"),
        ("Je%CC%81su/a.webm", nfc("Jésu/a.webm")),
        ("MRK%2Fa.webm", "MRK/a.webm"),
        ("MRK/100%25.webm", "MRK/100%.webm"),
        ("MRK/100%.webm", "MRK/100%.webm"),
        ("MRK/%C3%A9.webm", "MRK/%c3%a9.webm"),
        ("MRK/%e9.webm", "MRK/%E9.webm"),  # no UTF-8, but the same name in another case
    ],
)
def test_a_path_means_the_only_file_that_may_be_meant(written, file):
    assert meant(FOLDER + written, FOLDER + file, FOLDER + "MRK/other.webm") == FOLDER + file


@pytest.mark.parametrize(
    ("written", "files", "difference"),
    [
        ("É.webm", [nfd("É.webm"), "é.webm"], "case"),
        ("A.webm", ["a.webm", "A.WEBM"], "case"),
        (nfd("ǭ.webm"), [nfc("ǭ.webm"), nfc("ǫ") + "\u0304.webm"], "accents"),
        ("x%20y.webm", ["x y.webm", "X y.webm"], "case"),
        ("X%20y.webm", ["x y.webm", "x%20y.webm"], "spelled alike"),
    ],
)
def test_where_two_files_could_be_meant_neither_is_guessed_and_both_are_named(written, files, difference):
    with pytest.raises(TwoAlike, match=difference) as caught:
        meant(written, *files)
    assert all(file in str(caught.value) for file in files)


@pytest.mark.parametrize("written", ["a%20b.webm", "a b.webm", "A b.webm"])
def test_the_file_that_is_called_so_comes_first(written):
    assert meant(written, "a%20b.webm", "a b.webm", "A b.webm", "A B.webm") == written


@pytest.mark.parametrize(
    "written", ["b.webm", "á.webm", "a.wav", "a", "../a.webm", "%2E%2E%2Fb.webm", "a%00.webm", "%FF.webm", ""]
)
def test_another_name_is_another_file(written):
    assert meant(written, "a.webm", "\ufffd.webm", "b/a.webm") is None


@given(NAMES, st.sampled_from(sorted(FORMS)))
def test_any_form_of_a_name_finds_its_only_file(name, form):
    assert meant(FORMS[form](name), name) == name


@given(NAMES, st.sampled_from(sorted(FORMS)), st.sampled_from([nfc, nfd, str.upper, str.lower]))
def test_any_form_of_a_name_is_found_only_if_nothing_else_may_be_meant(name, form, other_form):
    written, other = FORMS[form](name), other_form(name)
    assume(other != name)
    if written in {name, other}:
        assert meant(written, name, other) == written
    else:
        with pytest.raises(TwoAlike):
            meant(written, name, other)


@given(NAMES, NAMES)
def test_names_are_alike_in_both_directions(one, other):
    assert (meant(one, other) is None) == (meant(other, one) is None)
    assert meant(one, one) == one


def test_the_files_are_not_listed_before_they_are_needed():
    asked = []

    def list_paths():
        asked.append(1)
        return ["a.webm"]

    files = FilesByName(list_paths)
    assert asked == []
    assert [files.meant_by(path) for path in ("a.webm", "A.webm", "b.webm")] == ["a.webm", "a.webm", None]
    assert asked == [1]
