import pytest

from codex_worker.codex.reference import VerseReference, parse_reference
from tests.support.present import present


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("MRK 1:3", VerseReference("MRK", 1, 3, 1, 3)),
        ("mrk 1:3", VerseReference("MRK", 1, 3, 1, 3)),
        ("1PE 3:1-2", VerseReference("1PE", 3, 1, 3, 2)),
        ("MRK 1:45–2:2", VerseReference("MRK", 1, 45, 2, 2)),
        ("MRK 1:3a", VerseReference("MRK", 1, 3, 1, 3)),
        ("MRK 1:45 – 2:2", VerseReference("MRK", 1, 45, 2, 2)),
        ("MRK\u00a01 : 3\u200b", VerseReference("MRK", 1, 3, 1, 3)),
        ("MRK 4", VerseReference("MRK", 4)),
        ("JON", VerseReference("JON")),
        ("Song of Songs 2:1", VerseReference("SONG OF SONGS", 2, 1, 2, 1)),
        ("GEN 1:1:cue-12.5", VerseReference("GEN", 1, 1, 1, 1, child=True)),
        ("GEN.1.1", None),
        ("MRK 2:5-3", None),
        ("b7288c71-804a-8548-cc74-30254617f167", None),
        ("", None),
        ("x " * 5000 + "1:1", None),
    ],
)
def test_what_a_text_refers_to(text, reference):
    assert parse_reference(text) == reference


@pytest.mark.parametrize(
    ("entry", "cell", "covered"),
    [
        ("MRK 1:3", "MRK 1:3", True),
        ("MRK 1:3", "MRK 1:4", False),
        ("MRK 1:3", "JON 1:3", False),
        ("MRK 1:3", "MRK 1:2-4", True),
        ("MRK 1:2-4", "MRK 1:4", True),
        ("MRK 1:2-4", "MRK 1:5", False),
        ("MRK 1:45-2:2", "MRK 2:1", True),
        ("MRK 1:45-2:2", "MRK 2:3", False),
        ("MRK 2", "MRK 2:9", True),
        ("MRK 2", "MRK 20:9", False),
        ("MRK 2", "MRK 2", True),
        ("MRK 2", "MRK 1:45-2:2", True),
        ("MRK 1", "MRK 1:45-2:2", True),
        ("MRK 3", "MRK 1:45-2:2", False),
        ("MRK 1:3a", "MRK 1:3a", True),
        ("MRK 1:3a", "MRK 1:3b", False),
        ("MRK 1:3", "MRK 1:3b", True),
        ("MRK 1:3a", "MRK 1:3b-4", False),
        ("MRK", "MRK 2:9", True),
        ("MRK", "MRK", True),
        ("MRK 1:1", "MRK", False),
        ("MRK 1", "MRK", False),
        ("MRK 1:1", "MRK 1", False),
    ],
)
def test_what_an_entry_of_a_list_covers(entry, cell, covered):
    assert present(parse_reference(entry)).covers(present(parse_reference(cell))) is covered


@pytest.mark.parametrize(
    "text", ["MRK", "MRK 4", "MRK 1:3", "1PE 3:1-2", "MRK 1:45-2:2", "MRK 1:3a", "MRK 1:3b-4"]
)
def test_a_reference_is_written_as_it_is_read(text):
    assert str(parse_reference(text)) == text
