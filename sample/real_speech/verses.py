"""Which prompts become what: verses to learn from, verses to write down, verses to speak."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from rapidfuzz.distance import Indel

from sample.real_speech.corpus import Prompt
from sample.real_speech.encoding import encode
from sample.real_speech.truth import Plant, Role

# Mostly what the editor's own recorder writes; the rest came by phone or from a studio.
EXTENSIONS = ("webm",) * 10 + ("wav",) * 3 + ("mp3",) * 2 + ("m4a",) * 3 + ("ogg",) * 2
UNHEARD_PERCENT, UNSPOKEN_PERCENT = 20, 8
LIKE = 0.85
SINGLE_SOUNDS = ("letters/", "phonetic/", "digits/")


class Fate(Enum):
    """What became of a file after it was recorded."""

    ARRIVED = auto()
    LOST = auto()  # git has its pointer, the server of large files has nothing
    NEVER_SENT = auto()  # git has an empty file


@dataclass(frozen=True)
class Sound:
    """A recording's file."""

    content: bytes
    extension: str
    duration_s: float
    """As the editor noted it when it was recorded."""
    fate: Fate = Fate.ARRIVED


@dataclass(frozen=True)
class Verse:
    """What a cell is to hold."""

    key: str
    role: Role
    text: str
    said: str
    sound: Sound | None
    plant: Plant | None = None


def chosen_by(text: str, count: int) -> int:
    """A number below ``count`` that depends on the text only."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % count


def roles(prompts: Sequence[Prompt]) -> dict[str, Role]:
    """The role of each prompt, by key; what is not for training says nothing that any other prompt says."""
    plain = {prompt.key: _plain(prompt.text) for prompt in prompts}
    return {prompt.key: _role(prompt.key, plain) for prompt in prompts}


def verse(prompt: Prompt, role: Role) -> Verse:
    """A prompt as it is, in its role."""
    text = "" if role is Role.UNHEARD else prompt.text
    return Verse(prompt.key, role, text, prompt.text, None if role is Role.UNSPOKEN else _sound(prompt))


def _sound(prompt: Prompt) -> Sound:
    extension = EXTENSIONS[chosen_by(f"format {prompt.key}", len(EXTENSIONS))]
    return Sound(encode(prompt.samples(), extension), extension, prompt.duration_s)


def _role(key: str, plain: dict[str, str]) -> Role:
    number = chosen_by(f"role {key}", 100)
    if number >= UNHEARD_PERCENT + UNSPOKEN_PERCENT or key.startswith(SINGLE_SOUNDS):
        return Role.TRAINING
    if _is_like(plain[key], (text for other, text in plain.items() if other != key)):
        return Role.TRAINING
    return Role.UNHEARD if number < UNHEARD_PERCENT else Role.UNSPOKEN


def _is_like(text: str, others: Iterable[str]) -> bool:
    return any(Indel.normalized_similarity(text, other, score_cutoff=LIKE) for other in others)


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w' ]", " ", text.lower()).split())
