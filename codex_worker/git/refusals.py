"""What a server says to a push that it does not take."""

import re
import textwrap

from codex_worker.errors import clause

_SHOWN_CHARACTERS = 600
_REASON = re.compile(r"^!.*\[[a-z ]+\]\s*\((.*)\)\s*$")
_CHECKED_OUT = "checked out"


def refusal_sentence(words: str) -> str:
    """A sentence of git's report (`--porcelain`) and the lines that the server sent along.

    The beginning of what the server said is kept, because that is where it says why.
    """
    lines = [line.strip() for line in words.splitlines()]
    reasons = dict.fromkeys(match[1] for line in lines if (match := _REASON.match(line)))
    remote = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    said = clause(" ".join(remote) if any(remote) else "" if reasons else words)
    short = textwrap.shorten(said, _SHOWN_CHARACTERS, placeholder=" ...")
    why = " and ".join(filter(None, [", ".join(reasons), short]))
    advice = " Give a bare repository: `git clone --bare` makes one." if _CHECKED_OUT in words else ""
    return f"The server refused the push: {why}.{advice}" if why else f"The server refused the push.{advice}"
