"""Where the keys of a manifest's entry stand: known ones, misplaced ones, nearly known ones, new ones.

A job that silently ignores `training: {epochs: 1}` or `epoch: 1` trains for hours as nobody wanted it. But
a newer plugin may write keys that this worker does not know yet, so a key is refused only where a known one
must have been meant: the same words in another place or spelling, or with one slip of the finger in a word.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from codex_worker.contract.keys import Key
from codex_worker.contract.manifest import model_fault
from codex_worker.contract.values import shown

# Words that a newer section may well have as its own, so that they are at home everywhere.
COMMON_WORDS = frozenset({"name", "mode", "enabled", "language", "description", "type"})
LONGEST_KEY = 80  # letters of a key that may be a known one in another spelling
MOST_COMPARED = 200  # keys of an entry; nobody writes so many by mistake
SHORTEST_FUZZY, SHORTEST_TWICE_FUZZY = 5, 8  # letters of a word that may hold one slip, or two
SHORTEST_SURE, SHORTEST_SWAPPED = 4, 4  # of a word beside right ones; of a key with two letters swapped

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")


@dataclass(frozen=True)
class KnownKeys:
    """The dotted places of all known keys."""

    places: frozenset[str]
    wanted: tuple[str, ...]  # those that somebody can have meant: not those that have no effect
    sections: Mapping[str, str]  # name -> how to write it, for a sentence

    @classmethod
    def of(cls, keys: Iterable[Key], others: Collection[str]) -> "KnownKeys":
        """The places of keys, and of `others`, which are read elsewhere."""
        keys = tuple(keys)
        wanted = [*sorted(others), *(place for key in keys if not key.no_effect for place in key.places)]
        places = frozenset([*wanted, *(place for key in keys for place in key.places)])
        sections: dict[str, str] = {}
        for place in wanted:
            section, _, name = place.rpartition(".")
            if section:
                sections.setdefault(section, f"{section}: {{{name}: ...}}")
        return cls(places, tuple(dict.fromkeys(wanted)), sections)

    def homes(self, name: str) -> list[str]:
        """The places of the keys with this last name."""
        return [place for place in self.wanted if place.rpartition(".")[2] == name]


@dataclass
class FoundKeys:
    """What an entry holds."""

    values: dict[str, Any] = field(default_factory=dict)  # by the places of known keys; never null
    unknown: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def find_values(config: Mapping[str, Any], known: KnownKeys, *, is_plug_in: bool = False) -> FoundKeys:
    """Sorts an entry's keys. With `is_plug_in` any key may stand inside a section."""
    found = FoundKeys()
    for raw, value in config.items():
        name = str(raw)
        if value is None:
            continue
        if name in known.sections:
            if isinstance(value, Mapping):
                _sort_section(name, value, known, found, is_plug_in)
            else:
                found.faults.append(_no_section(name, value, known))
        else:
            _sort("", name, value, known, found, is_plug_in)
    return found


def nearly(written: str, known: str) -> bool:
    """Whether `written` is `known` in another spelling, or with slips that leave no doubt."""
    if _folded(written) == _folded(known) or _is_swap(_folded(written), _folded(known)):
        return True
    words, wanted = _words(written), _words(known)
    if len(words) != len(wanted):
        return False
    # In a short word a slip is only sure where the words beside it leave no doubt.
    is_sure = len(wanted) > 1 and sum(map(str.__ne__, words, wanted)) == 1
    return all(_same_word(word, other, is_sure) for word, other in zip(words, wanted, strict=True))


def _sort_section(
    section: str, content: Mapping[str, Any], known: KnownKeys, found: FoundKeys, is_plug_in: bool
) -> None:
    for raw, value in content.items():
        name = str(raw)
        place = f"{section}.{name}"
        if value is None:
            continue
        if place in known.places or is_plug_in:
            found.values[place] = value
        else:
            _sort(section, name, value, known, found, is_plug_in)


def _sort(section: str, name: str, value: Any, known: KnownKeys, found: FoundKeys, is_plug_in: bool) -> None:
    """Takes one key of a section; the top of the entry is the section ""."""
    place = f"{section}.{name}" if section else name
    is_flat = not section and name.partition(".")[0] in known.sections  # "model.preset: tiny" at the top
    if place in known.places and not is_flat:
        found.values[place] = value
        return
    meant = None
    if is_flat and place in known.places:
        meant = f"{place}: write it in its section, {_nested(place, value)}"
    elif len(name) <= LONGEST_KEY and len(found.unknown) + len(found.faults) < MOST_COMPARED:
        if is_flat:
            section, _, name = name.partition(".")
        meant = _spelt_otherwise(section, name, known)
        if meant is None and not is_plug_in:
            meant = _misplaced(place, name, value, known)
    if meant is None:
        found.unknown.append(place)
    else:
        found.faults.append(meant)


def _spelt_otherwise(section: str, name: str, known: KnownKeys) -> str | None:
    """A sentence where a key of the same section was meant."""
    place = f"{section}.{name}" if section else name
    for each in (*known.wanted, *known.sections):
        beside, _, last = each.rpartition(".")
        if beside == section and nearly(name, last):
            return f"{place} is not a key that this worker knows; {each} is meant"
    return None


def _misplaced(place: str, name: str, value: Any, known: KnownKeys) -> str | None:
    """A sentence where a key of another section was meant."""
    if name in COMMON_WORDS and place != "type":
        return None
    if "." in place and name in known.sections and isinstance(value, Mapping):
        return f"{place} is in the wrong place; {name} belongs at the top of the entry, beside job_id"
    if homes := known.homes(name):
        return f"{place} is in the wrong place; {_right_place(homes, value)}"
    for home in known.wanted:
        last = home.rpartition(".")[2]
        if last not in COMMON_WORDS and nearly(name, last):
            return f"{place} is not a key that this worker knows; {home} is meant"
    return None


def _right_place(homes: list[str], value: Any) -> str:
    if "." not in homes[0]:
        return f"{homes[0]} belongs at the top of the entry, beside job_id"
    return "write " + " or ".join(_nested(home, value) for home in homes if "." in home)


def _nested(place: str, value: Any) -> str:
    section, _, name = place.rpartition(".")
    return f"{section}: {{{name}: {shown(value)}}}"


def _no_section(name: str, value: Any, known: KnownKeys) -> str:
    if name == "model":
        return model_fault(value)
    return f"{name}: {shown(value)} holds no keys; write {known.sections[name]}, or leave it out"


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(text)]


def _folded(text: str) -> str:
    return "".join(sign for sign in text.lower() if sign.isalnum())


def _is_swap(written: str, known: str) -> bool:
    """Whether two letters that stand side by side were swapped."""
    if len(written) != len(known) or len(known) < SHORTEST_SWAPPED:
        return False
    other = [index for index, letter in enumerate(known) if letter != written[index]]
    first, last = (other[0], other[-1]) if other else (0, 0)
    return (
        len(other) == 2 and last == first + 1 and written[first : last + 1] == known[first : last + 1][::-1]
    )


def _same_word(written: str, known: str, is_sure: bool) -> bool:
    """The same word, its plural, or one slip (in long words two) behind the same first letter.

    Where the words beside it leave no doubt, a short word may have lost or won a letter.
    """
    if written == known or written in {f"{known}s", known.removesuffix("s")}:
        return True
    if not written or written[0] != known[0]:
        return False
    if is_sure and len(known) >= SHORTEST_SURE and len(written) != len(known):
        return _slips(written, known) <= 1
    shorter = min(len(written), len(known))
    if shorter < SHORTEST_FUZZY:
        return False
    return _slips(written, known) <= (2 if shorter >= SHORTEST_TWICE_FUZZY else 1)


def _slips(one: str, other: str) -> int:
    """Letters added, lost, replaced or swapped with the next (Damerau 1964, restricted)."""
    rows: list[list[int]] = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, start=1):
        row = [i]
        for j, wanted in enumerate(other, start=1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != wanted))
            if i > 1 and j > 1 and (letter, one[i - 2]) == (other[j - 2], wanted):
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]
