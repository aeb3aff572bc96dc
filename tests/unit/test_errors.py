"""What other programs say, inside sentences of ours."""

import pytest

from codex_worker.errors import AccessDenied, DataError, ServerUnreachable, UserError, clause
from codex_worker.git.process import network_error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("It exists.", "It exists"),
        ("no\n  such file. ", "no such file"),
        ("why...", "why"),
        ("", ""),
        (OSError("a."), "a"),
    ],
)
def test_a_clause_is_one_line_without_a_full_stop(words, said):
    assert clause(words) == said


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("fatal: Authentication failed.\nPlease make sure that\nthe repository exists.", AccessDenied),
        ("fatal: The remote end hung up.", ServerUnreachable),
        ("fatal: the remote end hung up", ServerUnreachable),
    ],
)
def test_gits_words_stand_in_whole_sentences(words, kind):
    error = network_error("fetch", words)
    assert type(error) is kind
    assert str(error).endswith(".") and ".." not in str(error) and "\n" not in str(error)


def test_an_error_that_quotes_a_long_file_is_cut():
    assert str(DataError("short")) == "short"
    assert len(str(DataError("long " * 5000))) < 5000


def test_an_error_that_quotes_half_a_letter_can_be_written_down():
    assert str(UserError("'\ud800' is no verse")) == "'?' is no verse"
