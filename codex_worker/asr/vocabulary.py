"""The letters that a transcriber writes, and the way between text and CTC labels."""

import json
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeGuard

from codex_worker.errors import DataError, UserError

BLANK = "[PAD]"
UNKNOWN = "[UNK]"
DELIMITER = "|"
MAX_SYMBOLS = 20_000


@dataclass(frozen=True)
class Token:
    """One decoded symbol and the frames `[start, end)` that a greedy reading gave to it."""

    symbol_id: int
    start: int
    end: int


@dataclass(frozen=True)
class Vocabulary:
    """Symbols by id. The blank of CTC is the padding symbol; a space is the word delimiter.

    Older workers never put the delimiter into their vocabulary, so their networks learnt every space as
    "unknown"; `spaces_are_unknown` marks such a vocabulary, and decoding turns the unknown back into a space.
    """

    symbols: tuple[str, ...]
    blank_id: int
    unknown_id: int
    delimiter_id: int | None
    spaces_are_unknown: bool = False

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def letters(self) -> frozenset[str]:
        """Everything that is written as itself: no blank, no unknown, no delimiter."""
        special = {self.blank_id, self.unknown_id, self.delimiter_id}
        return frozenset(symbol for index, symbol in enumerate(self.symbols) if index not in special)

    def encode(self, text: str) -> list[int]:
        """Label ids of a normalised text; runs of spaces count once, letters not listed become unknown."""
        letters = self.letters
        ids = {symbol: index for index, symbol in enumerate(self.symbols) if symbol in letters}
        space = self.unknown_id if self.delimiter_id is None else self.delimiter_id
        words = ([ids.get(letter, self.unknown_id) for letter in word] for word in text.split())
        labels: list[int] = []
        for word in words:
            labels += [space, *word] if labels else word
        return labels

    def collapse(self, frame_ids: Sequence[int]) -> list[Token]:
        """Greedy CTC: repeated ids become one token, blanks vanish (Graves et al. 2006, section 3.2)."""
        tokens, position = [], 0
        for symbol_id, run in groupby(frame_ids):
            length = sum(1 for _ in run)
            if symbol_id != self.blank_id:
                tokens.append(Token(int(symbol_id), position, position + length))
            position += length
        return tokens

    def text_of(self, symbol_id: int, *, suppress_unknown: bool = True, replacement: str = "") -> str:
        """What one symbol adds to the text."""
        if symbol_id == self.blank_id:
            return ""
        if symbol_id == self.delimiter_id:
            return " "
        if symbol_id == self.unknown_id:
            if self.spaces_are_unknown:
                return " "
            return "" if suppress_unknown else replacement or UNKNOWN
        return self.symbols[symbol_id]

    def decode(
        self, label_ids: Iterable[int], *, suppress_unknown: bool = True, replacement: str = ""
    ) -> str:
        """Text of label ids that are collapsed already; unknowns vanish or become `replacement`."""
        pieces = (
            self.text_of(i, suppress_unknown=suppress_unknown, replacement=replacement) for i in label_ids
        )
        return " ".join("".join(pieces).split())

    def extended(self, letters: Iterable[str]) -> "Vocabulary":
        """The same ids with new letters behind them, and the word delimiter where it was missing."""
        symbols = list(self.symbols)
        new = sorted(set(letters) - self.letters - {" "})
        delimiter_id = self.delimiter_id
        if delimiter_id is None:
            delimiter_id = len(symbols)
            symbols.append(DELIMITER)
        symbols[delimiter_id] = ""
        symbols += new
        symbols[delimiter_id] = _delimiter(symbols)
        return replace(self, symbols=tuple(symbols), delimiter_id=delimiter_id, spaces_are_unknown=False)

    def to_json(self) -> str:
        """Readable by `Vocabulary.from_json`; stored in the checkpoint's metadata."""
        return json.dumps(
            {
                "symbols": self.symbols,
                "blank_id": self.blank_id,
                "unknown_id": self.unknown_id,
                "delimiter_id": self.delimiter_id,
                "spaces_are_unknown": self.spaces_are_unknown,
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Raises DataError when the JSON isn't a vocabulary."""
        try:
            fields = json.loads(text)
            symbols = tuple(fields["symbols"]) if isinstance(fields["symbols"], list) else ()
            vocabulary = cls(
                symbols=symbols,
                blank_id=fields["blank_id"],
                unknown_id=fields["unknown_id"],
                delimiter_id=fields["delimiter_id"],
                spaces_are_unknown=bool(fields["spaces_are_unknown"]),
            )
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DataError(
                f"The checkpoint's vocabulary cannot be read ({error!r:.200}); train a new model."
            ) from error
        _check(vocabulary)
        return vocabulary

    @classmethod
    def from_hugging_face(cls, vocab: object, settings: dict[str, object]) -> "Vocabulary":
        """A vocabulary of a Hugging Face folder: `vocab.json` and `tokenizer_config.json`.

        Marks `spaces_are_unknown` when the file lists a space but not the word delimiter that the tokenizer
        puts in place of each space before it looks symbols up.
        """
        if not is_table_of_numbers(vocab):
            raise DataError("vocab.json is not a table from symbols to numbers; this model cannot be read.")
        if len(vocab) > MAX_SYMBOLS or sorted(vocab.values()) != list(range(len(vocab))):
            raise DataError("vocab.json does not number its symbols from 0 without gaps; it cannot be read.")
        symbols = tuple(sorted((str(symbol) for symbol in vocab), key=lambda symbol: vocab[symbol]))
        delimiter = str(settings.get("word_delimiter_token") or DELIMITER)
        blank = _name(settings.get("pad_token"), BLANK)
        unknown = _name(settings.get("unk_token"), UNKNOWN)
        if blank not in vocab or unknown not in vocab:
            raise DataError(f"vocab.json lacks {blank} or {unknown}, which CTC needs; it cannot be read.")
        vocabulary = cls(
            symbols=symbols,
            blank_id=vocab[blank],
            unknown_id=vocab[unknown],
            delimiter_id=vocab.get(delimiter),
            spaces_are_unknown=delimiter not in vocab,
        )
        _check(vocabulary)
        return vocabulary


def build_vocabulary(texts: Iterable[str]) -> Vocabulary:
    """The vocabulary of normalised texts. Raises UserError when they hold fewer than two letters."""
    letters = sorted({letter for text in texts for letter in text} - {" "})
    if not letters:
        raise UserError(
            "The texts to learn from hold no letters: write text into the cells that have recordings."
        )
    if len(letters) == 1:
        raise UserError(
            f"The texts to learn from hold one letter only ({letters[0]!r}); whole verses are needed."
        )
    if len(letters) > MAX_SYMBOLS - 3:
        raise UserError(
            f"The texts hold {len(letters)} different letters; at most {MAX_SYMBOLS} can be learnt."
        )
    symbols = (BLANK, UNKNOWN, _delimiter(letters), *letters)
    return Vocabulary(symbols, blank_id=0, unknown_id=1, delimiter_id=2)


def is_table_of_numbers(vocab: object) -> TypeGuard[dict[str, int]]:
    """Whether a `vocab.json` has the form that one has."""
    return isinstance(vocab, dict) and bool(vocab) and all(type(i) is int for i in vocab.values())


def _delimiter(others: Collection[str]) -> str:
    """The name of the delimiter: `|` as in Hugging Face's files, but where that is a letter (a click)."""
    return next(name for name in (DELIMITER, " ", "[SPACE]") if name not in others)


def _name(token: object, default: str) -> str:
    """A token of tokenizer_config.json: a string or a table with its `content`."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) and token else default


def _is_writable(symbol: str) -> bool:
    """A symbol that fits into a notebook's text: one with half of a surrogate pair is no text."""
    return 0 < len(symbol) <= 32 and not any(unicodedata.category(part) == "Cs" for part in symbol)


def _check(vocabulary: Vocabulary) -> None:
    """Ids in range and symbols that are strings; the file may come from a stranger."""
    size = len(vocabulary.symbols)
    ids = [vocabulary.blank_id, vocabulary.unknown_id]
    if vocabulary.delimiter_id is not None:
        ids.append(vocabulary.delimiter_id)
    sound = (
        3 <= size <= MAX_SYMBOLS
        and all(isinstance(symbol, str) and _is_writable(symbol) for symbol in vocabulary.symbols)
        and len(set(vocabulary.symbols)) == size
        and all(type(i) is int and 0 <= i < size for i in ids)
        and len(set(ids)) == len(ids)
    )
    if not sound:
        raise DataError("The checkpoint's vocabulary contradicts itself; train a new model.")
