"""A Codex project of the prompts: four books as they are, and one with faults."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sample.notebooks import (
    CREATED_MS,
    Json,
    Notebook,
    Take,
    cell,
    notebook_metadata,
    placed,
    selecting,
    stable_uuid,
    typed,
)
from sample.project_files import LFS, Identity, Tongue, project_files
from sample.real_speech.corpus import Prompt, read_prompts, sounds_folder
from sample.real_speech.encoding import FORMS
from sample.real_speech.languages import Language
from sample.real_speech.plants import planted, to_be_planted
from sample.real_speech.truth import CellTruth, Role, Truth, letters_of
from sample.real_speech.verses import Fate, Verse, roles, verse
from sample.repository import commit_tree, put, put_pointer
from sample.sample_jobs import manifest

VERSES_PER_CHAPTER = 25
RECORDED_MS = CREATED_MS + 10_000_000
OPUS_RATE = 48_000
ORDINARY_BOOKS = ("MRK", "LUK", "RUT", "JON")
TITLES = {"MRK": "Mark", "LUK": "Luke", "RUT": "Ruth", "JON": "Jonah", "JUD": "Jude"}
FAULTS_BOOK = "JUD"
NEW_IDS = {"LUK", "RUT"}


def write_project(bare: Path, packages: Path, language: Language, fingerprint: str) -> Truth:
    """Make a new bare repository of a language's prompts, with their files as LFS objects.

    Raises FileExistsError where ``bare`` is there, FileNotFoundError and ValueError where the packages lack
    something, CalledProcessError where git fails.
    """
    prompts = read_prompts(packages, language)
    books = [_Book(code) for code in ORDINARY_BOOKS]
    verses, faulty = _shared_out(prompts)
    for number, one in enumerate(verses):
        books[number * len(books) // len(verses)].add(verse(*one))
    faults = _Book(FAULTS_BOOK)
    for each in planted(faulty, sounds_folder(packages, language)):
        faults.add(each)
    books.append(faults)
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary)
        large_files = _write_files(tree, books, language)
        shutil.copy(packages / f"usr/share/doc/{language.packages[0]}/copyright", tree / "COPYRIGHT")
        commit = commit_tree(bare, tree, large_files, message="Recordings")
    cells = tuple(truth for book in books for truth in book.truth)
    letters = letters_of(truth.text for truth in cells if truth.role is Role.TRAINING)
    return Truth(language.code, language.credit, commit, fingerprint, letters, cells)


def _shared_out(prompts: Sequence[Prompt]) -> tuple[list[tuple[Prompt, Role]], list[Prompt]]:
    """The prompts in their roles, and those for faults; no recording is in both."""
    role_of = roles(prompts)
    faulty = to_be_planted([prompt for prompt in prompts if role_of[prompt.key] is Role.TRAINING])
    given_up = {prompt.key for prompt in faulty}
    return [(prompt, role_of[prompt.key]) for prompt in prompts if prompt.key not in given_up], faulty


class _Book:
    """A document that grows verse by verse, and what is right about each."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.notebook = Notebook(code, notebook_metadata(code, TITLES[code]))
        self.truth: list[CellTruth] = []
        self.lost: set[str] = set()

    def add(self, new: Verse) -> None:
        number = len(self.truth)
        chapter, label = str(number // VERSES_PER_CHAPTER + 1), str(number % VERSES_PER_CHAPTER + 1)
        reference = f"{self.code} {chapter}:{label}"
        cell_id, place = self._place(reference, chapter, label)
        recording = self._record(new, number)
        if new.text:
            self.notebook.add_with_source(typed(cell_id, new.text, **place, **recording))
        else:
            self.notebook.add_with_source(cell(cell_id, "", **place, **recording))
        self.truth.append(
            CellTruth(
                cell=cell_id,
                reference=reference,
                document=self.code,
                key=new.key,
                role=new.role,
                text=new.text,
                said=new.said,
                extension=new.sound.extension if new.sound else None,
                duration_s=round(new.sound.duration_s, 3) if new.sound else 0.0,
                plant=new.plant,
            )
        )

    def _place(self, reference: str, chapter: str, label: str) -> tuple[str, Json]:
        """Half of the books have the ids of older editors, which are the reference itself."""
        if self.code in NEW_IDS:
            return stable_uuid(reference), placed(reference, label=label, chapter=chapter)
        return reference, {"cellLabel": label}

    def _record(self, new: Verse, number: int) -> Json:
        """The metadata of a cell with its recording; nothing where it has none."""
        if new.sound is None:
            return {}
        recorded_ms = RECORDED_MS + number * 1000
        take = Take(
            f"audio-{recorded_ms}-{hashlib.sha256(f'{self.code} {number}'.encode()).hexdigest()[:9]}",
            new.sound.content,
            new.sound.extension,
            round(new.sound.duration_s, 3),
            FORMS[new.sound.extension].rate,
            recorded_ms,
        )
        if new.sound.fate is Fate.NEVER_SENT:
            self.notebook.awaiting_upload.append(take)
        else:
            self.notebook.takes.append(take)
        if new.sound.fate is Fate.LOST:
            self.lost.add(take.attachment_id)
        return selecting(take, self.notebook.url(take))


def _write_files(tree: Path, books: Iterable[_Book], language: Language) -> dict[str, bytes]:
    """All files of the project; the answer is what the server has of the large ones, by SHA-256."""
    identity = Identity(
        name=f"Real speech, {language.tongue.name}",
        project_id=f"realspeech{language.tongue.tag}000000000",
        source=Tongue("eng", "English"),
        target=language.tongue,
        copyright=language.credit,
    )
    for path, text in project_files(identity).items():
        put(tree, path, text)
    put(tree, "gpu_jobs/.gitattributes", f"*.pt {LFS}\n*.safetensors {LFS}\n")
    put(tree, "gpu_jobs/manifest.yaml", manifest([]))
    large_files: dict[str, bytes] = {}
    for book in books:
        put(tree, f"files/target/{book.code}.codex", book.notebook.render())
        put(tree, f".project/sourceTexts/{book.code}.source", book.notebook.render_source())
        for take, path in _pointers(book.notebook.takes, book.code):
            arrived = put_pointer(tree, path, take.content)
            if take.attachment_id not in book.lost:
                large_files |= arrived
        for _, path in _pointers(book.notebook.awaiting_upload, book.code):
            put(tree, path, b"")
    return large_files


def _pointers(takes: Iterable[Take], code: str) -> Iterator[tuple[Take, str]]:
    for take in takes:
        yield take, f".project/attachments/pointers/{code}/{take.file_name}"
