"""From measures to sentences for translators: what to look at, which verses, what to do."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from codex_worker.codex.provenance import people_and_machines
from codex_worker.contract.counted import counted
from codex_worker.data.faults import Fault
from codex_worker.data.project import SkippedCell
from codex_worker.doctor.checks import CHECKS, checked
from codex_worker.doctor.examined import Examined
from codex_worker.doctor.finding import Finding, about
from codex_worker.doctor.fitting import POOR_READER_CER, mismatched, paced
from codex_worker.doctor.speakers import odd_voices

__all__ = ["CHECKS", "POOR_READER_CER", "Finding", "findings_of"]

FEW_HOURS = 1.0


def findings_of(
    examined: Sequence[Examined],
    speakers: Sequence[int],
    left_out: Sequence[SkippedCell],
    lost_letters: Mapping[str, int],
    reader_cer: float | None = None,
) -> Iterator[Finding]:
    """All that is worth a look, the general before the single verses."""
    yield from _machine_made(len(examined), left_out)
    hours = sum(each.duration_s for each in examined) / 3600
    minutes = round(hours * 60)
    if hours < FEW_HOURS:
        yield Finding(
            "hours",
            f"{counted(minutes, 'There is 1 minute', 'There are {n} minutes')} of usable recordings. A "
            "model can be made of them, but an hour is where it begins to read well, and more is better",
        )
    if len(set(speakers)) > 1:
        yield Finding(
            "speakers",
            f"There seem to be {len(set(speakers))} different voices or rooms (a guess). For a transcriber "
            "that is good; a voice is best made from one person's recordings: name theirs in the verse list",
        )
    yield from about(
        "other-voice",
        "1 recording is much lower or higher than the others: it may be another person's. A voice is best "
        "made from one person's recordings",
        "{n} recordings are much lower or higher than the others: they may be another person's. A voice is "
        "best made from one person's recordings",
        [examined[place].label for place in odd_voices([each.voice for each in examined], speakers)],
    )
    if lost_letters:
        shown = " ".join(f"{letter} ({count})" for letter, count in list(lost_letters.items())[:20])
        yield Finding(
            "letters",
            f"The model would not know these letters, with the number of verses that have them: {shown}",
        )
    yield from checked(examined)
    yield from mismatched(examined, reader_cer)
    yield from paced(examined)
    yield from _duplicates(examined)
    yield from _faults(examined, left_out)


def _faults(examined: Sequence[Examined], left_out: Sequence[SkippedCell]) -> Iterator[Finding]:
    """What is wrong with recordings, whether they are used or not."""
    for fault in Fault:
        labels = tuple(entry.label for entry in left_out if entry.fault is fault)
        labels += tuple(each.label for each in examined if fault in each.faults)
        if labels:
            yield Finding(fault.value, fault.counted(len(labels)), labels)


def _machine_made(human: int, left_out: Sequence[SkippedCell]) -> Iterator[Finding]:
    labels = tuple(entry.label for entry in left_out if entry.is_machine_made)
    sentence = people_and_machines("Usable recordings", human, len(labels))
    if sentence:
        yield Finding("machine-made", sentence, labels)


def _duplicates(examined: Sequence[Examined]) -> Iterator[Finding]:
    by_sound: dict[str, list[Examined]] = defaultdict(list)
    by_text: dict[str, list[Examined]] = defaultdict(list)
    for each in examined:
        by_sound[each.sound].append(each)
        by_text[" ".join(each.text.casefold().split())].append(each)
    yield from about(
        "same-recording",
        "1 cell shares its recording with another cell; at most one can be right",
        "{n} cells share their recording with another cell; at most one can be right",
        [each.label for group in by_sound.values() if len(group) > 1 for each in group],
    )
    yield from about(
        "same-text",
        "1 cell has the same text as another cell. That can be right",
        "{n} cells have the same text as another cell. That can be right",
        [each.label for group in by_text.values() if len(group) > 1 for each in group],
    )
