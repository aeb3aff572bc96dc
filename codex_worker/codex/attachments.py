"""Recordings of a cell: where their pointers lie in the repository, and what a new one is called."""

import random
import re
import string
from dataclasses import dataclass
from typing import Any

from codex_worker.codex.alike import decoded
from codex_worker.codex.cell import Attachment, Cell
from codex_worker.contract.ids import MAX_PATH_LENGTH
from codex_worker.errors import DataError, UserError, clause

ATTACHMENTS_FOLDER = ".project/attachments/"
POINTERS_FOLDER = ".project/attachments/pointers/"
FILES_FOLDER = ".project/attachments/files/"

# What the editor saves and plays. What is read is not asked for its ending: its sound decides.
WRITABLE_EXTENSIONS = frozenset({"webm", "wav", "mp3", "m4a", "ogg"})

_MARKER = re.compile(r"(?:^|(?<=/))\.project/attachments/", re.IGNORECASE)
_TREE = re.compile(r"(files|pointers)(/|%2f|%5c)", re.IGNORECASE)
_ABSOLUTE = re.compile(r"/|\./|[A-Za-z](:|%3a)/|file:/", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_NEW_ID = re.compile(r"audio-[0-9]{10,16}-[0-9a-z]{9}")
_MIME_TYPE = re.compile(r"audio/[A-Za-z0-9.+-]{1,60}")
_BASE36 = string.digits + string.ascii_lowercase

# When an entry of ours was last changed, in ms since 1970. Of two copies of an entry the editor keeps the one
# with the larger `updatedAt`, and a person's deletion has their clock's time; ours is older than any clock.
NEVER_UPDATED_MS = 1


@dataclass(frozen=True)
class SelectedRecording:
    """The take that a cell plays, where its LFS pointer lies, and where an old project may hold it."""

    attachment: Attachment
    pointer_path: str
    legacy_path: str | None


@dataclass(frozen=True)
class NewRecording:
    """A recording to be attached. Its file is named like its id: so the editor finds the cell of a file."""

    attachment_id: str
    document: str
    extension: str
    created_by: str
    mime_type: str
    size_bytes: int
    sample_rate: int
    channels: int
    duration_s: float
    bitrate_kbps: float | None = None

    def __post_init__(self) -> None:
        """Raises DataError where a field could not go into a path or an attachment entry as it is."""
        if not _NEW_ID.fullmatch(self.attachment_id) or self.created_at_ms >= 2**53:
            raise DataError(
                f"{self.attachment_id!r} is no id of a new recording (audio-<ms>-<9 letters or digits>)."
            )
        if self.extension not in WRITABLE_EXTENSIONS:
            allowed = ", ".join(sorted(WRITABLE_EXTENSIONS))
            raise DataError(f"The editor cannot play .{self.extension} recordings; choose one of {allowed}.")
        if not _is_safe_name(self.document):
            raise DataError(f"{self.document!r} cannot be the name of a folder of recordings.")
        if not _MIME_TYPE.fullmatch(self.mime_type):
            raise DataError(f"{self.mime_type!r} is no audio type.")
        if _CONTROL.search(self.created_by) or len(self.created_by) > 200:
            raise DataError("The name of a recording's author is too long or holds control characters.")
        numbers = (self.size_bytes, self.sample_rate, self.channels, self.duration_s)
        if any(not 0 < number < 2**53 for number in numbers):
            raise DataError(
                f"The recording {self.attachment_id} has no size, sample rate, channels or duration."
            )
        if self.bitrate_kbps is not None and not 0 < self.bitrate_kbps < 2**53:
            raise DataError(f"The recording {self.attachment_id} has no bit rate above 0.")

    @property
    def created_at_ms(self) -> int:
        """When the recording was made, in ms since 1970: its id says so, as the editor reads it too."""
        return int(self.attachment_id.split("-")[1])

    @property
    def pointer_path(self) -> str:
        """Where the LFS pointer goes in the repository."""
        return f"{POINTERS_FOLDER}{self.document}/{self.attachment_id}.{self.extension}"

    @property
    def url(self) -> str:
        """What the notebook says: the place of the bytes on a translator's machine."""
        return f"{FILES_FOLDER}{self.document}/{self.attachment_id}.{self.extension}"

    def entry(self) -> dict[str, Any]:
        """The attachment entry of the notebook."""
        details: dict[str, Any] = {
            "mimeType": self.mime_type,
            "sizeBytes": self.size_bytes,
            "sampleRate": self.sample_rate,
            "channels": self.channels,
            "durationSec": _as_javascript(self.duration_s),
        }
        if self.bitrate_kbps is not None:
            details["bitrateKbps"] = _as_javascript(self.bitrate_kbps)
        return {
            "url": self.url,
            "type": "audio",
            "createdAt": self.created_at_ms,
            "updatedAt": NEVER_UPDATED_MS,
            "isDeleted": False,
            "createdBy": self.created_by,
            "metadata": details,
        }


def new_attachment_id(time_ms: int, randomness: random.Random | None = None) -> str:
    """An id that no other recording has: `audio-<time in ms>-<9 letters or digits>`."""
    randomness = randomness or random.SystemRandom()
    return f"audio-{time_ms}-{''.join(randomness.choice(_BASE36) for _ in range(9))}"


def selected_recording(cell: Cell) -> SelectedRecording:
    """The recording that the cell plays. Raises DataError with a sentence where none can be used.

    `isMissing` is only a hint of the editor; the pointer and the LFS store have the last word.
    """
    attachment = cell.attachments.get(cell.selected_audio_id) if cell.selected_audio_id else None
    if attachment is None:
        takes = len(cell.live_attachments)
        if cell.selected_audio_id:
            raise DataError("the selected recording is not among the cell's recordings")
        raise DataError(f"none of its {takes} recordings is selected" if takes else "no recording")
    if attachment.is_deleted:
        raise DataError("the selected recording was deleted")
    inside = _inside_attachments(attachment.url)
    return SelectedRecording(attachment, _pointer_path(inside), _legacy_path(inside))


def pointer_path(url: str) -> str:
    """Where the pointer of a recording lies, from any url that the editor ever wrote. Raises DataError."""
    return _pointer_path(_inside_attachments(url))


def resolve_voice_reference(value: str | None) -> str | None:
    """The pointer path that `voice_reference` of a manifest means; None where it names nothing.

    On Windows the plugin writes an absolute path with backslashes. Raises UserError where no recording
    of this project can be meant.
    """
    if value is None or not value.strip():
        return None
    try:
        inside = _inside_attachments(value.strip())
    except DataError as error:
        raise UserError(
            f"voice_reference names no recording of this project: {clause(error)}. Choose the clip again."
        ) from error
    return _pointer_path(inside)


def _inside_attachments(url: str) -> str:
    """The part of a path after `.project/attachments/`, every segment of it a plain name.

    Its %-codes stay: a name may hold a `%`. Which file is meant is decided where all are known: see `alike`.
    """
    shown = repr(url[:200])
    if not url:
        raise DataError("the recording has no url")
    path = url.replace("\\", "/")
    if not _MARKER.search(path) or len(path) > MAX_PATH_LENGTH:
        path = decoded(path).replace("\\", "/")
    *_, found = (None, *_MARKER.finditer(path))
    if found is None:
        raise DataError(f"the path {shown} is not in {ATTACHMENTS_FOLDER}")
    if found.start() > 0 and not _ABSOLUTE.match(path):
        raise DataError(f"the path {shown} leaves the project's {ATTACHMENTS_FOLDER}")
    inside = path[found.end() :]
    if len(_pointer_path(inside)) > MAX_PATH_LENGTH:
        raise DataError(f"the path of the recording is longer than {MAX_PATH_LENGTH} characters")
    if not all(_is_safe_name(name) or _is_safe_name(decoded(name)) for name in inside.split("/")):
        raise DataError(f"the path {shown} leaves the project's {ATTACHMENTS_FOLDER}")
    return inside


def _pointer_path(inside: str) -> str:
    tree = _TREE.match(inside)
    return POINTERS_FOLDER + inside[tree.end() if tree else 0 :]


def _legacy_path(inside: str) -> str | None:
    return None if _TREE.match(inside) else ATTACHMENTS_FOLDER + inside


def _is_safe_name(name: str) -> bool:
    """True for a name that stays in its folder on every system and is none of git's own."""
    if not name or len(name.encode("utf-8", "replace")) > 255 or _CONTROL.search(name):
        return False
    return name not in {".", ".."} and "/" not in name and "\\" not in name and name.lower() != ".git"


def _as_javascript(number: float) -> int | float:
    """A number as JavaScript writes it: whole ones without `.0`, none so small that it needs an exponent."""
    rounded = round(float(number), 3) or 0.001
    return int(rounded) if rounded.is_integer() else rounded
