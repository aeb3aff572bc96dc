"""CTC prefix beam search over a whole batch: what is likely by sound, letters and words together."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from codex_worker.asr.decoding.frames import HeardFrames
from codex_worker.asr.decoding.tables import NOWHERE, Floats, Ints, Tables

BEAM_WIDTH = 32
ROWS_AT_ONCE = 64
_MARGIN = 14.0  # nats below the best reading so far, from which on a longer one isn't looked at
_NO_KEY = np.uint64(1)  # where there is no reading: nothing is its beginning, and it is none's
_MIX = np.uint64(0x9E3779B97F4A7C15)  # an odd number, so that texts of unlike letters get unlike keys


def search(
    heard: Sequence[HeardFrames], tables: Tables | None, delimiters: frozenset[int], width: int = BEAM_WIDTH
) -> list[list[int]]:
    """The likeliest symbols of each recording, blanks and repeats gone.

    Graves 2012, section 7.5 ("prefix search"), as a beam over the prefixes (Hannun et al. 2014, algorithm 1),
    for many recordings in step.

    Args:
        heard: the frames of each recording.
        tables: the language; None to go by the sound alone.
        delimiters: symbols that end a word.
        width: how many readings of a recording are kept from frame to frame.
    """
    order = sorted(range(len(heard)), key=lambda index: -len(heard[index]))
    found: list[list[int]] = [[] for _ in heard]
    for start in range(0, len(order), ROWS_AT_ONCE):
        rows = order[start : start + ROWS_AT_ONCE]
        readings = _Search([heard[row] for row in rows], tables, delimiters, width).run()
        for row, reading in zip(rows, readings, strict=True):
            found[row] = reading
    return found


@dataclass
class _Beam:
    """The readings kept of each recording `[recordings, width]`; what is not there has no probability."""

    blank: Floats  # probability by sound where a blank came last, of all that is kept
    letter: Floats  # and where the reading's last letter did
    language: Floats  # log, weighted
    last: Ints  # symbol; NOWHERE at the beginning
    key: np.ndarray  # stands for all symbols of the reading
    parent: np.ndarray  # the key without the last one
    node: Ints  # where its symbols are written down
    history: Ints  # of letters
    word: Ints  # node of the word that has begun
    before: Ints  # the word before that one
    spelling: Floats  # log probability of its letters

    def rows(self, count: int) -> "_Beam":
        """The first recordings; a view."""
        return _Beam(**{field.name: getattr(self, field.name)[:count] for field in fields(self)})


@dataclass
class _Longer:
    """Readings that grow by a letter `[N]`: from which, by what, and what the language makes of it."""

    row: Ints
    place: Ints
    symbol: Ints
    probability: Floats
    language: Floats
    history: Ints
    word: Ints
    before: Ints
    spelling: Floats


class _Search:
    """One batch, longest recordings first."""

    def __init__(
        self, heard: Sequence[HeardFrames], tables: Tables | None, delimiters: frozenset[int], width: int
    ) -> None:
        self.tables = tables
        self.lengths = np.array([len(frames) for frames in heard])
        most = int(self.lengths.max(initial=0))
        count, choices = len(heard), heard[0].symbols.shape[1]
        self.symbols = np.zeros((most, count, choices), dtype=np.int64)
        self.probabilities = np.zeros((most, count, choices))
        self.blank = np.ones((most, count))
        self.after_blank = np.zeros((most, count), dtype=bool)
        for row, frames in enumerate(heard):
            self.symbols[: len(frames), row] = frames.symbols
            self.probabilities[: len(frames), row] = frames.probabilities
            self.blank[: len(frames), row] = frames.blank
            self.after_blank[: len(frames), row] = frames.after_blank
        self.ends_word = np.zeros(int(self.symbols.max(initial=0)) + 1, dtype=bool)
        self.ends_word[[symbol for symbol in delimiters if symbol < len(self.ends_word)]] = True
        self.bonus = tables.bonus if tables else 0.0
        self.beam = self._empty(count, width)
        # Readings share their beginnings, so each symbol is written down once, with the place before it.
        self.written_before, self.written = [np.zeros(1, dtype=np.int64)], [np.zeros(1, dtype=np.int64)]
        self.nodes = 1

    def run(self) -> list[list[int]]:
        """The best reading of each recording."""
        for frame in range(len(self.symbols)):
            active = int(np.searchsorted(-self.lengths, -frame, side="left"))
            self._hear(frame, active)
        before, symbols = np.concatenate(self.written_before), np.concatenate(self.written)
        return [self._symbols(int(node), before, symbols) for node in self._best()]

    def _empty(self, count: int, width: int) -> _Beam:
        shape = (count, width)
        blank = np.zeros(shape)
        blank[:, 0] = 1.0
        key = np.full(shape, _NO_KEY)
        key[:, 0] = 0
        tables = self.tables
        history = tables.letters.start if tables else 0
        before = tables.words.text_start if tables and tables.words else 0
        return _Beam(
            blank=blank,
            letter=np.zeros(shape),
            language=np.zeros(shape),
            last=np.full(shape, NOWHERE),
            key=key,
            parent=np.full(shape, _NO_KEY),
            node=np.zeros(shape, dtype=np.int64),
            history=np.full(shape, history),
            word=np.zeros(shape, dtype=np.int64),
            before=np.full(shape, before),
            spelling=np.zeros(shape),
        )

    def _hear(self, frame: int, active: int) -> None:
        """One frame of the first `active` recordings."""
        beam = self.beam.rows(active)
        symbols, probabilities = self.symbols[frame, :active], self.probabilities[frame, :active]
        blank_first = self.after_blank[frame, :active, None]
        beam.blank[:] = np.where(blank_first, beam.blank + beam.letter, beam.blank)
        beam.letter[:] = np.where(blank_first, 0.0, beam.letter)
        total = beam.blank + beam.letter
        repeats = symbols[:, None, :] == beam.last[:, :, None]
        stay_blank = total * self.blank[frame, :active, None]
        stay_letter = beam.letter * (repeats * probabilities[:, None, :]).sum(-1)
        grow = np.where(repeats, beam.blank[:, :, None], total[:, :, None]) * probabilities[:, None, :]
        self._merge(beam, symbols, grow, stay_letter)
        with np.errstate(divide="ignore"):
            stay = np.log(stay_blank + stay_letter) + beam.language
        longer = self._longer(beam, symbols, grow, stay)
        self._keep_best(beam, stay_blank, stay_letter, stay, longer)

    def _merge(self, beam: _Beam, symbols: Ints, grow: Floats, stay_letter: Floats) -> None:
        """What grows into a reading that is kept already is added to that one."""
        is_parent = (beam.parent[:, :, None] == beam.key[:, None, :]) & (beam.last != NOWHERE)[:, :, None]
        row, place, parent = np.nonzero(is_parent)
        same = symbols[row] == beam.last[row, place][:, None]
        hit, choice = np.nonzero(same)
        row, place, parent = row[hit], place[hit], parent[hit]
        stay_letter[row, place] += grow[row, parent, choice]
        grow[row, parent, choice] = 0.0

    def _longer(self, beam: _Beam, symbols: Ints, grow: Floats, stay: Floats) -> _Longer:
        with np.errstate(divide="ignore"):
            scores = np.log(grow) + beam.language[:, :, None]
        best = np.maximum(stay.max(axis=1), scores.max(axis=(1, 2)))
        ends = self.ends_word[symbols]
        # What cannot come before the last one that stays needs no look at the language: letters only cost.
        least = np.maximum(stay.min(axis=1) - self.bonus, best - _MARGIN)
        least = np.where(ends, best[:, None] - _MARGIN, least[:, None])
        row, place, choice = np.nonzero(scores > least[:, None, :])
        symbol = symbols[row, choice]
        longer = _Longer(
            row,
            place,
            symbol,
            grow[row, place, choice],
            beam.language[row, place],
            beam.history[row, place],
            beam.word[row, place],
            beam.before[row, place],
            beam.spelling[row, place],
        )
        if self.tables is not None:
            _weigh(longer, self.tables, ends[row, choice])
        return longer

    def _keep_best(
        self, beam: _Beam, stay_blank: Floats, stay_letter: Floats, stay: Floats, longer: _Longer
    ) -> None:
        active, width = stay.shape
        with np.errstate(divide="ignore"):
            grown = np.log(longer.probability) + longer.language
        # All candidates of a recording beside each other: those that stay, then those that grow.
        counts = np.bincount(longer.row, minlength=active)
        offsets = np.concatenate(([0], np.cumsum(counts)[:-1]))
        scores = np.full((active, width + int(counts.max(initial=0))), -np.inf)
        scores[:, :width] = stay
        scores[longer.row, width + np.arange(len(longer.row)) - offsets[longer.row]] = grown
        chosen = np.argpartition(-scores, width - 1, axis=1)[:, :width]
        value = np.take_along_axis(scores, chosen, axis=1)
        rows = np.arange(active)[:, None]
        grows = (chosen >= width) & (value > -np.inf)
        kept = np.where(chosen < width, chosen, 0)
        new = (chosen - width + offsets[:, None])[grows]
        source = longer.place[new]
        at = np.nonzero(grows)
        parents = beam.key[at[0], source], beam.node[at[0], source]
        for field in fields(beam):
            array = getattr(beam, field.name)
            array[:] = array[rows, kept]
        beam.blank[:], beam.letter[:] = stay_blank[rows, kept], stay_letter[rows, kept]
        empty = (chosen >= width) & ~grows
        beam.blank[empty], beam.letter[empty], beam.last[empty], beam.key[empty] = 0.0, 0.0, NOWHERE, _NO_KEY
        beam.blank[at], beam.letter[at] = 0.0, longer.probability[new]
        for name in ("language", "history", "word", "before", "spelling"):
            getattr(beam, name)[at] = getattr(longer, name)[new]
        beam.last[at] = longer.symbol[new]
        beam.parent[at] = parents[0]
        beam.key[at] = (parents[0] + (longer.symbol[new] + 2).astype(np.uint64)) * _MIX
        beam.node[at] = self._write_down(parents[1], longer.symbol[new])
        scale = (beam.blank + beam.letter).max(axis=1, keepdims=True)
        beam.blank /= scale
        beam.letter /= scale

    def _write_down(self, before: Ints, symbols: Ints) -> Ints:
        self.written_before.append(before)
        self.written.append(symbols)
        self.nodes += len(symbols)
        return np.arange(self.nodes - len(symbols), self.nodes)

    def _best(self) -> Ints:
        """Nodes of the best readings `[recordings]`, when their last word and the text have ended."""
        beam = self.beam
        with np.errstate(divide="ignore"):
            scores = np.log(beam.blank + beam.letter) + beam.language
        if self.tables is not None:
            shape = scores.shape
            flat = {field.name: getattr(beam, field.name).ravel() for field in fields(beam)}
            row, place = (index.ravel() for index in np.indices(shape))
            ends = np.full(len(row), self.tables.letters.end)
            longer = _Longer(
                row,
                place,
                ends,
                flat["blank"] + flat["letter"],
                *(flat[name] for name in ("language", "history", "word", "before", "spelling")),
            )
            _weigh(longer, self.tables, np.ones(len(row), dtype=bool))
            scores += longer.language.reshape(shape) - beam.language
        return beam.node[np.arange(len(scores)), scores.argmax(axis=1)]

    @staticmethod
    def _symbols(node: int, before: Ints, symbols: Ints) -> list[int]:
        found = []
        while node:
            found.append(int(symbols[node]))
            node = int(before[node])
        return found[::-1]


def _weigh(longer: _Longer, tables: Tables, ends_word: np.ndarray) -> None:
    """What letters and words say to the readings that have grown by a letter."""
    log_probs, longer.history = tables.letters.step(longer.history, longer.symbol)
    longer.language = longer.language + tables.letter_weight * log_probs + tables.bonus
    if tables.words is None:
        return
    spelling = longer.spelling + log_probs
    # Two spaces beside each other hold no word.
    ends = np.flatnonzero(ends_word & (longer.word != 0))
    worth, word = tables.words.end(longer.word[ends], longer.before[ends], spelling[ends])
    longer.language[ends] += tables.word_weight * worth
    longer.before = longer.before.copy()
    longer.before[ends] = word
    longer.word = np.where(ends_word, 0, tables.words.child(longer.word, longer.symbol))
    longer.spelling = np.where(ends_word, 0.0, spelling)
