"""A job's options: what can be meant is read alike for every model, what cannot is said before any work."""

from datetime import datetime
from typing import Any

import pytest
import yaml

from codex_worker.contract.manifest import read_manifest
from codex_worker.contract.options import (
    InferenceOptions,
    TrainingOptions,
    all_keys,
    options_of,
    read_options,
)
from codex_worker.errors import UserError

ASR = {"job_type": "asr", "model_type": "w2v2bert"}
TTS = {"job_type": "tts", "model_type": "stabletts"}
PLUG_IN = {"job_type": "translate", "model_type": "nllb"}
BOTH = "training_and_inference"


def nested(place, value):
    for part in reversed(place.split(".")):
        value = {part: value}
    return value


def read(config, job=ASR, mode=BOTH):
    return read_options(config, mode=mode, **job)


def refusal(config, job=ASR, mode=BOTH):
    with pytest.raises(UserError) as caught:
        read(config, job, mode)
    return str(caught.value)


@pytest.mark.parametrize("job", [ASR, TTS, PLUG_IN])
@pytest.mark.parametrize(
    ("place", "name", "written", "meant"),
    [
        ("epochs", "epochs", "50", 50),
        ("epochs", "epochs", 5.0, 5),
        ("epochs", "epochs", " 7 ", 7),
        ("epochs", "epochs", "1e2", 100),
        ("epochs", "epochs", 100_000, 100_000),
        ("batch_size", "batch_size", "8", 8),
        ("batch_size", "batch_size", 8.0, 8),
        ("warmup_steps", "warmup_steps", "100", 100),
        ("warmup_steps", "warmup_steps", 0, 0),
        ("gradient_accumulation_steps", "gradient_accumulation_steps", "1024", 1024),
        ("early_stopping_patience", "early_stopping_patience", 0, 0),
        ("seed", "seed", "1", 1),
        ("seed", "seed", 2**31, 2**31),
        ("val_split", "val_split", 0, 0.0),
        ("val_split", "val_split", "0.5", 0.5),
        ("learning_rate", "learning_rate", "1e-4", 1e-4),
        ("learning_rate", "learning_rate", 1, 1.0),
        ("max_duration_seconds", "max_duration_seconds", "12.5", 12.5),
        ("transmorgrifier.enabled", "corrector", "Yes", True),
        ("transmorgrifier.enabled", "corrector", 1, True),
        ("model.from_scratch", "from_scratch", " ON ", True),
        ("model.from_scratch", "from_scratch", "0", False),
        ("model.from_scratch", "from_scratch", "y", True),
        ("model.from_scratch", "from_scratch", "N", False),
        ("text_normalization.lowercase", "lowercase", "off", False),
        ("training.include_machine_made", "include_machine_made", "true", True),
        ("model.base_model", "base_model", "MMS-1b", "facebook/mms-1b"),
        ("model.base_model", "base_model", "facebook/wav2vec2-base", "facebook/wav2vec2-base"),
        ("model.base_model", "base_model", "omniASR-CTC-300M-v2", "hf-audio/omniasr-ctc-300m-v2"),
        ("model.vocoder", "vocoder", " Griffin_Lim", "griffin_lim"),
        ("model.frontend", "frontend", "COMPAT", "compat"),
        ("model.base_checkpoint", "base_checkpoint", " a/b.pt ", "a/b.pt"),
        ("training.include_verses", "include_verses", ["MRK 1:1", 7, None], ("MRK 1:1", "7")),
    ],
)
def test_what_can_be_meant_is_read_alike_for_every_model(job, place, name, written, meant):
    value = getattr(read(nested(place, written), job).training, name)
    assert (value, type(value)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("place", "name", "written", "meant"),
    [
        ("inference.cfg_scale", "cfg_scale", "3", 3.0),
        ("inference.diffusion_steps", "diffusion_steps", 25.0, 25),
        ("inference.solver", "solver", "RK4", "rk4"),
        ("audio_format", "audio_format", "MP3", "mp3"),
        ("inference.audio_format", "audio_format", "Wav ", "wav"),
        ("inference.suppress_unk", "suppress_unk", "no", False),
        ("inference.unk_replacement", "unk_replacement", " ", " "),
        ("trained_model_path", "trained_model_path", "old.pt", "old.pt"),
        ("model.base_checkpoint", "base_checkpoint", "a.pt", "a.pt"),
    ],
)
def test_how_a_model_is_used_is_read_as_freely(place, name, written, meant):
    assert getattr(read(nested(place, written), TTS).inference, name) == meant


def test_the_place_in_its_section_counts_before_the_older_one():
    config = {"audio_format": "mp3", "inference": {"audio_format": "wav"}}
    assert read(config, TTS).inference.audio_format == "wav"


def test_null_and_empty_texts_count_as_absent():
    nothing = read({key.place: None for key in all_keys() if "." not in key.place} | {"model": None})
    assert (nothing.training, nothing.inference) == (TrainingOptions(), InferenceOptions())
    sections = read({"model": {"base_checkpoint": "", "preset": None}, "training": {"include_verses": None}})
    assert sections.training == TrainingOptions()


@pytest.mark.parametrize("job", [ASR, TTS, PLUG_IN])
@pytest.mark.parametrize(
    ("place", "values"),
    [
        ("epochs", [0, -1, 100_001, 2.5, "many", "", True, [5], {}, float("nan"), float("inf"), 10**400]),
        ("batch_size", [0, 4097, "8 or 9", False, "9" * 5000]),
        ("gradient_accumulation_steps", [0, 1025, 2000]),
        ("learning_rate", [0, -1e-4, 5, "fast", "nan", "inf", float("nan"), True, "1,5"]),
        ("warmup_steps", [-1, 10**6 + 1, [1]]),
        ("seed", [-1, 2**31 + 1, 0.5]),
        ("early_stopping_patience", [-1, "never"]),
        ("val_split", [-0.1, 0.51, 0.6, "10%"]),
        ("test_split", [0.6]),
        ("transmorgrifier.enabled", ["perhaps", 2, [], "", -1]),
        ("model.from_scratch", ["scratch"]),
        ("model.vocoder", ["griffin-lim", True, 1]),
        ("model.base_model", ["facebook/hubert", "../w2v-bert-2.0"]),
        ("model.preset", ["huge"]),
        ("model.pretrained_repo_id", ["somebody/else"]),
        ("model.base_checkpoint", [["a.pt"], True, "x" * 2000]),
        ("inference.solver", ["magic"]),
        ("inference.cfg_scale", [float("nan"), 21, "3 or 4"]),
        ("inference.diffusion_steps", [0, 10.5, True]),
        ("inference.unk_replacement", ["x" * 33]),
        ("audio_format", ["flac"]),
        ("training.include_verses", ["MRK 1:1", {"MRK": 1}, [{"MRK": 1}], [True], 7]),
        ("timeout", ["3 hours", -1, 0, True, float("nan"), 1e300, "soon", [], "9999-12-31T23:00:00-14:00"]),
    ],
)
def test_a_value_that_cannot_be_meant_names_its_key_for_every_model(job, place, values):
    for value in values:
        if place in {"epochs", "transmorgrifier.enabled"} and value == {}:
            continue
        said = refusal(nested(place, value), job)
        assert f"{place}: " in said
        assert len(said) < 700, "a sentence for people, whatever the manifest holds"


@pytest.mark.parametrize("timeout", [3, "3", 0.5, "2026-11-22T00:00:00Z", datetime(2026, 11, 22), None])
def test_a_timeout_is_a_time_or_a_number_of_hours(timeout):
    assert read({"timeout": timeout}).notes == ()


@pytest.mark.parametrize(("val", "test"), [(0.5, 0.5), (0.4, 0.41), ("0.5", "0.31")])
def test_the_shares_held_out_leave_something_to_learn_from(val, test):
    said = refusal({"val_split": val, "test_split": test})
    assert "val_split" in said and "test_split" in said
    assert read({"val_split": 0.4, "test_split": 0.4}).training.test_split == 0.4


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"training": {"epochs": 1}}, ["training.epochs", "top of the entry"]),
        ({"training": {"include_verse": ["MRK 1"]}}, ["training.include_verse ", "training.include_verses"]),
        ({"training": {"batchSize": 8}}, ["training.batchSize", "batch_size"]),
        ({"training": "MRK 1"}, ["training", "include_verses"]),
        ({"inference": []}, ["inference", "include_verses"]),
        ({"transmorgrifier": True}, ["transmorgrifier: True", "enabled"]),
        ({"transmogrifier": {"enabled": True}}, ["transmogrifier", "transmorgrifier"]),
        ({"epoch": 1}, ["epoch ", "epochs"]),
        ({"trainning": {}}, ["trainning", "training"]),
        ({"inferance": {}}, ["inferance", "inference"]),
        ({"batchSize": 8}, ["batchSize", "batch_size"]),
        ({"learning-rate": 8}, ["learning-rate", "learning_rate"]),
        ({"Epochs": 3}, ["Epochs", "epochs"]),
        ({"learnign_rate": 1}, ["learnign_rate", "learning_rate"]),
        ({"modle": {"type": "W2V2BERT"}}, ["modle", "model"]),
        ({"include_verses": ["MRK 1"]}, ["include_verses", "training: {", "inference: {"]),
        ({"model": "W2V2BERT"}, ["model: {type: W2V2BERT}"]),
        ({"model": ["x"]}, ["model", "type"]),
        ({"model": {"epochs": 3}}, ["model.epochs", "top of the entry"]),
        ({"inference": {"learning_rate": 1}}, ["inference.learning_rate", "top of the entry"]),
        ({"cfg_scale": 3}, ["cfg_scale", "inference: {cfg_scale: 3}"]),
        ({"base_checkpoint": "a.pt"}, ["base_checkpoint", "model: {base_checkpoint: 'a.pt'}"]),
        ({"preset": "tiny"}, ["preset", "model: {preset: 'tiny'}"]),
        ({"type": "W2V2BERT"}, ["type", "model: {type: 'W2V2BERT'}"]),
        ({"inference.cfg_scale": 3}, ["inference.cfg_scale", "inference: {cfg_scale: 3}"]),
        ({"training.epochs": 3}, ["training.epochs", "top of the entry"]),
        ({"model.base_chekpoint": "x"}, ["model.base_chekpoint", "model.base_checkpoint is meant"]),
        ({"cancelled": True}, ["cancelled", "canceled is meant"]),
        ({"text_normalization": {"lower_case": True}}, ["text_normalization.lowercase"]),
        ({"lowercase": False}, ["text_normalization: {lowercase: False}"]),
        ({"peochs": 1}, ["peochs ", "epochs is meant"]),
        ({"sede": 1}, ["sede ", "seed is meant"]),
        ({"batch_szie": 8}, ["batch_szie", "batch_size is meant"]),
        ({"batch_siz": 8}, ["batch_siz ", "batch_size is meant"]),
        ({"abtch_size": 8}, ["abtch_size", "batch_size is meant"]),
        ({"batch.size": 8}, ["batch.size", "batch_size is meant"]),
        ({"learning_rte": 1}, ["learning_rte", "learning_rate is meant"]),
        ({"vla_split": 0.1}, ["vla_split", "val_split is meant"]),
        ({"model": {"form_scratch": True}}, ["model.form_scratch", "model.from_scratch is meant"]),
        ({"inference": {"cgf_scale": 3}}, ["inference.cgf_scale", "inference.cfg_scale is meant"]),
        ({"training": {"text_normalization": {}}}, ["training.text_normalization", "top of the entry"]),
        ({"inference": {"model": {"base_checkpoint": "x"}}}, ["inference.model", "top of the entry"]),
        ({"model": {"training": {"include_verses": []}}}, ["model.training", "top of the entry"]),
        ({"training": {"training": {}}}, ["training.training", "top of the entry"]),
    ],
)
@pytest.mark.parametrize("job", [ASR, TTS])
def test_a_known_key_in_the_wrong_place_or_spelling_is_said(job, config, named):
    said = refusal(config, job, "training")
    for part in named:
        assert part in said


NEW_KEYS: dict[str, Any] = {
    "priority": 1,
    "notify": "a@example.org",
    "labels": ["x"],
    "tags": [],
    "owner": "x",
    "speed": 1.0,
    "reference": "x",
    "voice": "x",
    "languages": ["swh"],
    "language": "swh",
    "created_by": "x",
    "submitted_by": "x",
    "depends_on": "x",
    "min_duration_seconds": 1,
    "max_epochs": 3,
    "precision": "bf16",
    "weight_decay": 0.1,
    "retries": 2,
    "gpu": "H100",
    "notes": "x",
    "model": {"quantization": "int8", "size": "large", "revision": "x", "name": "x", "adapter": "x"},
    "inference": {"voice": "x", "speed": 1.2, "beam_size": 4, "language_model": "x", "pitch": 1},
    "training": {"augmentation": True, "optimizer": "x", "max_steps": 10, "mode": "x", "name": "x"},
    "text_normalization": {"remove_tones": True},
    "evaluation": {"enabled": True},
    "evaluation.epochs": 3,
    "eval_split": 0.1,
    "dev_split": 0.1,
    "text_split": 0.1,
    "speed_scale": 1,
    "see": "x",
    "min_learning_rate": 1e-6,
}


@pytest.mark.parametrize("key", NEW_KEYS)
def test_keys_of_a_newer_plugin_are_kept_and_named(key):
    names = [f"{key}.{name}" for name in NEW_KEYS[key]] if isinstance(NEW_KEYS[key], dict) else [key]
    for mode in ("training", "inference", BOTH):
        notes = read({key: NEW_KEYS[key]}, mode=mode).notes
        assert key == "evaluation" or all(any(name in note for note in notes) for name in names)
        assert notes


def test_an_entry_of_absurd_keys_is_read_in_a_moment():
    config = {f"{'epochs_' * 3}{number}": 1 for number in range(20_000)} | {"e" * 10**6: 1}
    assert len(read(config).notes) < 20
    assert "very many digits" in refusal({"epochs": [10**5000]})


def test_empty_lists_are_not_worth_a_note():
    empty: dict[str, list[str]] = {"include_verses": [], "exclude_verses": []}
    assert read({"training": empty, "inference": empty}, mode="training").notes == ()


def test_what_people_write_for_themselves_is_no_news():
    assert read({"name": "my job", "description": "first try", "canceled": False, "job_id": "x"}).notes == ()


@pytest.mark.parametrize(
    ("config", "job", "mode", "noted"),
    [
        ({"audio_format": "wav"}, ASR, BOTH, "audio_format"),
        ({"max_duration_seconds": 9}, TTS, BOTH, "max_duration_seconds"),
        ({"epochs": 3}, ASR, "inference", "epochs"),
        ({"training": {"include_verses": ["x"]}}, ASR, "inference", "training.include_verses"),
        ({"inference": {"cfg_scale": 3}}, TTS, "training", "inference.cfg_scale"),
        ({"use_8bit_optimizer": True}, ASR, "training", "use_8bit_optimizer has no effect: AdamW"),
        ({"eval_strategy": "steps", "eval_steps": 5}, ASR, "training", "eval_steps"),
        ({"save_interval": 5}, TTS, "training", "save_interval"),
        ({"model": {"use_wav2vec2_base": "auto"}}, ASR, "training", "model.use_wav2vec2_base"),
    ],
)
def test_a_key_without_effect_is_accepted_and_noted(config, job, mode, noted):
    assert any(noted in note for note in read(config, job, mode).notes)


@pytest.mark.parametrize(
    ("config", "job", "mode"),
    [
        ({"epochs": 3}, TTS, "training"),
        ({"early_stopping_patience": 3}, ASR, BOTH),
        (
            {"training": {"include_verses": ["x"]}},
            TTS,
            "inference",
        ),  # the voice reference is taken from these
        ({"trained_model_path": "x"}, ASR, "inference"),
        ({"model": {"language": "english", "base_checkpoint": "x", "preset": "tiny"}}, TTS, "inference"),
    ],
)
def test_a_key_with_effect_is_not_noted(config, job, mode):
    assert read(config, job, mode).notes == ()


def test_several_faults_are_told_in_one_message_but_not_all_of_many():
    said = refusal({"epoch": 1, "batch_size": "many", "inference": [], "model": {"epochs": 2}})
    assert all(part in said for part in ("epoch ", "batch_size: 'many'", "inference: []", "model.epochs"))
    said = refusal(
        {f"epoch{'s' * number}": "x" for number in range(2)}
        | dict.fromkeys(
            ("batch_size", "seed", "warmup_steps", "val_split", "test_split", "learning_rate"), "x"
        )
    )
    assert "more like these" in said
    assert len(said) < 1000


def test_many_unknown_keys_make_few_notes():
    notes = read({f"new{number}": 1 for number in range(1000)}).notes
    assert len(notes) < 20 and "more keys" in notes[-1]


def test_a_plug_in_may_have_keys_of_its_own():
    inference = {"solver": 1, "speed": 2}
    config = {"beam": 4, "temperature": 1, "training": {"epochs": 3}, "inference": inference}
    with pytest.raises(UserError, match=r"inference\.solver"):
        read(config, PLUG_IN)
    del inference["solver"]
    assert read(config, PLUG_IN).notes == ()
    assert "epochs" in refusal({"epoch": 3}, PLUG_IN)


def test_no_known_key_could_be_taken_for_another():
    for key in all_keys():
        for place in key.places:
            for job in (ASR, TTS):
                try:
                    read(nested(place, None if key.no_effect else "a value"), job)
                except UserError as error:
                    assert "is meant" not in str(error).replace("griffin_lim is meant", "")
                    assert "wrong place" not in str(error)


def test_the_readmes_example_is_accepted_without_notes(request):
    readme = (request.config.rootpath / "README.md").read_text()
    example = next(part for part in readme.split("```") if part.startswith("yaml\nversion"))
    (entry,) = read_manifest(yaml.safe_load(example.removeprefix("yaml\n"))).jobs.values()
    options = options_of(entry)
    assert options.notes == ()
    assert options.training.epochs == 50
    assert options.inference.exclude_verses == ("MRK 2:3",)
