"""What became of a job, as counted facts, and the one sentence that a translator reads of it.

A handler counts; the supervisor, which alone knows what the project holds in the end, makes the sentence.

    summary = Summary(asked=16, written=14, facts=(Fact(what=What.NOTHING_HEARD, count=2),))
    sentence_of(summary)
    sentence_of(summary.at_head(written=12, changed_by_people=2))
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum, auto
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_SENTENCE = 300  # characters: what the plugin shows without scrolling
MAX_EXAMPLE = 160
NAMED = 5  # entries of a list that are named; of the others people read how many
MAX_NAME = 40


class What(StrEnum):
    """What is counted, the most important for a translator first."""

    NOTHING_HEARD = auto()
    TEACHING_UNDONE = auto()
    TEACHING_HELPED = auto()
    NOT_TAUGHT = auto()
    TOO_WRONG = auto()
    TOO_UNSURE = auto()
    WITHHELD = auto()
    LETTERS_WRONG = auto()
    HARDLY_WRONG = auto()
    UNCERTAIN = auto()
    ALL_WRITTEN = auto()
    ALL_RECORDED = auto()
    NOT_FETCHED = auto()
    NOT_READ = auto()
    NOT_SPOKEN = auto()
    NOTHING_TO_SAY = auto()
    FAILED = auto()
    RATE_UNKNOWN = auto()
    CHANGED_BY_PEOPLE = auto()
    LEFT_ALONE = auto()
    ALREADY_THERE = auto()
    NOT_FIT = auto()
    EXCLUDED = auto()
    INFERENCE_LIST = auto()
    TRAINING_LIST = auto()
    NO_CORRECTOR = auto()
    TRAINING_NOT_FETCHED = auto()
    TRAINING_NOT_USED = auto()
    NOT_LEARNT = auto()
    MACHINE_MADE = auto()
    NO_VOICE_REFERENCE = auto()
    LETTERS_NOT_SPOKEN = auto()
    NOT_COMMERCIAL = auto()
    SKIPPED = auto()


# For one and for many; `{n}` is the number, and an example follows in brackets.
_WORDS: Mapping[What, tuple[str, str]] = {
    What.TOO_WRONG: (
        "about {n} of 100 letters are wrong, too many to be written into cells: more recordings with text, "
        "more epochs or another base model would help",
    )
    * 2,
    What.TOO_UNSURE: (
        "the transcriber is unsure of nearly all that it read, so nothing is written into cells: training on "
        "recordings like these would help",
    )
    * 2,
    What.WITHHELD: ("1 reading is in the report only", "{n} readings are in the report only"),
    What.LETTERS_WRONG: ("about 1 of 100 letters is wrong", "about {n} of 100 letters are wrong"),
    What.HARDLY_WRONG: ("fewer than 1 of 100 letters is wrong",) * 2,
    What.UNCERTAIN: (
        "1 reading is uncertain and should be listened to first",
        "{n} readings are uncertain and should be listened to first: the report lists them",
    ),
    What.NOTHING_HEARD: ("nothing was heard in 1 recording", "nothing was heard in {n} recordings"),
    What.ALL_WRITTEN: ("every recording has a text already: name verses to write them anew",) * 2,
    What.ALL_RECORDED: ("every verse with text has a recording already: name verses to record them anew",)
    * 2,
    What.NOT_FETCHED: ("1 recording could not be fetched", "{n} recordings could not be fetched"),
    What.NOT_READ: ("1 recording could not be used", "{n} recordings could not be used"),
    What.NOT_SPOKEN: ("1 verse could not be spoken", "{n} verses could not be spoken"),
    What.NOTHING_TO_SAY: (
        "1 cell holds no letters: nothing to say",
        "{n} cells hold no letters: nothing to say",
    ),
    What.FAILED: ("1 failed", "{n} failed"),
    What.RATE_UNKNOWN: ("nobody knows how many letters are wrong",) * 2,
    What.CHANGED_BY_PEOPLE: ("1 changed by people meanwhile", "{n} changed by people meanwhile"),
    What.LEFT_ALONE: ("1 cell was left alone", "{n} cells were left alone"),
    What.ALREADY_THERE: (
        "1 verse of those asked for is done already and not named by itself",
        "{n} verses of those asked for are done already and not named by themselves",
    ),
    What.NOT_FIT: ("1 cell could not be worked on", "{n} cells could not be worked on"),
    What.EXCLUDED: ("1 cell is excluded by the list", "{n} cells are excluded by the list"),
    What.INFERENCE_LIST: (
        "1 entry of the inference list names no cell",
        "{n} entries of the inference list name no cell",
    ),
    What.TRAINING_LIST: (
        "1 entry of the training list names no cell",
        "{n} entries of the training list name no cell",
    ),
    What.TEACHING_UNDONE: ("learning from what a machine made is undone",) * 2,
    What.TEACHING_HELPED: ("learning from what a machine made helped",) * 2,
    What.NOT_TAUGHT: ("what a machine made was not learnt from",) * 2,
    What.NO_CORRECTOR: ("no corrector",) * 2,
    What.TRAINING_NOT_FETCHED: (
        "1 recording to learn from could not be fetched",
        "{n} recordings to learn from could not be fetched",
    ),
    What.TRAINING_NOT_USED: ("1 recording was not learnt from", "{n} recordings were not learnt from"),
    What.NOT_LEARNT: (
        "1 verse of those to learn from could not be used",
        "{n} verses of those to learn from could not be used",
    ),
    What.MACHINE_MADE: (
        "1 machine-made verse was not learnt from, because no person has validated it",
        "{n} machine-made verses were not learnt from, because no person has validated them",
    ),
    What.NO_VOICE_REFERENCE: ("the voice reference could not be used",) * 2,
    What.LETTERS_NOT_SPOKEN: (
        "1 verse has letters or signs that this voice does not speak",
        "{n} verses have letters or signs that this voice does not speak",
    ),
    What.NOT_COMMERCIAL: ("the model may not be used commercially",) * 2,
    What.SKIPPED: ("1 skipped", "{n} skipped"),
}


def plain(text: object, limit: int) -> str:
    """Somebody's words on one line, printable, cut at a word to `limit` characters."""
    words = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    if len(words) <= limit:
        return words
    cut = words[: limit - 1]
    at = cut.rfind(" ")
    return (cut[:at] if at > limit // 2 else cut).rstrip(" .,;:(") + "…"


class _Value(BaseModel):
    """It crosses the channel from a process that is not trusted."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Count = Annotated[int, Field(ge=0, le=10**9, strict=True)]


class Fact(_Value):
    """One counted fact; `example` is one of them with its reason, `names` the entries of a list."""

    what: What
    count: Count = 1
    example: Annotated[str, BeforeValidator(lambda text: plain(text, MAX_EXAMPLE))] = ""
    names: Annotated[
        tuple[str, ...], BeforeValidator(lambda names: tuple(plain(n, MAX_NAME) for n in names[:NAMED]))
    ] = ()

    @property
    def said(self) -> str:
        """The fact without a full stop."""
        one, many = _WORDS[self.what]
        words = (one if self.count == 1 else many).format(n=self.count)
        if self.names:
            return f"{words}: {listed(self.names, self.count)}"
        if self.what is What.NO_CORRECTOR and self.example:
            return f"{words}: {self.example}"
        return f"{words} ({self.example})" if self.example else words


class Summary(_Value):
    """What a job did. `asked`, `written`: cells, None where the job was not to write any."""

    epochs: Count | None = None
    asked: Count | None = None
    written: Count | None = None
    facts: Annotated[tuple[Fact, ...], Field(max_length=100)] = ()

    def at_head(self, written: int, changed_by_people: int) -> "Summary":
        """The same job, of whose results this is in the project at last."""
        changed = Fact(what=What.CHANGED_BY_PEOPLE, count=changed_by_people)
        facts = (*self.facts, changed) if changed_by_people else self.facts
        return self.model_copy(update={"written": written, "facts": facts})

    @property
    def lines(self) -> list[str]:
        """Every fact in full, for the notes and the log."""
        return [self._said(fact) for fact in self._ordered]

    @property
    def _ordered(self) -> list[Fact]:
        order = list(What)
        return sorted(self.facts, key=lambda fact: order.index(fact.what))

    def _said(self, fact: Fact) -> str:
        if fact.what is What.NOTHING_HEARD and not self.written and fact.count == self.asked:
            recordings = "1 recording" if fact.count == 1 else f"{fact.count} recordings"
            return f"{recordings}, nothing was heard in {'it' if fact.count == 1 else 'any of them'}"
        return fact.said


def listed(entries: Sequence[str], count: int | None = None) -> str:
    """The first entries of a list, and how many more there are; `count` of all where these are fewer."""
    shown = [plain(entry, MAX_NAME) for entry in entries[:NAMED]]
    more = (len(entries) if count is None else count) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def sentence_of(summary: Summary) -> str:
    """What a translator reads of a finished job: at most MAX_SENTENCE characters, the weightiest first."""
    done = []
    if summary.epochs is not None:
        done.append(f"{_number(summary.epochs, 'epoch')} trained")
    if summary.written is not None:
        fewer = summary.asked is not None and summary.written < summary.asked
        done.append(
            f"{summary.written} of {summary.asked} cells written"
            if fewer
            else f"{_number(summary.written, 'cell')} written"
        )
    parts = ([", ".join(done)] if done else []) + summary.lines
    return plain(f"Done: {'; '.join(parts)}.", MAX_SENTENCE) if parts else "Done."


def _number(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def summary_of(result: Mapping[str, Any]) -> Summary:
    """The summary of a handler that gives none: the counts of its result, where they are numbers."""
    counts = {
        key: value
        for key in ("epochs_completed", "cells_written", "cells_failed", "cells_skipped")
        if isinstance(value := result.get(key), int) and not isinstance(value, bool) and 0 <= value <= 10**9
    }
    facts = [
        Fact(what=what, count=counts[key])
        for key, what in (("cells_failed", What.FAILED), ("cells_skipped", What.SKIPPED))
        if counts.get(key)
    ]
    return Summary(
        epochs=counts.get("epochs_completed"), written=counts.get("cells_written"), facts=tuple(facts)
    )


def with_saved(message: str, checkpoint_path: str | None, cells: int) -> str:
    """The sentence of an attempt that did not finish, with what is in the project of it all the same.

    The plugin offers the models of finished jobs only, so a person has to read where this one lies.
    """
    saved = []
    if cells:
        saved.append(_number(cells, "cell"))
    if checkpoint_path:
        saved.append(f"the model {checkpoint_path}")
    return f"{message} Saved: {' and '.join(saved)}." if saved else message
