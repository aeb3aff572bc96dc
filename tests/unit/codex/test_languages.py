import json

import pytest

from codex_worker.codex.languages import target_languages
from sample.project_files import project_files

SOURCE = {"tag": "eng", "projectStatus": "source"}


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        ([SOURCE, {"tag": "tur", "refName": "Turkish", "projectStatus": "target"}], ("tur",)),
        ([{"tag": "az-Latn", "projectStatus": "target"}], ("az-Latn",)),
        ([SOURCE], ()),
        ([{"projectStatus": "target"}, {"tag": 3, "projectStatus": "target"}, "tr", None], ()),
        ({"tag": "tur"}, ()),
        (None, ()),
    ],
)
def test_the_target_language_is_the_one_that_the_project_says(languages, expected):
    assert target_languages(json.dumps({"languages": languages}).encode()) == expected


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"languages": [[]]}'])
def test_a_file_that_says_nothing_gives_no_language(data):
    assert target_languages(data) == ()


def test_the_sample_says_its_language():
    assert target_languages(project_files()["metadata.json"].encode()) == ("eng",)
