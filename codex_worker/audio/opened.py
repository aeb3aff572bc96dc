"""Files of strangers, opened for decoding: what kinds are read, and what a file says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_worker.audio.not_sound import HEAD_BYTES, refuse_what_is_no_sound, refuse_zeros
from codex_worker.audio.parts import FilePart, PartOfFile
from codex_worker.audio.refusals import CutOff, Encrypted
from codex_worker.audio.wholeness import beginning_without_end
from codex_worker.errors import DataError

if TYPE_CHECKING:
    from av.container import InputContainer

# Kinds that hold sound themselves and are known by their content. A playlist could name other files.
FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,"
    "mpeg,mpegts,nistsphere,ogg,qcp,rm,sox,tta,voc,w64,wav,wv"
)
LOWEST_RATE, HIGHEST_RATE = 4_000, 384_000
MAX_CHANNELS = 32
_NO_CODEC = "none"
_ENCRYPTED = ("drms", "enca")  # sample entries of a shop's files (.m4p) and of ISO/IEC 23001-7


@dataclass(frozen=True)
class AudioInfo:
    """What a file says of itself; `duration_s` is None where it does not say (recorded by a browser)."""

    duration_s: float | None
    sample_rate: int
    channels: int
    codec: str
    container: str


def check_head(path: Path) -> None:
    """Raises DataError where a file cannot be read or is something else than sound."""
    refuse_what_is_no_sound(path, head := _head(path))
    if head.startswith(b"RIFX"):  # the decoder takes its samples for those of a RIFF file, which is noise
        raise DataError(f"{path} is a WAV file of an old kind (RIFX) that is not read; convert it to WAV")


@contextmanager
def opened(path: Path, part: FilePart) -> Iterator[tuple[InputContainer, AudioInfo]]:
    """Open a part of a file, known by its content whatever its name ends with.

    Raises:
        CutOff: what tells how to read it was lost with its end.
        Encrypted: only a shop's programs may play it.
        DataError: it is no recording that can be read.
    """
    with PartOfFile(path, part) as file, _open(path, file) as container:
        yield container, _info(container, path)


def sound_of(container: InputContainer) -> Any:
    """The stream that is read: the first one with sound of a known kind, else the first one with sound."""
    streams = container.streams.audio
    return next((stream for stream in streams if stream.codec_context is not None), streams[0])


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _open(path: Path, file: PartOfFile) -> InputContainer:
    import av

    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:  # a title in another encoding than UTF-8 is no fault of the sound
        return av.open(file, metadata_errors="replace", options=options)
    except (av.FFmpegError, ValueError) as error:
        refuse_zeros(path, head := _head(path))
        lost = beginning_without_end(file, file.size, head)
        if lost is not None:
            raise CutOff(
                f"{path} is cut off, and nothing of it can be read without its end ({lost}); "
                "record it again or fetch it anew"
            ) from error
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path} is no recording that can be read ({reason}); it is cut off or not audio at all"
        ) from error


def _info(container: InputContainer, path: Path) -> AudioInfo:
    kind = container.format.name
    if not container.streams.audio:
        held = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise DataError(f"{path} has no sound in it ({kind} with {held}); record it again")
    stream = sound_of(container)
    if stream.codec_context is None or stream.codec_context.name == _NO_CODEC:
        raise DataError(
            f"{path} holds sound of a kind that is not known (a codec in {kind}); convert it to WAV"
        )
    if _tag(stream) in _ENCRYPTED:
        raise Encrypted(path)
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    if not LOWEST_RATE <= rate <= HIGHEST_RATE or not 1 <= channels <= MAX_CHANNELS:
        raise DataError(f"{path} claims {rate} Hz and {channels} channels, which no recording of speech has")
    duration_s = None
    if stream.duration is not None and stream.time_base is not None:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        duration_s = container.duration / 1_000_000
    return AudioInfo(duration_s, rate, channels, stream.codec_context.name, kind)


def _tag(stream: Any) -> str:
    """The four letters by which the file names the kind of its sound; nothing where they are none."""
    try:
        return str(stream.codec_context.codec_tag)
    except UnicodeDecodeError:  # numbers instead, as in WAV, or whatever a stranger wrote there
        return ""
