"""Negative numbers on a command line."""

from collections.abc import Sequence


def with_negative_numbers(words: Sequence[str]) -> list[str]:
    """The words with each negative number joined to the option before it.

    argparse takes `-inf` and `-1e3` for options, and says of the one before that its value is missing, where
    the setting has a sentence for it.
    """
    joined: list[str] = []
    for word in words:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and _is_negative(word):
            joined[-1] = f"{joined[-1]}={word}"
        else:
            joined.append(word)
    return joined


def _is_negative(word: str) -> bool:
    if not word.startswith("-"):
        return False
    try:
        float(word)
    except ValueError:
        return False
    return True
