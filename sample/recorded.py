"""The recorded sentences as takes, handed out one after the other, and a tone for takes nobody should use."""

import hashlib
import io
import json
import math
import struct
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sample.notebooks import CREATED_MS, Take

FOLDER = Path(__file__).parent
TONE_RATE = 16_000
OPUS_RATE = 48_000  # Opus in WebM always decodes at this rate
SECOND_MS = 1000


@dataclass(frozen=True)
class Spoken:
    """A recording, and the words that are said in it (lower case, no punctuation)."""

    take: Take
    words: str

    @property
    def sentence(self) -> str:
        """The words as a translator types them."""
        return self.words.capitalize() + "."


def spoken(split: str) -> Iterator[Spoken]:
    """The recordings of one split, ``train`` or ``unheard``, in their order."""
    listed = json.loads((FOLDER / "sentences.json").read_text(encoding="utf-8"))
    for second, entry in enumerate(listed, start=1):
        if entry["split"] == split:
            content = (FOLDER / "recordings" / entry["file"]).read_bytes()
            recorded_ms = CREATED_MS + second * SECOND_MS
            yield Spoken(
                Take(
                    attachment_id=f"audio-{recorded_ms}-{hashlib.sha256(content).hexdigest()[:9]}",
                    content=content,
                    extension="webm",
                    duration_s=entry["duration_s"],
                    sample_rate=OPUS_RATE,
                    recorded_ms=recorded_ms,
                ),
                entry["text"],
            )


def tone(attachment_id: str, frequency_hz: float, duration_s: float, recorded_ms: int) -> Take:
    """A WAV with a tone in it."""
    count = round(duration_s * TONE_RATE)
    samples = (round(8000 * math.sin(2 * math.pi * frequency_hz * n / TONE_RATE)) for n in range(count))
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(TONE_RATE)
        file.writeframes(struct.pack(f"<{count}h", *samples))
    return Take(attachment_id, content.getvalue(), "wav", duration_s, TONE_RATE, recorded_ms)
