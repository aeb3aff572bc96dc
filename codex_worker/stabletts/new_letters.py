"""Where the vectors of letters that a voice never learnt start: at those of letters that sound like them.

A network that has read `k` a million times knows what a `q` nearly is. Fine-tuning on minutes of a language
works where its symbols begin with what is known of their sounds; from noise, each has to be learnt anew.
"""

import unicodedata
from collections.abc import Collection, Mapping, Sequence

from codex_worker.text.romanise import romanise

# The official alphabet is one of pronunciations: it has neither of these letters, and writes their sounds so.
_SOUNDS = {"c": "k", "q": "k", "r": "ɹ"}
_SHOWN = 40


def start_from(symbols: Sequence[str], known: Collection[str]) -> dict[str, tuple[str, ...]]:
    """For each symbol that is not among the `known`, the known ones whose mean its vector starts from.

    A letter with marks starts from its letter; any other from the letters that uroman writes it with (`ш`
    from `s` and `h`). Empty where nothing is known of it: signs, tone marks, clicks.
    """
    at_hand = frozenset(known)
    return {symbol: _kin(symbol, at_hand) for symbol in symbols if symbol not in at_hand}


def describe(starts: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Sentences for people about what `start_from` found."""
    akin = [f"{symbol} ({' '.join(kin)})" for symbol, kin in starts.items() if kin]
    alone = [symbol for symbol, kin in starts.items() if not kin]
    lines = []
    if akin:
        lines.append(f"{len(akin)} new symbols start from known ones that sound like them: {_listed(akin)}")
    if alone:
        lines.append(
            f"{len(alone)} new symbols start from random vectors, because nothing is known of their sounds: "
            f"{_listed(alone)}"
        )
    return lines


def _kin(symbol: str, known: frozenset[str]) -> tuple[str, ...]:
    decomposed = unicodedata.normalize("NFD", symbol)
    letter, marks = decomposed[0], decomposed[1:]
    if marks and all(unicodedata.category(mark).startswith("M") for mark in marks):
        base = _known_sound(letter, known)
        if base:
            return (base,)
    own = _known_sound(symbol, known)
    if own:
        return (own,)
    if not unicodedata.category(letter).startswith(("L", "M")):
        return ()
    found = (_known_sound(roman, known) for roman in romanise(symbol).lower())
    return tuple(sound for sound in found if sound)


def _known_sound(letter: str, known: frozenset[str]) -> str | None:
    """The letter itself, or what stands for its sound; no pause and no sign."""
    return next(
        (each for each in (letter, _SOUNDS.get(letter, "")) if each in known and each.isalpha()),
        None,
    )


def _listed(found: Sequence[str]) -> str:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more
