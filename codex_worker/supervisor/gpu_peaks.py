"""How much of a GPU's memory the jobs of each kind have taken here, kept for the next ones of that kind."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

logger = logging.getLogger(__name__)

FILE = "gpu_peaks.json"
KEPT = 5  # of each kind, the newest: jobs differ, and versions do
MOST_KINDS = 100
_MOST_FILE_BYTES = 1_000_000

Bytes = Annotated[int, Field(ge=1, le=2**50)]
_Word = Annotated[str, Field(max_length=200)]


@dataclass(frozen=True)
class JobKind:
    """What decides how much memory a job takes."""

    job_type: str
    mode: str
    model: str
    preset: str
    gpu: str  # its name

    def __str__(self) -> str:
        return f"{self.job_type} {self.mode} {self.model} {self.preset} on {self.gpu}"


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore")

    job_type: _Word
    mode: _Word
    model: _Word
    preset: _Word
    gpu: _Word
    peaks: Annotated[list[Bytes], Field(min_length=1)]

    @property
    def kind(self) -> JobKind:
        return JobKind(self.job_type, self.mode, self.model, self.preset, self.gpu)


class _Rows(BaseModel):
    kinds: list[_Row] = Field(default_factory=list)


class GpuPeaks:
    """The file of a work folder. What cannot be read counts as never measured."""

    def __init__(self, work_dir: Path) -> None:
        self._file = work_dir / FILE
        self._peaks: dict[JobKind, list[int]] | None = None

    def of(self, kind: JobKind) -> int | None:
        """The most bytes that a recent job of this kind has held; None where none was measured."""
        peaks = self._read().get(kind)
        return max(peaks) if peaks else None

    def all(self) -> Mapping[JobKind, int]:
        """The most bytes of each kind."""
        return {kind: max(peaks) for kind, peaks in self._read().items()}

    def note(self, kind: JobKind, peak_bytes: int, *, is_whole: bool) -> None:
        """Notes what a job has held at most; one that broke off can only raise what is known."""
        known = self.of(kind)
        if peak_bytes < 1 or not (is_whole or known is None or peak_bytes > known):
            return
        peaks = self._read()
        peaks[kind] = [*peaks.pop(kind, []), peak_bytes][-KEPT:]
        for oldest in list(peaks)[:-MOST_KINDS]:
            del peaks[oldest]
        try:
            self._write(peaks)
        except OSError as error:  # measured again by the next job
            logger.warning(
                "How much of the GPU the job took cannot be kept in %s: %s", self._file, error.strerror
            )

    def _read(self) -> dict[JobKind, list[int]]:
        if self._peaks is None:
            self._peaks = self._of_file()
        return self._peaks

    def _of_file(self) -> dict[JobKind, list[int]]:
        try:
            with self._file.open("rb") as file:
                rows = _Rows.model_validate_json(file.read(_MOST_FILE_BYTES)).kinds
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            logger.warning(
                "%s cannot be read (%s): what jobs take of the GPU is measured anew.",
                self._file, type(error).__name__,
            )  # fmt: skip
            return {}
        return {row.kind: row.peaks[-KEPT:] for row in rows[-MOST_KINDS:]}

    def _write(self, peaks: Mapping[JobKind, list[int]]) -> None:
        rows = [{**asdict(kind), "peaks": found} for kind, found in peaks.items()]
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps({"kinds": rows}, indent=1) + "\n")
        partial.replace(self._file)
