"""Any script in Latin letters, with uroman (Hermjakob, May and Knight 2018)."""

from functools import cache
from typing import Any


def romanise(text: str, language_code: str | None = None) -> str:
    """Write a text in Latin letters.

    Args:
        language_code: three letters of ISO 639-3, for the few languages that have rules of their own.
    """
    return str(_uroman().romanize_string(text, lcode=language_code))


@cache
def _uroman() -> Any:
    """Loading takes two seconds and a verse one millisecond: once, and not before it is needed."""
    import uroman

    return uroman.Uroman()
