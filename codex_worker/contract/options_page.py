"""docs/manifest.md, made from the keys in options.py."""

from collections.abc import Callable
from dataclasses import dataclass

from codex_worker.contract.keys import ALL, TRAIN, TRANSCRIBER_TRAINING, TRANSCRIBING, VOICES, Key
from codex_worker.contract.options import all_keys

_INTRODUCTION = """\
<!-- Made by `codex-worker manifest-keys > docs/manifest.md` from codex_worker/contract/options.py. -->

# The keys of a job

What every job has is in the [README](../README.md#the-manifest). Everything here is optional, and `null`
counts as absent. A dot means a section: `model.preset` is written `model: {preset: tiny}`; a key without a
dot stands at the top of the entry, beside `job_id`.

What can be meant is accepted (`'50'`, `5.0`, `1e-4`, `Yes`). A value that cannot be meant, a known key in the
wrong place and a key that is nearly a known one end the job, before any work, with a sentence that names it.
A key that the worker does not know is kept; the log and `result.notes` name it, as they do a key that has no
effect in this job.
"""

_CELLS = """\
Cell ids or verse references (`MRK 1:1`, `1PE 3:1-2`, `MRK 1`, `MRK`). One rule for both sections: exclude
wins over include, an empty or absent list means all.

An entry that is a cell's id means that cell and no other. A verse means also the ranges that it is a part
of, a chapter every cell with a verse in it, a book all its cells: these may be worked on. Text or a
recording that is there already is **replaced** only in a cell that is included by its id, by the reference
that is all of it, or by its chapter or book as a whole (`MRK 1` records Mark 1 anew), and only where no
other cell has the same verses. Naming `MAT 8:14` never replaces the range `MAT 8:14-15`, a merged cell or a
commentary on that verse; name their own ids for that. Excluding `MAT 8:14` leaves everything alone that
this verse is a part of, the range as well. Case, spaces and kinds of dashes don't matter. A book that has
another name than a code in the project's references is called by that name (`Марк`, `Марк 1`).
"""


@dataclass(frozen=True)
class _Section:
    title: str
    holds: Callable[[Key], bool]
    text: str = ""


# A key stands in the first section that holds it.
_SECTIONS = (
    _Section("Older keys without effect", lambda key: bool(key.no_effect)),
    _Section("Choosing cells", lambda key: "clude_" in key.place, _CELLS),
    _Section("Any job", lambda key: key.used_in == ALL),
    _Section("Training, both models", lambda key: key.used_in == TRAIN),
    _Section("Transcribers (`W2V2BERT`)", lambda key: key.used_in <= TRANSCRIBER_TRAINING | TRANSCRIBING),
    _Section("Voices (`StableTTS`, `VITS`)", lambda key: key.used_in <= VOICES),
    _Section("Older names", lambda key: True),
)


def manifest_page() -> str:
    """The whole file."""
    by_section: dict[str, list[Key]] = {section.title: [] for section in _SECTIONS}
    for key in all_keys():
        by_section[next(section.title for section in _SECTIONS if section.holds(key))].append(key)
    shown = [*_SECTIONS[1:], _SECTIONS[0]]
    return "\n".join([_INTRODUCTION, *(_section(each, by_section[each.title]) for each in shown)])


def _section(section: _Section, keys: list[Key]) -> str:
    above = [f"## {section.title}", "", *([section.text] if section.text else [])]
    if all(key.no_effect for key in keys):
        rows = ["| key | why |", "|---|---|", *(f"| `{key.place}` | {key.says} |" for key in keys)]
    else:
        rows = ["| key | values | meaning | default |", "|---|---|---|---|", *map(_row, keys)]
    return "\n".join([*above, *rows, ""])


def _row(key: Key) -> str:
    places = " or ".join(f"`{place}`" for place in key.places)
    return f"| {places} | {key.values.described} | {key.says} | {key.default} |"
