"""`model.base_model: auto` chooses by hours, licence and letters, and says why."""

import json
import re
from pathlib import Path

import pytest
import torch
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel, Wav2Vec2Config, Wav2Vec2ForCTC

from codex_worker.asr.base_choice import RULES
from codex_worker.asr.corpus import TranscribedClip
from codex_worker.asr.start import FromWeights
from codex_worker.contract.licences import LICENCES, forbids_commercial_use
from codex_worker.errors import SystemFault
from codex_worker.job.api import Weights
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, job_in
from codex_worker.text.normalise import recipe_for
from handlers.asr.w2v2bert import training
from handlers.asr.w2v2bert.base_model import recorded_hours, with_base_model

READS, LISTENS = "omniasr-ctc-300m-v2", "w2v-bert-2.0"
RECORDINGS = sorted((Path(__file__).parents[3] / "sample" / "recordings").iterdir())
SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Two small networks of random weights under the names of published ones: the first writes letters."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    symbols = ["<pad>", "|", *"abcdefghijklmnopqrstuvwxyz"]
    config = Wav2Vec2Config(**SMALL, conv_dim=[8] * 7, vocab_size=len(symbols), pad_token_id=0)
    Wav2Vec2ForCTC(config).save_pretrained(folder / READS)
    vocab = {symbol: row for row, symbol in enumerate(symbols)}
    (folder / READS / "vocab.json").write_text(json.dumps(vocab))
    Wav2Vec2BertModel(Wav2Vec2BertConfig(**SMALL, output_hidden_size=32)).save_pretrained(folder / LISTENS)
    return {name: Weights(folder / name, "0123abcd") for name in (READS, LISTENS)}


def chosen(folder, weights, text, hours=1.0, **model):
    job = job_in(folder / "job", {"model": {"base_model": "auto", **model}}, preset="full")
    callbacks = MemoryCallbacks(MemoryScanner({}, job, weights=weights), job)
    clips = [TranscribedClip("a", folder, text, expected_duration_s=hours * 3600)]
    named, reasons = with_base_model(job, callbacks, clips, recipe_for([text]))
    return named, " / ".join(reasons), callbacks


@pytest.mark.parametrize(
    ("text", "hours", "name", "said"),
    [
        ("God made all men.", 1.0, READS, r"auto: hf-audio/omniasr.*1\.0 hours.*reads the letters already"),
        ("God made all men.", 9.9, READS, "9.9 hours"),
        ("God made all men.", 10.0, LISTENS, r"auto: facebook/w2v-bert.*omniasr.* is for less than 10 hours"),
        ("Бог создал людей.", 1.0, LISTENS, "omniasr.* writes 0% of the letters"),
        ("Mānuka ŋōdā ʔēlū", 1.0, LISTENS, r"omniasr.* writes \d+% of the letters"),
    ],
    ids=["little", "almost ten hours", "much", "another script", "too many letters of its own"],
)
def test_the_base_is_chosen_by_hours_and_letters_with_its_reason(tmp_path, weights, text, hours, name, said):
    job, reasons, callbacks = chosen(tmp_path, weights, text, hours)
    assert job.options.training.weights == name
    assert pytest.approx(hours) == recorded_hours(
        [TranscribedClip("a", tmp_path, text, expected_duration_s=hours * 3600)]
    )

    assert re.search(said, reasons), reasons
    start = training.start_of(job, callbacks)
    assert isinstance(start, FromWeights)
    assert start.origin == f"{job.options.training.base_model}@0123abcd"


def test_where_the_operator_has_no_network_that_reads_another_will_do(tmp_path, weights):
    job, reasons, _ = chosen(tmp_path, {LISTENS: weights[LISTENS]}, "God made all men.")
    assert job.options.training.weights == LISTENS and "cannot be had here" in reasons


def test_without_the_last_one_the_job_waits_for_another_worker(tmp_path, weights):
    with pytest.raises(SystemFault, match="w2v-bert"):
        chosen(tmp_path, {READS: weights[READS]}, "Бог создал людей.")


@pytest.mark.parametrize("model", [{"base_model": "mms-1b"}, {"base_checkpoint": "gpu_jobs/job_a/x"}])
def test_where_a_job_names_its_start_nothing_is_chosen(tmp_path, model):
    job, reasons, _ = chosen(tmp_path, {}, "God made all men.", **model)
    assert job.config["model"] == {"base_model": "auto", **model} and not reasons


def test_nothing_that_forbids_commercial_use_is_chosen():
    assert not [rule.base for rule in RULES if forbids_commercial_use(LICENCES[rule.base])]


def test_the_last_rule_fits_every_project():
    assert RULES[-1].must_read == 0 and RULES[-1].below_hours == float("inf")


def test_hours_are_known_at_a_glance_from_notes_cuts_and_heads(tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    clips = [
        TranscribedClip("noted", broken, "x", expected_duration_s=1800.0),
        TranscribedClip("cut", broken, "x", start_s=60.0, end_s=1860.0),
        TranscribedClip("broken", broken, "x"),
    ]
    assert recorded_hours(clips) == pytest.approx(1.0)
    assert 0 < recorded_hours([TranscribedClip("head", RECORDINGS[0], "x")]) < 0.01
