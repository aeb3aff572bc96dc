"""Voices that are ready to speak, whatever network they are."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from codex_worker.audio.decode import decode
from codex_worker.errors import DataError, UserError
from codex_worker.service.kinds import ModelKind, kind_of
from codex_worker.stabletts.checkpoint import read_checkpoint, read_vocos
from codex_worker.stabletts.frontend.encoding import TextFrontend
from codex_worker.stabletts.preparation import ready_samples
from codex_worker.stabletts.speak import Speaker, SpeakingSettings
from codex_worker.stabletts.verses import Failed, Spoken, Verse
from codex_worker.training.machine import this_machine
from codex_worker.vits.checkpoint import read_checkpoint as read_vits
from codex_worker.vits.checkpoint import read_mms_voice
from codex_worker.vits.speak import VitsSpeaker

FRAMES_PER_BATCH_ON_A_PROCESSOR = 2_000
Speak = Callable[[Iterable[Verse], SpeakingSettings, Callable[[], bool]], Iterator[Spoken | Failed]]


@dataclass(frozen=True)
class ServedVoice:
    """A voice on its device. `licence` is that of the weights that it goes back to, where they have one."""

    name: str
    kind: ModelKind
    frontend: TextFrontend
    sample_rate: int
    language: str
    licence: str
    speak: Speak
    notes: tuple[str, ...] = ()


def open_voice(
    checkpoint: Path,
    *,
    fetch_vocoder: Callable[[], Path],
    reference: Path | None = None,
    device: str | None = None,
) -> ServedVoice:
    """The voice in a file, or in the folder of a published MMS voice.

    Args:
        fetch_vocoder: where the official weights of Vocos are; asked only for a voice that needs them.
        reference: a recording of the person to speak like, for a voice that can.

    Raises:
        DataError: the file is no voice, or the reference cannot be used.
        UserError: the voice takes no reference.
    """
    device = device or this_machine().device
    if checkpoint.is_dir() or kind_of(checkpoint) is ModelKind.VITS:
        return _vits(checkpoint, reference, device)
    if kind_of(checkpoint) is not ModelKind.STABLETTS:
        raise DataError(f"{checkpoint.name} is a transcriber, which does not speak; choose a voice.")
    return _stabletts(checkpoint, fetch_vocoder, reference, device)


def settings_for(device: str | None = None, **asked: object) -> SpeakingSettings:
    """The settings that are asked for, with batches that fit the machine."""
    where = device or this_machine().device
    others = {} if where != "cpu" else {"batch_frames": FRAMES_PER_BATCH_ON_A_PROCESSOR}
    return SpeakingSettings(**{**others, **asked})  # type: ignore[arg-type]


def _stabletts(
    checkpoint: Path, fetch_vocoder: Callable[[], Path], reference: Path | None, device: str
) -> ServedVoice:
    loaded = read_checkpoint(checkpoint)
    voice = loaded.voice
    if voice is None:
        raise DataError(
            f"{checkpoint.name} says nothing of how it reads letters. Use the .safetensors file of a job."
        )
    vocos = read_vocos(fetch_vocoder()) if voice.vocoder == "vocos" else None
    precision = "fp32" if device == "cpu" else this_machine().precision
    speaker = Speaker(loaded.network(), voice, vocos, device=device, precision=precision)
    samples = None
    if reference is not None:
        samples = ready_samples(decode(reference, sample_rate=voice.mel.sample_rate))
    heard = speaker.listen(samples)
    notes: tuple[str, ...] = ()
    if samples is None and not voice.speaker:
        notes = ("the voice has no speaker of its own; name a recording of one, or train it anew",)
    return ServedVoice(
        checkpoint.stem,
        ModelKind.STABLETTS,
        voice.frontend,
        voice.mel.sample_rate,
        voice.language,
        voice.licence,
        lambda verses, settings, should_stop: speaker.speak(verses, heard, settings, should_stop),
        notes,
    )


def _vits(checkpoint: Path, reference: Path | None, device: str) -> ServedVoice:
    if reference is not None:
        raise UserError(f"{checkpoint.name} is a VITS voice: it has the one speaker that it learnt from.")
    loaded = read_mms_voice(checkpoint, "local") if checkpoint.is_dir() else read_vits(checkpoint)
    voice = loaded.voice
    return ServedVoice(
        checkpoint.stem,
        ModelKind.VITS,
        voice.frontend,
        voice.config.sampling_rate,
        voice.language,
        voice.licence,
        VitsSpeaker(loaded.network(), voice, device=device).speak,
    )
