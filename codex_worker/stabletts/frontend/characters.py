"""The project's own letters as symbols: any script, nothing romanised, nothing read as English.

Rules instead of dictionaries (`orthography`). Letters are lower-cased and composed or decomposed, whichever
gives letters that are frequent enough to be learnt. Known symbols keep their ids, and so their vectors; the
project's other letters get rows behind the official ones.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from codex_worker.errors import DataError
from codex_worker.stabletts.frontend.encoding import Encoding, without_bare_signs
from codex_worker.stabletts.frontend.orthography import SPOKEN_MARKS, ByCategories, ByTheTexts, Spelling
from codex_worker.stabletts.symbols import official_ids, official_symbols
from codex_worker.text.casing import Casing, casing_for
from codex_worker.text.letters import WordMarks, learn_marks

LEARNABLE_COUNT = 20
"""A letter seen less often than this is taken apart into base and marks, where that can be done."""
MOST_LETTERS = 8192
"""An alphabet beyond this size is refused: it is no alphabet, or not this project's."""


@dataclass(frozen=True)
class CharactersFrontend:
    """Reads a project's text by its own letters.

    `letters` are the symbols behind the official ones, in row order; `composed` says whether text is read in
    Unicode's NFC or NFD; `trained` are the official symbols that occurred in the recordings, so that a letter
    which was never heard is reported instead of spoken as noise; `spelling` says what its letters are.
    """

    letters: tuple[str, ...]
    trained: frozenset[str]
    composed: bool = True
    spelling: Spelling = field(default_factory=ByTheTexts)

    name = "characters"

    @property
    def version(self) -> int:
        """1 where Unicode's categories said what a letter is, 2 where the project's texts did."""
        return 2 if isinstance(self.spelling, ByTheTexts) else 1

    @property
    def marks(self) -> str:
        """For people: the marks that are letters; empty where Unicode's categories said it."""
        return self.spelling.marks.describe() if isinstance(self.spelling, ByTheTexts) else ""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The official alphabet, then the project's letters."""
        return official_symbols() + self.letters

    def state(self) -> dict[str, Any]:
        """Letters in row order, the known ones that were heard, the normal form, and the spelling."""
        state = {"letters": list(self.letters), "trained": sorted(self.trained), "composed": self.composed}
        if isinstance(self.spelling, ByTheTexts):
            state |= asdict(self.spelling.marks) | {"casing": self.spelling.casing.value}
        return state

    @classmethod
    def from_state(cls, state: dict[str, Any], version: int = 2) -> "CharactersFrontend":
        """The frontend of a checkpoint; raises DataError when the state is not one that `state` wrote."""
        letters, trained, composed = (state.get(key) for key in ("letters", "trained", "composed"))
        if not (_are_characters(letters) and _are_characters(trained) and isinstance(composed, bool)):
            raise DataError("the checkpoint's text frontend 'characters' has no valid list of letters")
        assert isinstance(letters, list) and isinstance(trained, list)  # noqa: S101  narrows for the type checker
        if len(set(letters)) != len(letters) or set(letters) & set(official_symbols()):
            raise DataError("the checkpoint's text frontend 'characters' lists a letter twice")
        spelling = ByCategories() if version == 1 else _spelling_of(state)
        return cls(tuple(letters), frozenset(trained), composed, spelling)

    @classmethod
    def learn(
        cls,
        texts: Iterable[str],
        *,
        base: "CharactersFrontend | None" = None,
        languages: Sequence[str] = (),
    ) -> "CharactersFrontend":
        """Choose the alphabet for these texts; with `base`, its rows stay and only new letters are added.

        `languages` are tags or names of the project's language, for the small letters of its capitals.
        """
        texts = list(texts)
        spelling = _learn_spelling(texts, base, casing_for(languages, texts))
        composed = base.composed if base else _should_compose(texts, spelling)
        counts = _counted(texts, spelling, composed)
        known = set(official_ids()) | set(base.letters if base else ())
        new = sorted(symbol for symbol in counts if symbol not in known)
        letters = (base.letters if base else ()) + tuple(new)
        if len(letters) > MOST_LETTERS:
            raise DataError(
                f"the texts have {len(letters)} different letters; at most {MOST_LETTERS} can be learnt. "
                "Set model.use_uroman: true and model.frontend: compat to write them in Latin letters."
            )
        trained = (base.trained if base else frozenset()) | (set(counts) & set(official_ids()))
        return cls(letters, trained, composed, spelling)

    def rare_letters(self, texts: Iterable[str], *, fewer_than: int = LEARNABLE_COUNT) -> dict[str, int]:
        """Symbols of the texts that occur too seldom to be learnt well, with their counts."""
        counts = _counted(texts, self.spelling, self.composed)
        return {symbol: count for symbol, count in sorted(counts.items()) if count < fewer_than}

    def encode(self, text: str) -> Encoding:
        """Read one text. A letter that was never heard is read without its marks where that was heard."""
        spelt = self.spelling.spell(text, composed=self.composed)
        kept: list[str] = []
        dropped: list[str] = []
        substituted: list[str] = []
        for symbol in spelt.symbols:
            if symbol in self._ids:
                kept.append(symbol)
            elif (plain := unicodedata.normalize("NFD", symbol)[0]) in self._ids:
                kept.append(plain)
                substituted.append(symbol)
            else:
                dropped.append(symbol)
        encoding = Encoding(
            phones="".join(kept),
            ids=tuple(self._ids[symbol] for symbol in kept),
            dropped=tuple(dropped),
            unread=tuple(spelt.unread),
            substituted=tuple(substituted),
            unsure=tuple(spelt.unsure),
        )
        return without_bare_signs(encoding)

    @cached_property
    def _ids(self) -> dict[str, int]:
        usable = self.trained | set(self.letters) | SPOKEN_MARKS
        return {symbol: number for number, symbol in enumerate(self.symbols) if symbol in usable}


def _learn_spelling(texts: Sequence[str], base: CharactersFrontend | None, casing: Casing) -> ByTheTexts:
    """The marks that the texts use as letters, and those that the base took for letters."""
    marks = learn_marks(texts, casing)
    if base is not None and isinstance(base.spelling, ByTheTexts):
        marks |= base.spelling.marks
    return ByTheTexts(marks, casing)


def _spelling_of(state: dict[str, Any]) -> ByTheTexts:
    places = [state.get(place) for place in ("within", "initial", "final")]
    casing = state.get("casing")
    if not all(isinstance(marks, str) for marks in places) or casing not in set(Casing):
        raise DataError("the checkpoint's text frontend 'characters' does not say which marks are letters")
    return ByTheTexts(WordMarks(*map(str, places)), Casing(casing))


def _should_compose(texts: Sequence[str], spelling: Spelling) -> bool:
    """Compose unless some composed letter would be too rare to learn and its parts are fewer symbols."""
    whole = _counted(texts, spelling, True)
    parts = _counted(texts, spelling, False)
    rare = [symbol for symbol, count in whole.items() if symbol not in parts and count < LEARNABLE_COUNT]
    return not rare or len(parts) >= len(whole)


def _counted(texts: Iterable[str], spelling: Spelling, composed: bool) -> Counter[str]:
    return Counter(symbol for text in texts for symbol in spelling.spell(text, composed=composed).symbols)


def _are_characters(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MOST_LETTERS
        and all(isinstance(one, str) and len(one) == 1 for one in value)
    )
