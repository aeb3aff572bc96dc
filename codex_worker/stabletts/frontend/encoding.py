"""What a frontend makes of a text, and the account of what it could not keep."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from codex_worker.codex.sayable import holds_letters
from codex_worker.text.letters import PARTS_SENTENCES
from codex_worker.text.losses import SHOWN, listed_signs, loss_lines
from codex_worker.text.signs import LETTER, NEVER, kind_of


@dataclass(frozen=True)
class Encoding:
    """One text as the network reads it.

    `ids` has no blanks in it (see `symbols.intersperse`). `dropped` are the phones or letters without an id,
    in order; `unread` the characters of the text that vanished before that; `substituted` the letters that
    are read as another letter; `unsure` those of `unread` that stand between two letters.
    """

    phones: str
    ids: tuple[int, ...]
    dropped: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    substituted: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()


def without_bare_signs(encoding: Encoding) -> Encoding:
    """The encoding, but for one without a single letter: its signs are not spoken, so it has no ids.

    Pauses and intonation need something to be said; a network that gets them alone makes noise.
    """
    kept = [symbol for symbol in encoding.phones if symbol not in encoding.dropped]
    if any(map(holds_letters, kept)):
        return encoding
    signs = tuple(sign for sign in kept if not sign.isspace())
    return replace(encoding, phones="", ids=(), unread=(*encoding.unread, *signs))


class TextFrontend(Protocol):
    """A way of reading text. Two frontends with the same name, version and state give the same ids."""

    @property
    def name(self) -> str:
        """`compat` or `characters`."""
        ...

    @property
    def version(self) -> int:
        """Raised whenever the same state would give other ids than before."""
        ...

    @property
    def symbols(self) -> tuple[str, ...]:
        """The rows of the embedding, the official ones first."""
        ...

    def state(self) -> dict[str, Any]:
        """What is needed besides name and version; plain JSON values."""
        ...

    def encode(self, text: str) -> Encoding:
        """Read one text. Never fails: a text with nothing to speak has no ids."""
        ...


def lost_letters(encoding: Encoding) -> set[str]:
    """Letters of a text that the network never reads as what they are; punctuation is no loss."""
    lost = {*encoding.dropped, *encoding.unread, *encoding.substituted}
    letters = {symbol for symbol in lost if any(kind_of(each) == LETTER for each in symbol)}
    return letters | set(encoding.unsure)


def report_losses(encodings: Iterable[Encoding], *, at_most: int = SHOWN) -> list[str]:
    """One line for each symbol that was lost, the most frequent first; empty when nothing was.

    Punctuation that is not spoken (quotes and brackets mostly) has one line together.
    """
    encodings = list(encodings)
    odd = [[sign for sign in encoding.unread if not _is_punctuation(sign)] for encoding in encodings]
    lines = [
        *loss_lines(
            (one.dropped for one in encodings), "has no symbol in the voice's alphabet", at_most=at_most
        ),
        *loss_lines(odd, "is not spoken", at_most=at_most),
        *loss_lines(
            (one.substituted for one in encodings),
            "is read as a plain Latin letter or without its marks",
            at_most=at_most,
        ),
    ]
    punctuation = Counter(sign for encoding in encodings for sign in encoding.unread if _is_punctuation(sign))
    if punctuation:
        lines.append(f"not spoken, as punctuation: {listed_signs(punctuation)}")
    return lines


def _is_punctuation(sign: str) -> bool:
    return kind_of(sign) == NEVER or sign in f"{PARTS_SENTENCES}'"
