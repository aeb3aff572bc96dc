"""Make the sample's recordings: `python -m sample.make_recordings`.

This rewrites sample/recordings and sample/sentences.json. It was done once and its files are committed;
nothing else needs espeak-ng (on Debian and Ubuntu: `apt-get install espeak-ng`). The sentences are always the
same; the sound follows the version of espeak-ng.
"""

import io
import json
import logging
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import av

from sample.sentences import Utterance, choose

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
RECORDINGS = FOLDER / "recordings"
SENTENCES = FOLDER / "sentences.json"
TRAINING_COUNT = 60
UNHEARD_COUNT = 16
WORDS_PER_MINUTE = 150
SAMPLE_RATE = 16_000
BIT_RATE = 16_000


@dataclass(frozen=True)
class Voice:
    """A voice of espeak-ng, and how high it speaks (0 to 99)."""

    name: str
    pitch: int


VOICES = {voice.name: voice for voice in (Voice("en-us", pitch=45), Voice("en-gb", pitch=70))}


def main() -> int:
    """Speak, encode and list every sentence."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if shutil.which("espeak-ng") is None:
        logger.error("espeak-ng is not installed. On Debian and Ubuntu: apt-get install espeak-ng")
        return 1
    training = choose(TRAINING_COUNT, tuple(VOICES))
    unheard = choose(UNHEARD_COUNT, tuple(VOICES), already_chosen=training)
    RECORDINGS.mkdir(exist_ok=True)
    listed = [
        _record(utterance, split, number)
        for split, utterances in (("train", training), ("unheard", unheard))
        for number, utterance in enumerate(utterances, start=1)
    ]
    SENTENCES.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    size_bytes = sum(path.stat().st_size for path in RECORDINGS.iterdir())
    logger.info("%d recordings, %.0f kB, in %s", len(listed), size_bytes / 1000, RECORDINGS)
    return 0


def speak(text: str, voice: Voice) -> bytes:
    """A sentence spoken by espeak-ng, as a WAV file."""
    command = [
        "espeak-ng",
        "-v",
        voice.name,
        "-p",
        str(voice.pitch),
        "-s",
        str(WORDS_PER_MINUTE),
        "--stdout",
        text,
    ]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _record(utterance: Utterance, split: str, number: int) -> dict[str, str | float]:
    text = " ".join(utterance.words)
    path = RECORDINGS / f"{split}-{number:02d}.webm"
    duration_s = encode(speak(text, VOICES[utterance.voice]), path)
    return {
        "file": path.name,
        "text": text,
        "voice": utterance.voice,
        "split": split,
        "duration_s": round(duration_s, 3),
    }


def encode(wav: bytes, path: Path) -> float:
    """Write WebM with Opus, one channel; the answer is its duration in seconds."""
    samples = 0
    # Without bitexact the container gets a random identity, and every run other bytes.
    with (
        av.open(io.BytesIO(wav)) as source,
        av.open(str(path), "w", format="webm", options={"fflags": "+bitexact"}) as target,
    ):
        stream = target.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = BIT_RATE
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        frames = [part for frame in source.decode(audio=0) for part in resampler.resample(frame)]
        for frame in [*frames, *resampler.resample(None)]:
            samples += frame.samples
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return samples / SAMPLE_RATE


if __name__ == "__main__":
    sys.exit(main())
