"""What is missing at the end of a part of a file: sound that was lost, or silence that nobody recorded."""

from dataclasses import dataclass
from pathlib import Path

from codex_worker.audio.frames import LONGEST_GAP_S, Frames
from codex_worker.audio.opened import AudioInfo
from codex_worker.audio.parts import FilePart, PartOfFile
from codex_worker.audio.wholeness import ending, states_mp3_length

_STATE_LENGTH = (
    "ogg",
    "matroska",
    "mp4",
    "flac",
    "asf",
    "ape",
    "tta",
    "wv",
    "mpc",
    "avi",
    "flv",
)  # others guess it


@dataclass(frozen=True)
class PartEnd:
    """`lost`: why sound is lost at the end, with the length that the part had, where that is known.

    `silence_s` follows where the part is complete and its clock goes on without sound.
    """

    lost: str | None = None
    length_s: float | None = None
    silence_s: float = 0.0


def end_of(path: Path, part: FilePart, info: AudioInfo, frames: Frames, found_s: float) -> PartEnd:
    """Judge the end of a part of which `found_s` seconds were decoded."""
    if part.times_longer is not None:
        return PartEnd("its head promises more samples", part.times_longer * found_s)
    with PartOfFile(path, part) as file:
        found = ending(file, file.size, info.container)
        is_stated = any(name in info.container for name in _STATE_LENGTH) or (
            info.container == "mp3" and states_mp3_length(file, file.size)
        )
    stated_s = None
    if is_stated and frames.states_times and info.duration_s is not None:
        stated_s = info.duration_s - frames.skipped_s
    is_short = stated_s is not None and found_s < stated_s - allowed_s(stated_s)
    if found.missing is not None:
        return PartEnd(found.missing, stated_s if is_short else None)
    if frames.damaged_last and info.container != "mp3":  # mp3 often has tags of all kinds at its end
        return PartEnd("it ends within a packet", stated_s if is_short else None)
    if stated_s is None or not is_short:
        return PartEnd()
    if not found.is_proved:
        return PartEnd("as it states", stated_s)
    silence_s = stated_s - found_s
    return PartEnd(silence_s=silence_s if silence_s <= LONGEST_GAP_S else 0.0)


def allowed_s(length_s: float) -> float:
    """How much shorter than stated a recording may be: statements are rounded, and codecs fill up."""
    return max(0.2, 0.02 * length_s)
