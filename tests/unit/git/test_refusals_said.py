"""What people read of a push that the server did not take."""

import pytest

from codex_worker.git.refusals import refusal_sentence

CHECKED_OUT = """\
To file:///srv/mark
!\t1234:refs/heads/main\t[remote rejected] (branch is currently checked out)
Done
remote: error: refusing to update checked out branch: refs/heads/main
remote: error: By default, updating the current branch in a non-bare repository is denied, because
remote: error: it will make the index and work tree inconsistent with what you pushed, and will
remote: error: require 'git reset --hard' to match the work tree to HEAD.
error: failed to push some refs to 'file:///srv/mark'"""


@pytest.mark.parametrize(
    ("words", "begins", "holds"),
    [
        (
            CHECKED_OUT,
            "The server refused the push: branch is currently checked out and error: refusing to update",
            "git clone --bare",
        ),
        (
            "!\tab:refs/heads/main\t[remote rejected] (pre-receive hook declined)\n"
            "remote: GitLab: You are not allowed to push.\n",
            "The server refused the push: pre-receive hook declined and GitLab: You are not allowed to push.",
            "",
        ),
        (
            "!\tab:refs/heads/main\t[remote rejected] (pre-receive hook declined)",
            "The server refused the push: pre-receive hook declined.",
            "",
        ),
        ("no such words", "The server refused the push: no such words.", ""),
        ("", "The server refused the push.", ""),
        ("remote: " + "word " * 1000, "The server refused the push: word word", "word ..."),
    ],
)
def test_a_refusal_says_why_from_its_beginning_and_in_whole_words(words, begins, holds):
    said = refusal_sentence(words)
    assert said.startswith(begins) and holds in said
    assert len(said) < 900 and said.endswith((".", "one.")) and ".." not in said.replace("...", "")
