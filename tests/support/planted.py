"""The sample project with faulty recordings in it, and what a job makes of it up to its training."""

import hashlib
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codex_worker.audio.decode import decode
from codex_worker.data.faults import Fault
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from sample.make_codex_project import SampleProject, make_project
from tests.unit.audio.made import write

RATE = 16_000
Samples = NDArray[np.float32]


class Prepared(Exception):
    """Ends a job where a test wants it to end, with what it would train on."""


@dataclass
class PlantedProject:
    """The sample as a mapping of files; recordings are replaced before a job reads them."""

    sample: SampleProject
    folder: Path
    files: dict[str, bytes | Path] = field(default_factory=dict)
    recordings: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def in_folder(cls, folder: Path) -> "PlantedProject":
        """A fresh one."""
        sample = make_project(folder / "project", with_sample_jobs=False)
        return cls(sample, folder, dict(files_below(sample.folder)))

    def ordinary(self, cells: Iterable[str]) -> Iterator[str]:
        """Those of the cells whose recordings lie where the editor puts them today."""
        for cell_id in sorted(cells):
            if "/files/" in _selected(self._find(cell_id)[2])["url"]:
                yield cell_id

    def voice(self, cell_id: str) -> Samples:
        """What is heard in a cell."""
        url = _selected(self._find(cell_id)[2])["url"]
        return decode(self.sample.folder / url, sample_rate=RATE).samples

    def replace(self, cell_id: str, samples: Samples, kind: str = "wav") -> None:
        """Another sound for a cell, which its note of the length does not contradict."""
        name = hashlib.sha256(cell_id.encode()).hexdigest()[:12]
        path = write(self.folder / f"{name}.{kind}", samples, RATE)
        self.recordings[self._pointer(cell_id)] = path.read_bytes()
        self.note_length(cell_id, None)

    def note_length(self, cell_id: str, duration_s: float | None) -> None:
        """The editor notes how long a recording is."""

        def change(cell: dict[str, Any]) -> None:
            noted = _selected(cell).setdefault("metadata", {})
            noted.pop("durationSec", None)
            if duration_s is not None:
                noted["durationSec"] = duration_s

        self._edit(cell_id, change)

    def write_text(self, cell_id: str, text: str) -> None:
        """Another text for a cell."""

        def change(cell: dict[str, Any]) -> None:
            cell["value"] = text

        self._edit(cell_id, change)

    def lose(self, cell_id: str) -> None:
        """The object behind a pointer is on no server."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9000\n"
        self.files[self._pointer(cell_id)] = pointer.encode()

    def value(self, cell_id: str) -> str:
        """A cell's text as it is in the notebook."""
        return str(self._find(cell_id)[2]["value"])

    def job(
        self, mode: str, config: Mapping[str, Any] | None = None, **fields: Any
    ) -> tuple[Any, MemoryCallbacks]:
        """A job on the project, in a folder of its own."""
        job = job_in(
            self.folder / f"job-{mode}-{len(list(self.folder.iterdir()))}", config, mode=mode, **fields
        )
        return job, MemoryCallbacks(MemoryScanner(self.files, job, recordings=self.recordings), job)

    def _find(self, cell_id: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
        for name, content in self.files.items():
            if name.startswith("files/target/") and name.endswith(".codex"):
                raw = content.read_bytes() if isinstance(content, Path) else content
                notebook = json.loads(raw)
                for cell in notebook["cells"]:
                    if cell["metadata"].get("id") == cell_id:
                        return name, notebook, cell
        raise KeyError(cell_id)

    def _edit(self, cell_id: str, change: Callable[[dict[str, Any]], None]) -> None:
        name, notebook, cell = self._find(cell_id)
        change(cell)
        self.files[name] = json.dumps(notebook, ensure_ascii=False).encode()

    def _pointer(self, cell_id: str) -> str:
        url = _selected(self._find(cell_id)[2])["url"]
        return str(url).replace("/files/", "/pointers/")


def prepared(handler: ModuleType, job: Any, callbacks: MemoryCallbacks, monkeypatch: Any) -> Any:
    """What a training handler would train on: its corpus or dataset."""
    prepare = handler.prepare

    def stop(*arguments: Any, **keywords: Any) -> None:
        raise Prepared(prepare(*arguments, **keywords))

    with monkeypatch.context() as patch:
        patch.setattr(handler, "prepare", stop)
        try:
            handler.run(job, callbacks)
        except Prepared as done:
            return done.args[0]
    raise AssertionError("the job ended before it had anything to train on")


@dataclass(frozen=True)
class ReadPage:
    """The data report as a person reads it."""

    used: list[str]  # labels
    reasons: dict[str, str]  # of those that are not used
    findings: dict[str, list[str]]  # the labels that each sentence is about

    def faults_of(self, label: str) -> list[Fault]:
        """What the findings say of a cell's recording."""
        return [
            fault
            for fault in Fault
            for sentence, labels in self.findings.items()
            if fault.counted(len(labels)) in sentence and label in labels
        ]


def page_of(callbacks: MemoryCallbacks) -> ReadPage:
    """The page that a job has published."""
    (page,) = [
        content.decode()
        for path, content in callbacks.scanner.artifacts.items()
        if re.search(r"/report/data-.*\.html$", path)
    ]
    return read_page(page)


def read_page(page: str) -> ReadPage:
    """The data report as a person reads it."""
    unused, used = page.split("<h2>What is not used</h2>")[1].split("<h2>What is used</h2>")
    rows = re.findall(r"<tr><td>([^<]*)</td><td>([^<]*)</td></tr>", unused.split("Every cell")[1])
    findings = re.findall(r"<li>([^<]*)<details><summary>Which ones</summary>([^<]*)", page)
    return ReadPage(
        sorted(html.unescape(label) for label in re.findall(r"<tr><td>([^<]*)</td><td>[\d.]+ s</td>", used)),
        {html.unescape(label): html.unescape(reason) for label, reason in rows},
        {html.unescape(sentence): html.unescape(labels).split(", ") for sentence, labels in findings},
    )


def _selected(cell: dict[str, Any]) -> dict[str, Any]:
    attachment: dict[str, Any] = cell["metadata"]["attachments"][cell["metadata"]["selectedAudioId"]]
    return attachment
