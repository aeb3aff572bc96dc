"""The letters that a published network writes already, and their rows in its CTC head.

A base model that was trained to read (Omnilingual ASR, a fine-tuned Wav2Vec2) need not learn letters that it
knows: their rows of the head are taken over, and only the others begin anew.
"""

import json
import logging
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from codex_worker.asr.vocabulary import MAX_SYMBOLS, Vocabulary

logger = logging.getLogger(__name__)

_TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
_MAX_TOKENIZER_BYTES = 10_000_000  # ten thousand letters with their scores take half of a million
_SHOWN = 20
_MOST_UNNAMED = 4  # rows of marks (sentence ends, unknown) that a tokenizer may keep elsewhere
_SPACES = ("▁", " ", "|")  # SentencePiece's, a plain one, and that of Hugging Face's CTC tokenizer


@dataclass(frozen=True)
class BaseLetters:
    """The rows of a published CTC head: of each letter by itself, of the space and of the blank."""

    rows: Mapping[str, int] = field(default_factory=dict)
    space: int | None = None
    blank: int | None = None

    def rows_for(self, letters: Iterable[str]) -> dict[str, int]:
        """The row of each letter that the network writes.

        A letter that it writes in the other case only takes that one's row, where no other letter needs it.
        """
        wanted = sorted(set(letters))
        found = {letter: self.rows[letter] for letter in wanted if letter in self.rows}
        for letter in wanted:
            for form in (letter.upper(), letter.lower()):
                row = self.rows.get(form)
                if letter not in found and row is not None and row not in found.values():
                    found[letter] = row
        return found

    def described(self, letters: Iterable[str]) -> str:
        """A sentence about a project's letters; empty where the network has no letters at all."""
        wanted = set(letters)
        if not self.rows or not wanted:
            return ""
        new = sorted(wanted - set(self.rows_for(wanted)))
        if not new:
            return f"The base model reads all {len(wanted)} letters of the texts already."
        if len(new) == len(wanted):
            return f"The base model reads none of the texts' letters: all {len(new)} begin anew."
        return (
            f"The base model reads {len(wanted) - len(new)} of the {len(wanted)} letters of the texts "
            f"already; these begin anew: {listed_letters(new)}"
        )


def listed_letters(letters: Iterable[str]) -> str:
    """The first of them, for a sentence."""
    inside = sorted(letters)
    return " ".join(inside[:_SHOWN]) + (" ..." if len(inside) > _SHOWN else "")


def read_base_letters(folder: Path, fields: Mapping[str, Any]) -> BaseLetters:
    """The letters of a folder of weights; none where it has no tokenizer that can be understood.

    `fields` are those of its configuration: `vocab_size` rows, and which of them is the blank. Whatever else
    a tokenizer does (merging letters, several languages) makes it one without letters: the head then begins
    anew, which is always right.
    """
    for name in _TOKENIZER_FILES:
        table = _table(folder / name)
        if table:
            return _letters(table, fields, _json(folder / "tokenizer_config.json"))
    return BaseLetters()


@dataclass(frozen=True)
class PublishedHead:
    """The CTC head of a folder of weights: `weight [rows, hidden]`, `bias [rows]`."""

    weight: torch.Tensor
    bias: torch.Tensor

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor]) -> "PublishedHead | None":
        """From a network's tensors by name; None where they hold no head, or a broken one."""
        weight, bias = tensors.get("lm_head.weight"), tensors.get("lm_head.bias")
        if weight is None or bias is None or weight.ndim != 2 or bias.shape != weight.shape[:1]:
            return None
        is_sound = torch.isfinite(weight).all() and torch.isfinite(bias).all()
        return cls(weight, bias) if is_sound else None

    @classmethod
    def read(cls, folder: Path) -> "PublishedHead | None":
        """From a folder's safetensors. Raises what safetensors raises for files that are none."""
        found: dict[str, torch.Tensor] = {}
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                names = {"lm_head.weight", "lm_head.bias"} & set(file.keys())
                found |= {name: file.get_tensor(name) for name in names}
        return cls.of(found)


@torch.no_grad()
def take_over_letters(
    head: nn.Linear, vocabulary: Vocabulary, base: BaseLetters, published: PublishedHead
) -> int:
    """Copies the rows of known letters into a new head `[letters, hidden]`; answers how many letters.

    New letters begin improbable, or they would take frames from those that are known.
    """
    weight, bias = published.weight, published.bias
    known = base.rows_for(vocabulary.letters)
    if base.blank is None or not known or weight.shape[1] != head.in_features:
        return 0
    taken = {index: known[symbol] for index, symbol in enumerate(vocabulary.symbols) if symbol in known}
    taken[vocabulary.blank_id] = base.blank
    if vocabulary.delimiter_id is not None and base.space is not None:
        taken[vocabulary.delimiter_id] = base.space
    if max(taken.values()) >= len(weight):
        return 0  # a tokenizer of another network
    to, rows = torch.tensor(list(taken)), torch.tensor(list(taken.values()))
    head.weight *= 0.1
    head.bias.fill_(float(bias[rows].min()))
    head.weight[to] = weight[rows].to(head.weight.dtype)
    head.bias[to] = bias[rows].to(head.bias.dtype)
    return len(known)


def _letters(table: Mapping[str, int], fields: Mapping[str, Any], settings: object) -> BaseLetters:
    size = fields.get("vocab_size")
    blank = fields.get("blank_token_id", fields.get("pad_token_id"))
    if type(size) is not int or type(blank) is not int or not 0 <= blank < size:
        return BaseLetters()
    if not 0 <= size - sum(row < size for row in table.values()) <= _MOST_UNNAMED:
        logger.warning(
            "The tokenizer has %d symbols for a head of %d; the head begins anew", len(table), size
        )
        return BaseLetters()
    asked = settings.get("word_delimiter_token") if isinstance(settings, dict) else None
    spaces = (asked, *_SPACES) if isinstance(asked, str) else _SPACES
    space = next((sign for sign in spaces if sign in table), None)
    letters = {
        symbol: row
        for symbol, row in table.items()
        if symbol != space and row != blank and row < size and _is_letter(symbol)
    }
    # A letter that is listed as itself counts before one that only looks like it.
    rows = {unicodedata.normalize("NFC", symbol): row for symbol, row in letters.items()} | letters
    return BaseLetters(rows, None if space is None else table[space], blank)


def _is_letter(symbol: str) -> bool:
    """One sign that people write: the others are marks of the model, or pieces of words."""
    return len(unicodedata.normalize("NFC", symbol)) == 1 and not symbol.isspace()


def _table(path: Path) -> dict[str, int]:
    """Symbols and their rows, from a file of `transformers` or of `tokenizers`."""
    found = _json(path)
    if not isinstance(found, dict):
        return {}
    model = found.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else found
    table = dict(_entries(vocab))
    added = found.get("added_tokens")
    if isinstance(added, list):
        for token in added:
            if isinstance(token, dict) and isinstance(token.get("content"), str):
                table[token["content"]] = token.get("id")  # checked with the others
    rows = list(table.values())
    sound = 0 < len(table) <= MAX_SYMBOLS and all(type(row) is int and row >= 0 for row in rows)
    return table if sound and len(set(rows)) == len(rows) else {}


def _entries(vocab: object) -> Iterator[tuple[str, Any]]:
    """`{symbol: row}`, or `[[symbol, score], ...]` in the order of the rows."""
    if isinstance(vocab, dict):
        yield from ((symbol, row) for symbol, row in vocab.items())
    elif isinstance(vocab, list):
        for row, entry in enumerate(vocab):
            if isinstance(entry, list) and entry and isinstance(entry[0], str):
                yield entry[0], row


def _json(path: Path) -> object:
    try:
        if path.stat().st_size > _MAX_TOKENIZER_BYTES:
            logger.warning("%s is larger than any real one; it is not read", path.name)
            return None
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("%s cannot be read (%s); the head begins anew", path.name, error)
        return None
