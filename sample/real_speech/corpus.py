"""What the packages hold: the prompts, with the words that are said in them."""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from sample.real_speech.languages import Language

Samples = NDArray[np.float32]

RATE = 16_000
G722_BYTES_PER_S = 8_000
SHORTEST_S, LONGEST_S = 0.3, 30.0  # one verse each
NOT_SPEECH = re.compile(
    r"(ascending|descending|beep|silence/|tt-monkeys$|confbridge-(join|leave)$|dictate/pause)"
)
# The lists give these as they are written elsewhere, or with a tone that is heard as well.
NOT_AS_SAID = re.compile(r"(spy-|tt-allbusy$|hello-world$|vm-intro$|demo-moreinfo$|digits/(at|et|[ap]-m)$)")
# Of a sign such as # or / nobody can tell how it was read aloud.
SIGNS = re.compile(r"""[^\w\s.,;:!?'’"«»“”¿¡–—-]""")
STAGE_DIRECTIONS = re.compile(r"\[[^\]]*\]|<[^>]*>|\([^)]*\)|\.\.\.+|…")
FIGURE = re.compile(r"(?<![\w.])\d(?!\w|\.\d)")


@dataclass(frozen=True)
class Prompt:
    """One recording of the package."""

    key: str
    """Its name in the package, such as ``vm-login``."""
    text: str
    """What is said, as a careful translator writes it."""
    path: Path

    @property
    def duration_s(self) -> float:
        """How long it sounds: G.722 has a constant bit rate."""
        return self.path.stat().st_size / G722_BYTES_PER_S

    def samples(self) -> Samples:
        """The sound: mono [N] at 16 kHz."""
        return read_g722(self.path)


def read_prompts(packages: Path, language: Language) -> list[Prompt]:
    """All prompts of speech whose text says what is heard, in the order of the list.

    Raises FileNotFoundError where ``packages`` lacks the list or the recordings.
    """
    sounds = sounds_folder(packages, language)
    prompts: dict[str, Prompt] = {}
    for key, listed in _listed(packages, language):
        prompt = Prompt(key, tidy(listed, key, language), sounds / f"{key}.g722")
        if key not in prompts and _is_usable(prompt, language):
            prompts[key] = prompt
    return list(prompts.values())


def sounds_folder(packages: Path, language: Language) -> Path:
    """Where the recordings lie; its name ends with the speaker's."""
    for folder in sorted((packages / "usr/share/asterisk/sounds").glob(f"{language.code}_*")):
        return folder
    raise FileNotFoundError(f"{packages} has no recordings of {language.tongue.name}.")


def read_g722(path: Path) -> Samples:
    """A file of bare G.722: mono [N] at 16 kHz, -1 to 1."""
    with av.open(str(path), format="g722") as container:
        parts = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate([*parts, np.zeros(0, np.int16)]).astype(np.float32) / np.float32(32_768)


def tidy(listed: str, key: str, language: Language) -> str:
    """A text of the list as a translator would type it: no stage directions, figures in words."""
    text = listed.strip().removeprefix(f"{key}:")
    text = STAGE_DIRECTIONS.sub(" ", text)
    text = FIGURE.sub(lambda figure: language.digits[int(figure[0])], text)
    text = re.sub(r"\s+(?=[.,!?;:])", "", " ".join(text.split()))
    return re.sub(r"([?!])\.+$", r"\1", text).lstrip(".,;: ")


def _listed(packages: Path, language: Language) -> Iterator[tuple[str, str]]:
    path = packages / f"usr/share/doc/{language.packages[0]}/core-sounds-{language.code}.txt.gz"
    with gzip.open(path, "rt", encoding="utf-8-sig") as lines:
        for line in lines:
            key, colon, text = line.partition(":")
            if colon and not line.startswith(";"):
                yield key.strip(), text


def _is_usable(prompt: Prompt, language: Language) -> bool:
    return (
        language.writes(prompt.text)
        and not SIGNS.search(prompt.text)
        and not NOT_SPEECH.match(prompt.key)
        and not NOT_AS_SAID.match(prompt.key)
        and prompt.path.exists()
        and SHORTEST_S <= prompt.duration_s <= LONGEST_S
    )
