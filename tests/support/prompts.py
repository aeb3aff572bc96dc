"""Packages of voice prompts as Debian unpacks them, made of the sample project's own recordings."""

import gzip
import json
from pathlib import Path

import av
import numpy as np

from codex_worker.audio.decode import decode
from sample.make_recordings import RECORDINGS, SENTENCES
from sample.real_speech.corpus import RATE, Samples
from sample.real_speech.languages import Language

LONG, SHORT = 42, 12
SHORTEST_S = 2.7
NOT_SAID = {"beep": "[this is a simple beep tone]", "tt-monkeys": "[sound of monkeys screaming]"}


def made_up_packages(folder: Path, language: Language) -> dict[str, str]:
    """Write both packages of a language into `folder`; the answer is what the prompts say, by key."""
    texts_package, _ = language.packages
    sounds = folder / f"usr/share/asterisk/sounds/{language.code}_XX_f_Somebody"
    said: dict[str, str] = {}
    for number, (text, samples) in enumerate(_spoken()):
        key = f"group/p-{number:02d}" if number % 3 else f"p-{number:02d}"
        said[key] = text
        write_g722(sounds / f"{key}.g722", samples)
    times = np.arange(RATE) / RATE
    for number, key in enumerate(NOT_SAID):
        write_g722(
            sounds / f"{key}.g722", (0.3 * np.sin(880 * np.pi * (number + 1) * times)).astype(np.float32)
        )
    listed = {key: f"{text.capitalize()}." for key, text in said.items()} | NOT_SAID
    write_list(folder, language, listed)
    (folder / f"usr/share/doc/{texts_package}/copyright").write_text("Spoken by somebody.\n")
    return said


def write_list(folder: Path, language: Language, listed: dict[str, str]) -> None:
    """The list of texts, with the lines that are none."""
    path = folder / f"usr/share/doc/{language.packages[0]}/core-sounds-{language.code}.txt.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["; Core Sounds", "", *(f"{key}: {text}" for key, text in listed.items())]
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def write_g722(path: Path, samples: Samples) -> None:
    """Mono samples at 16 kHz as bare G.722, as the packages have them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            (np.clip(samples, -1, 1) * 32_767).astype(np.int16)[None], format="s16", layout="mono"
        )
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _spoken() -> list[tuple[str, Samples]]:
    """Texts of two sentences or more and of single ones, with their sound."""
    entries = json.loads(SENTENCES.read_text(encoding="utf-8"))
    clips = [(e["text"], decode(RECORDINGS / e["file"], sample_rate=RATE).samples) for e in entries]
    long = []
    for number in range(LONG):
        texts: list[str] = []
        parts: list[Samples] = []
        while sum(part.size for part in parts) < SHORTEST_S * RATE:
            text, samples = clips[(7 * number + 11 * len(parts)) % len(clips)]
            texts.append(text)
            parts.append(samples)
        long.append((" and ".join(texts), np.concatenate(parts)))
    return long + clips[:SHORT]
