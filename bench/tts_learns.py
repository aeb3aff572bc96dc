"""Does a voice learn to be understood? `python -m bench.tts_learns --epochs 300`

Trains the tiny network on the sample recordings, speaks sentences that it never heard, and has a transcriber
that was fitted on the same two voices read them back. The same transcriber's reading of the people's own
recordings of those sentences says how well it can be done. One JSON object on the last line.
"""

import argparse
import json
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from codex_worker.audio.decode import decode
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from codex_worker.stabletts.checkpoint import VoiceCheckpoint, read_checkpoint
from codex_worker.stabletts.dataset import Samples
from codex_worker.stabletts.preparation import ready_samples
from codex_worker.stabletts.speak import Speaker, SpeakingSettings, Spoken, Verse
from handlers.asr.w2v2bert import training as asr_training
from handlers.tts.stabletts import training as tts_training
from handlers.tts.stabletts.listener import Listener
from sample.make_codex_project import make_project

RECORDINGS = Path(__file__).parents[1] / "sample" / "recordings"
SENTENCES = Path(__file__).parents[1] / "sample" / "sentences.json"
RATE = 44_100


def main() -> None:
    """Run it all and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--steps", type=int, default=20, help="Euler steps of the flow")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), arguments.epochs, arguments.steps)))


def measure(folder: Path, epochs: int, steps: int) -> dict[str, Any]:
    """Train both, speak and listen."""
    started_s = time.perf_counter()
    voice, losses = train_voice(folder / "tts", epochs)
    trained_s = time.perf_counter() - started_s
    listener = Listener(train_listener(folder / "asr"), folder / "unpacked")
    rows = unheard_sentences()
    texts = [row["text"] for row in rows]
    read_aloud = [recording_of(row) for row in rows]
    reference = max(read_aloud, key=len)
    spoken = speak(voice, texts, reference, steps)
    return {
        "epochs": epochs,
        "tts_training_s": round(trained_s, 1),
        "val_total_loss_first": losses[0],
        "val_total_loss_best": min(losses),
        "cer_of_recordings": round(listener.judge(read_aloud, RATE, texts), 4),
        "cer_of_speech": round(listener.judge(spoken, RATE, texts), 4),
        "duration_ratio_median": round(float(np.median(duration_ratios(spoken, read_aloud))), 3),
        "sentences": len(texts),
    }


def train_voice(folder: Path, epochs: int) -> tuple[VoiceCheckpoint, list[float]]:
    """A tiny voice trained on the sample project, and its validation losses by epoch."""
    job, callbacks = _job(folder, "tts", "stabletts", {"epochs": epochs})
    result = tts_training.run(job, callbacks)
    path = job.folder / "trained.safetensors"
    path.write_bytes(callbacks.scanner.artifacts[result["checkpoint_path"]])
    lines = (job.folder / "training_metrics.csv").read_text(encoding="utf-8").splitlines()
    column = lines[0].split(",").index("val_total_loss")
    losses = [float(cell) for line in lines[1:] if (cell := line.split(",")[column])]
    return read_checkpoint(path), losses


def train_listener(folder: Path) -> Path:
    """A tiny transcriber trained on the same recordings."""
    job, callbacks = _job(folder, "asr", "w2v2bert", {})
    result = asr_training.run(job, callbacks)
    path = job.folder / "trained.safetensors"
    path.write_bytes(callbacks.scanner.artifacts[result["checkpoint_path"]])
    return path


def speak(voice: VoiceCheckpoint, texts: list[str], reference: Samples, steps: int = 10) -> list[Samples]:
    """Sentences in the voice of a recording; silence for one that fails."""
    assert voice.voice is not None
    speaker = Speaker(voice.network(), voice.voice, None)
    verses = [Verse(str(number), text, text) for number, text in enumerate(texts)]
    answers = speaker.speak(verses, speaker.listen(reference), SpeakingSettings(steps=steps))
    found = {one.verse.id: one.samples for one in answers if isinstance(one, Spoken)}
    return [found.get(verse.id, np.zeros(RATE, np.float32)) for verse in verses]


def unheard_sentences() -> list[dict[str, Any]]:
    """Sentences of the same words and voices that are in no recording of the project."""
    rows: list[dict[str, Any]] = json.loads(SENTENCES.read_text(encoding="utf-8"))
    return [row for row in rows if row["split"] != "train"]


def recording_of(row: dict[str, Any]) -> Samples:
    """What a person said for a sentence, trimmed and evened."""
    return ready_samples(decode(RECORDINGS / row["file"], sample_rate=RATE))


def duration_ratios(spoken: list[Samples], read_aloud: list[Samples]) -> list[float]:
    """How long the voice takes for each sentence, in lengths of the person's recording."""
    edges = round(0.3 * RATE)  # the silence that the voice puts around each
    return [(one.size - edges) / other.size for one, other in zip(spoken, read_aloud, strict=True)]


def _job(folder: Path, job_type: str, model: str, config: dict[str, Any]) -> tuple[Any, MemoryCallbacks]:
    made = make_project(folder / "project", with_sample_jobs=False)
    files = files_below(folder / "project")
    contents = {f"lfs/{oid}": content for oid, content in made.large_files.items()}
    job = job_in(folder / "job", config, job_type=job_type, model_type=model, preset="tiny")
    return job, MemoryCallbacks(MemoryScanner({**files, **contents}, job), job)


if __name__ == "__main__":
    main()
