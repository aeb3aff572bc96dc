"""`codex-worker synthesise`, `transcribe` and `align` as an operator types them."""

import json
import subprocess
import sys

import numpy as np
import pytest

from codex_worker.audio.decode import decode
from codex_worker.cli.main import main
from tests.support.small_models import write_transcriber, write_voice
from tests.support.spoken import SAMPLE


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return write_voice(folder / "voice.safetensors"), write_transcriber(folder / "reader.safetensors")


RECORDING = next(iter(sorted((SAMPLE / "recordings").iterdir())))


def test_a_text_becomes_a_file_with_its_words_times(models, tmp_path, capsys):
    target = tmp_path / "new" / "verse.mp3"
    assert main([*synthesise(models), "mama na baba", "-o", str(target), "--timings", "json"]) == 0
    words = json.loads(target.with_suffix(".json").read_text())
    assert [word["text"] for word in words] == ["mama", "na", "baba"]
    length = decode(target, sample_rate=16_000).duration_s
    assert 0 < words[0]["start"] < words[-1]["end"] < length + 0.1


def test_it_speaks_as_fast_as_it_is_asked_and_the_same_each_time(models, tmp_path):
    paths = [tmp_path / name for name in ("a.wav", "b.wav", "slow.wav")]
    for path, speed in zip(paths, ("1", "1", "0.5"), strict=True):
        assert main([*synthesise(models), "mama na baba", "-o", str(path), "--speed", speed]) == 0
    assert paths[0].read_bytes() == paths[1].read_bytes()
    fast, slow = (decode(path, sample_rate=16_000).samples.size for path in paths[1:])
    assert 1.6 * fast < slow < 2.4 * fast


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_becomes_a_folder_of_files(models, tmp_path, separator, capsys):
    table = tmp_path / "verses.csv"
    rows = [("file", "text"), ("one.mp3", "mama"), ("one", "baba"), ("../../up", "leo"), ("", "sokoni")]
    table.write_text("\ufeff" + "\n".join(separator.join(row) for row in rows), encoding="utf-8")
    folder = tmp_path / "out"
    assert main([*synthesise(models), "--csv", str(table), "-o", str(folder), "--format", "ogg"]) == 0
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["00004.ogg", "one-00002.ogg", "one.ogg", "up.ogg"]
    assert not (tmp_path.parent / "up.ogg").exists()


def test_a_row_that_cannot_be_spoken_is_named_and_the_others_are_spoken(models, tmp_path, capsys):
    table = tmp_path / "verses.csv"
    table.write_text("id,text\na,mama\nb,漢字\nc,baba\n", encoding="utf-8")
    assert main([*synthesise(models), "--csv", str(table), "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "Row 2: nothing in '漢字' can be spoken" in said
    assert "1 of 3 could not be spoken." in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.wav", "c.wav"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["mama", "--speed", "5"], "--speed is 5; it must be a number from 0.25 to 4."),
        (["mama", "--speed", "nan"], "--speed is nan"),
        (["mama", "--steps", "0"], "--steps is 0"),
        (["mama", "--format", "midi"], "Sound of kind 'midi' is not written"),
        ([], "Give either a text or a table"),
        (["mama", "--csv", "verses.csv"], "Give either a text or a table"),
        (["m" * 50_001], "The text has more than 50000 characters"),
        (["--csv", "missing.csv"], "missing.csv cannot be read"),
        (["mama", "--reference", "missing.wav"], "missing.wav"),
    ],
)
def test_what_cannot_be_meant_is_said(models, tmp_path, arguments, sentence, capsys):
    assert main([*synthesise(models), *arguments, "-o", str(tmp_path / "out.wav")]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out.wav").exists()


def test_a_checkpoint_of_the_wrong_kind_is_named(models, tmp_path, capsys):
    voice, reader = models
    assert main(["synthesise", str(reader), "mama", "-o", str(tmp_path / "x.wav")]) == 1
    assert "reader.safetensors is a transcriber, which does not speak" in capsys.readouterr().err
    assert main(["transcribe", str(voice), str(RECORDING)]) == 1
    assert "voice.safetensors" in capsys.readouterr().err
    (tmp_path / "text.safetensors").write_text("hello")
    assert (
        main(["synthesise", str(tmp_path / "text.safetensors"), "mama", "-o", str(tmp_path / "x.wav")]) == 1
    )
    assert "is no checkpoint of this worker" in capsys.readouterr().err


def test_a_recording_is_printed_and_written_in_every_kind(models, tmp_path, capsys):
    reader = str(models[1])
    assert main(["transcribe", reader, str(RECORDING)]) == 0
    text = capsys.readouterr().out.strip()
    assert text
    kinds = [word for kind in ("txt", "srt", "vtt", "labels", "json") for word in ("--format", kind)]
    assert main(["transcribe", reader, str(RECORDING), "-o", str(tmp_path), *kinds]) == 0
    name = RECORDING.stem
    assert (tmp_path / f"{name}.txt").read_text().strip() == text
    told = json.loads((tmp_path / f"{name}.json").read_text())
    assert told["text"] == text
    assert told["words"][-1]["end"] <= told["duration"] + 0.1
    assert "-->" in (tmp_path / f"{name}.srt").read_text()
    assert (tmp_path / f"{name}.vtt").read_text().startswith("WEBVTT")
    assert (tmp_path / f"{name}.labels.txt").read_text().count("\t") == 2 * len(told["words"])


def test_a_file_that_is_no_recording_is_named_and_the_others_are_read(models, tmp_path, capsys):
    (tmp_path / "x.mp3").write_text("no sound")
    assert main(["transcribe", str(models[1]), str(tmp_path / "x.mp3"), str(RECORDING)]) == 1
    said = capsys.readouterr()
    assert "x.mp3" in said.err
    assert "1 of 2 could not be read." in said.err
    assert said.out.startswith(f"{RECORDING}\t")


def test_a_text_is_laid_over_its_recording(models, tmp_path, capsys):
    assert main(["align", str(models[1]), str(RECORDING), "mama na baba"]) == 0
    assert "mama" in capsys.readouterr().out
    beside = tmp_path / "verse"
    arguments = ["--timings", "labels", "-o", str(beside)]
    assert main(["align", str(models[1]), str(RECORDING), "mama na baba", *arguments]) == 0
    rows = [line.split("\t") for line in (tmp_path / "verse.labels.txt").read_text().splitlines()]
    assert [row[2] for row in rows] == ["mama", "na", "baba"]
    starts = np.array([float(row[0]) for row in rows])
    assert (np.diff(starts) > 0).all()
    assert main(["align", str(models[1]), str(RECORDING), "mama " * 2000]) == 1
    assert "don't belong together" in capsys.readouterr().err


def test_a_text_can_come_from_standard_input(models, tmp_path):
    target = tmp_path / "a.wav"
    command = [sys.executable, "-m", "codex_worker.cli", *synthesise(models), "-", "-o", str(target)]
    done = subprocess.run(command, input="mama na baba", text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert target.stat().st_size > 10_000


def synthesise(models):
    return ["synthesise", str(models[0])]
