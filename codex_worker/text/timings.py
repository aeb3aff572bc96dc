"""Timed words as the files that players, editors and programs read: SRT, WebVTT, Audacity labels, JSON.

SRT as players read it (commas in times, lines of text, a blank line); WebVTT by the W3C's Candidate
Recommendation of 2019; labels as Audacity's manual has them (start, end and text, tabs between).
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import regex

# What two lines of a subtitle hold, and how long one stays, as broadcasters' guides have it.
MOST_LETTERS, LONGEST_S, PAUSE_S = 84, 7.0, 0.7
_LINE_LETTERS = 42
_ENDS_SENTENCE = regex.compile(r"[\p{Sentence_Terminal}…]\p{P}*$")


@dataclass(frozen=True)
class TimedText:
    """Something that is said from `start_s` to `end_s`; `goes_on`: the next one follows without a space."""

    text: str
    start_s: float
    end_s: float
    goes_on: bool = False


def cues(words: Sequence[TimedText]) -> list[TimedText]:
    """Words as subtitles: a new one after a sentence, a pause, seven seconds, or where two lines are full."""
    found: list[list[TimedText]] = []
    for word in words:
        if found and _belongs(word, found[-1]):
            found[-1].append(word)
        else:
            found.append([word])
    return [TimedText(_joined(each), each[0].start_s, each[-1].end_s) for each in found]


def as_srt(texts: Iterable[TimedText]) -> str:
    """SubRip: numbered, with commas in the times."""
    return "".join(
        f"{number}\n{_clock(each.start_s, ',')} --> {_clock(each.end_s, ',')}\n{_lines(each.text)}\n\n"
        for number, each in enumerate(texts, start=1)
    )


def as_vtt(texts: Iterable[TimedText]) -> str:
    """WebVTT; what would be markup in it is written as text."""
    shown = (
        f"{_clock(each.start_s, '.')} --> {_clock(each.end_s, '.')}\n{_lines(_plain(each.text))}\n"
        for each in texts
    )
    return "\n".join(["WEBVTT\n", *shown])


def as_labels(texts: Iterable[TimedText]) -> str:
    """A label track of Audacity: seconds, seconds and text."""
    return "".join(f"{each.start_s:.6f}\t{each.end_s:.6f}\t{' '.join(each.text.split())}\n" for each in texts)


def as_json(texts: Iterable[TimedText]) -> str:
    """A list of objects with `text`, `start` and `end` in seconds."""
    rows = [
        {"text": each.text, "start": round(each.start_s, 3), "end": round(each.end_s, 3)} for each in texts
    ]
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


WRITERS: Mapping[str, Callable[[Sequence[TimedText]], str]] = {
    "srt": lambda words: as_srt(cues(words)),
    "vtt": lambda words: as_vtt(cues(words)),
    "labels": as_labels,
    "json": as_json,
}
"""Of timed words; the first two make subtitles of them."""


def _belongs(word: TimedText, cue: Sequence[TimedText]) -> bool:
    last = cue[-1]
    if not last.goes_on and _ENDS_SENTENCE.search(last.text):
        return False
    if word.start_s - last.end_s > PAUSE_S or word.end_s - cue[0].start_s > LONGEST_S:
        return False
    return len(_joined([*cue, word])) <= MOST_LETTERS


def _joined(words: Sequence[TimedText]) -> str:
    return "".join(f"{each.text}{'' if each.goes_on else ' '}" for each in words).strip()


def _lines(text: str) -> str:
    """One line, or two of about the same length. A blank line would end the subtitle."""
    words = text.split()
    text = " ".join(words)
    if len(text) <= _LINE_LETTERS or len(words) < 2:
        return text
    halves = [(" ".join(words[:cut]), " ".join(words[cut:])) for cut in range(1, len(words))]
    return "\n".join(min(halves, key=lambda half: max(map(len, half))))


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, mark: str) -> str:
    """Hours, minutes, seconds and thousandths."""
    thousandths = round(max(seconds, 0.0) * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{mark}{rest % 1000:03}"
