"""The documents of the sample project. Between them they hold every kind of cell that a worker meets."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sample.notebooks import (
    CREATED_MS,
    HOUR_MS,
    Json,
    Notebook,
    attachment,
    cell,
    notebook_metadata,
    placed,
    selecting,
    stable_uuid,
    typed,
    validation,
    value_edit,
)
from sample.recorded import Spoken, spoken, tone

DAY_MS = 24 * HOUR_MS
STORY = f"Cerita ladang – Größe & Güte-({stable_uuid('story')})"
UNUSED_WORDS = "Not to be learnt from."


def write_books() -> list[Notebook]:
    """All documents, with the recordings shared out among them."""
    training = spoken("train")
    return [
        _mark(training),
        _jonah(training),
        _ruth(training),
        _philemon(training),
        _story(training),
        _james(spoken("unheard")),
    ]


def _mark(training: Iterator[Spoken]) -> Notebook:
    """Old ids (the reference itself), old edits, a range, and cells whose recording is not what it seems."""
    book = Notebook("MRK", notebook_metadata("MRK", "Mark"))
    _add_formatted_with_two_takes(book, next(training), "MRK 1:1")
    _add_text(book, "MRK 1:2", "As it is written in the prophet’s book: “Look…”", cellLabel="2")
    book.add_with_source(cell("MRK 1:3", "", cellLabel="3"))
    _add_skipped(book, typed("MRK 1:3:cue-1", UNUSED_WORDS, parentId="MRK 1:3"))
    _add_with_old_edits(book, "MRK 1:4")
    _add_text(book, "MRK 1:5", "People &amp; shepherds came.&nbsp;Water was there.", cellLabel="5-6")
    book.add_with_source(cell("MRK 1:6", "<range>", cellLabel="6"))
    for chapter in (2, 3):
        for verse in range(1, 7):
            _add_recorded(book, next(training), f"MRK {chapter}:{verse}", cellLabel=str(verse))
    _add_deselected(book, "MRK 3:7")
    _add_text(book, "MRK 3:8", "The boat is ready.", cellLabel="8", selectedAudioId="audio-1-gone")
    _add_awaiting_upload(book, "MRK 3:9")
    return book


def _jonah(training: Iterator[Spoken]) -> Notebook:
    """New ids with references, and every kind of cell that nobody but the editor may touch."""
    book = Notebook("JON", notebook_metadata("JON", "Jonah", corpusMarker="OT", importerType="usfm"))
    ids = {verse: stable_uuid(f"JON 1:{verse}") for verse in range(1, 8)}

    def place(verse: int, **flags: bool) -> Json:
        return placed(f"JON 1:{verse}", chapter="1", label=str(verse), **flags)

    _add_milestone(book, "JON", 1, "Jonah 1")
    heard = next(training)
    _add_recorded(book, heard, ids[1], validated_by=("maria", "tom"), **place(1))
    _add_text(book, ids[2], "Get up and go to Nineveh.", edit_type="llm-generation", **place(2))
    _add_skipped(book, typed(ids[3], "But Jonah ran away.", isLocked=True, **place(3)))
    deleted = _recorded_in_vain(book, heard, ids[4], place(4, deleted=True))
    deleted["metadata"]["edits"].append(_deletion_edit())
    _add_skipped(book, deleted)
    _add_skipped(book, cell(ids[5], "(merged into 4)", **place(5, merged=True)))
    # The editor's merge puts a paratext right before its parent, so that is where it belongs.
    _add_skipped(book, cell(stable_uuid("paratext JON note"), "A note.", "paratext", parentId=ids[6]))
    book.add_with_source(cell(ids[6], "", **place(6)))
    _add_skipped(book, _recorded_in_vain(book, heard, ids[7], place(7, hidden=True)))
    return book


def _ruth(training: Iterator[Spoken]) -> Notebook:
    """An ordinary book: in each of four chapters six recorded verses, and one that waits for a voice."""
    book = Notebook("RUT", notebook_metadata("RUT", "Ruth", corpusMarker="OT", importerType="usfm"))
    waiting = ("The field is wide.", "Rain fell in the night.", "She sat by the gate.", "A son was born.")
    for chapter, text in enumerate(waiting, start=1):
        _add_milestone(book, "RUT", chapter, f"Ruth {chapter}")
        for verse in range(1, 8):
            reference = f"RUT {chapter}:{verse}"
            place = placed(reference, chapter=str(chapter), label=str(verse))
            if verse == 7:
                _add_text(book, stable_uuid(reference), text, **place)
            else:
                _add_recorded(book, next(training), stable_uuid(reference), **place)
    return book


def _philemon(training: Iterator[Spoken]) -> Notebook:
    """In a sub-folder: merged verses, a reference without a verse, and addresses of older editors."""
    book = Notebook("letters/PHM", notebook_metadata("PHM", "Philemon"))
    _add_text(book, stable_uuid("PHM title"), "A letter to Philemon", **placed("PHM", label="Title"))
    older_urls = {
        3: ".project/attachments/PHM/{}",
        5: ".project/attachments/pointers/PHM/{}",
        7: ".project\\attachments\\files\\PHM\\{}",
    }
    for verse in range(1, 21, 2):
        heard = next(training)
        url = older_urls[verse].format(heard.take.file_name) if verse in older_urls else None
        place = placed(f"PHM 1:{verse}-{verse + 1}", label=f"{verse}-{verse + 1}")
        _add_recorded(book, heard, stable_uuid(f"PHM 1:{verse}"), url=url, **place)
        second = f"PHM 1:{verse + 1}"
        _add_skipped(book, cell(stable_uuid(second), "", **placed(second, label=str(verse + 1), merged=True)))
    return book


def _story(training: Iterator[Spoken]) -> Notebook:
    """Subtitles of a film: times and no references, and a file name with spaces and other letters."""
    book = Notebook(
        STORY,
        notebook_metadata("story", "Cerita ladang", corpusMarker="Subtitles", importerType="subtitles"),
    )
    _add_skipped(book, cell(stable_uuid("story style"), "<i>title</i>", "style"))
    for line in range(1, 14):
        cell_id = stable_uuid(f"story {line}")
        times = {"startTime": line * 3 + 0.25, "endTime": line * 3 + 2.75}
        place: Json = {"data": {"globalReferences": [], "originalText": f"(baris {line})", **times}}
        if line == 13:
            _add_text(book, cell_id, "The end – <i>thank you, Zoë!</i>", **place)
        else:
            _add_recorded(book, next(training), cell_id, **place)
    return book


def _james(unheard: Iterator[Spoken]) -> Notebook:
    """Recordings that nobody has written down yet, in a file that lost its last newline."""
    book = Notebook("JAS", notebook_metadata("JAS", "James", importerType="usfm"), final_newline=False)
    for number, heard in enumerate(unheard):
        chapter, verse = str(number // 8 + 1), str(number % 8 + 1)
        reference = f"JAS {chapter}:{verse}"
        cell_id = stable_uuid(reference)
        book.takes.append(heard.take)
        book.unheard[cell_id] = heard.words
        empty = "<span></span>" if verse == "4" else ""  # the editor leaves either behind
        recording = selecting(heard.take, book.url(heard.take))
        book.add_with_source(
            cell(cell_id, empty, **placed(reference, chapter=chapter, label=verse), **recording)
        )
    return book


def _add_text(book: Notebook, cell_id: str, value: str, **metadata: Any) -> None:
    book.add_with_source(typed(cell_id, value, **metadata))
    book.text_only.append(cell_id)


def _add_recorded(
    book: Notebook, heard: Spoken, cell_id: str, *, url: str | None = None, **metadata: Any
) -> None:
    recording = selecting(heard.take, url or book.url(heard.take))
    book.add_with_source(typed(cell_id, heard.sentence, **metadata, **recording))
    book.takes.append(heard.take)
    book.recorded[cell_id] = heard.words


def _recorded_in_vain(book: Notebook, heard: Spoken, cell_id: str, place: Json) -> Json:
    """A cell whose own flags say that its text and its recording, usable as they are, do not count."""
    take = replace(heard.take, attachment_id=f"{heard.take.attachment_id}-{cell_id[:8]}")
    book.takes.append(take)
    return typed(cell_id, UNUSED_WORDS, **place, **selecting(take, book.url(take)))


def _add_skipped(book: Notebook, new_cell: Json) -> None:
    if "originalText" in new_cell["metadata"]["data"]:
        book.add_with_source(new_cell)
    else:
        book.add(new_cell)
    book.skipped.append(new_cell["metadata"]["id"])


def _add_milestone(book: Notebook, code: str, chapter: int, title: str) -> None:
    cell_id = stable_uuid(f"milestone {code} {chapter}")
    edit = value_edit(title, 3 * HOUR_MS, edit_type="initial-import")
    milestone = cell(cell_id, title, "milestone", edits=(edit,))
    _add_skipped(book, milestone)
    book.source_cells.append(cell(cell_id, title, "milestone"))


def _add_formatted_with_two_takes(book: Notebook, heard: Spoken, cell_id: str) -> None:
    """Text with tags and a footnote that is not spoken; an older take that its speaker deleted."""
    first, rest = heard.sentence.split(" ", maxsplit=1)
    value = (
        f"<p>{first} <b>{rest[:-1]}</b>."
        '<sup class="footnote-marker" data-footnote="Some read otherwise.">1</sup></p>'
    )
    draft = value_edit("Kings had fish.", 3 * HOUR_MS, edit_type="llm-generation")
    final = value_edit(value, 2 * HOUR_MS, validated_by=("maria",))
    older = tone("audio-mrk-1-1-1767139200000-old00take", 220, 0.4, CREATED_MS - DAY_MS)
    approved = (validation("maria", heard.take.recorded_ms + HOUR_MS),)
    recording = selecting(heard.take, book.url(heard.take), validatedBy=list(approved))
    recording["attachments"] = {
        older.attachment_id: attachment(older, book.url(older), isDeleted=True)
    } | recording["attachments"]
    book.add_with_source(cell(cell_id, value, edits=(draft, final), cellLabel="1", **recording))
    book.takes += [older, heard.take]
    book.recorded[cell_id] = heard.words


def _add_with_old_edits(book: Notebook, cell_id: str) -> None:
    """Edits as early editors wrote them: another key, names for approvals, and no approvals at all."""
    old = {
        "cellValue": "John was in the desert.",
        "timestamp": CREATED_MS - DAY_MS,
        "type": "user-edit",
        "author": "maria",
        "validatedBy": ["maria"],
    }
    newer = value_edit("John came to the desert.", HOUR_MS)
    del newer["validatedBy"]
    book.add_with_source(cell(cell_id, newer["value"], edits=(old, newer), cellLabel="4"))
    book.text_only.append(cell_id)


def _add_deselected(book: Notebook, cell_id: str) -> None:
    """A take that somebody deselected: nobody has asked for another voice, or to learn from this one."""
    take = tone("audio-mrk-3-7-1767139300000-dese1ect0", 330, 0.5, CREATED_MS - DAY_MS)
    listed = {take.attachment_id: attachment(take, book.url(take))}
    deselected: Json = {"attachments": listed, "selectedAudioId": "", "selectionTimestamp": CREATED_MS}
    book.add_with_source(typed(cell_id, "They pulled the net.", cellLabel="7", **deselected))
    book.takes.append(take)
    book.unusable.append(cell_id)


def _add_awaiting_upload(book: Notebook, cell_id: str) -> None:
    """A selected recording whose speaker's computer has not sent it yet."""
    take = tone("audio-mrk-3-9-1767225700000-n0tsentyt", 440, 0.5, CREATED_MS + HOUR_MS)
    recording = selecting(take, book.url(take))
    book.add_with_source(typed(cell_id, "We will sail at dawn.", cellLabel="9", **recording))
    book.awaiting_upload.append(take)
    book.unusable.append(cell_id)


def _deletion_edit() -> Json:
    timestamp = CREATED_MS - HOUR_MS
    return {
        "editMap": ["metadata", "data", "deleted"],
        "value": True,
        "timestamp": timestamp,
        "type": "user-edit",
        "author": "maria",
        "validatedBy": [validation("maria", timestamp)],
    }
