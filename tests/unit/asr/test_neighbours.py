"""A transcriber of another project as a start: what is taken from it, and what is no start at all."""

import json

import pytest
import torch
from safetensors.torch import save_file

from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.features import FeatureExtractor
from codex_worker.asr.networks.build import build_model, tiny_config
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.errors import DataError, UserError
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, job_in
from codex_worker.stabletts.checkpoint import VoiceDescription, write_checkpoint
from codex_worker.stabletts.configuration import TINY
from codex_worker.stabletts.frontend.choose import FrontendRequest, choose_frontend
from codex_worker.stabletts.network import StableTTS
from codex_worker.text.normalise import TextRecipe
from handlers.asr.w2v2bert import training

PATH = "gpu_jobs/job_a/checkpoint/asr.safetensors"
VOCABULARY = build_vocabulary(["ka mata te hoa"])


def transcriber(path, **changes):
    torch.manual_seed(0)
    about = {"text_recipe": json.dumps(TextRecipe().to_dict()), "metrics": '{"val_cer": 0.05}'}
    model = build_model(tiny_config(VOCABULARY))
    save_checkpoint(
        path, TranscriberCheckpoint(model, VOCABULARY, FeatureExtractor(), metadata=about | changes)
    )
    return path


def start(folder, name, content):
    job = job_in(folder / "job", {"model": {"base_checkpoint": name}})
    return training.start_of(job, MemoryCallbacks(MemoryScanner({name: content}, job), job))


def test_a_neighbours_letters_are_kept_and_new_ones_grow(tmp_path):
    begun = start(tmp_path, f"group/maori:{PATH}", transcriber(tmp_path / "x.safetensors"))
    grown = begun.vocabulary(["kā mata"])
    assert VOCABULARY.letters | {"ā"} == grown.letters
    assert begun.network(grown).lm_head.out_features == len(grown)
    assert begun.origin == f"group/maori:{PATH}"
    assert "New to the checkpoint: 1 letter: ā" in begun.about_letters(grown)


@pytest.mark.parametrize(("name", "is_own"), [(PATH, True), (f"group/maori:{PATH}", False)])
def test_only_a_checkpoint_of_the_project_judges_its_recordings_and_knows_its_spelling(
    tmp_path, name, is_own
):
    begun = start(tmp_path, name, transcriber(tmp_path / "x.safetensors"))
    assert (begun.listener() is not None) is is_own
    assert (begun.text_recipe is not None) is is_own


def voice(path):
    frontend = choose_frontend(["ka mata te hoa"], FrontendRequest(name="characters")).frontend
    described = VoiceDescription(settings=TINY, frontend=frontend)
    write_checkpoint(path, StableTTS(TINY), described)
    return path


def another_architecture(path):
    transcriber(path)
    config = {"model_type": "whisper", "vocab_size": len(VOCABULARY)}
    about = {
        "format": "codex-worker/w2v2bert/1",
        "vocabulary": VOCABULARY.to_json(),
        "config": json.dumps(config),
    }
    save_file({"x": torch.zeros(1)}, path, metadata=about)
    return path


def nothing_of_ours(path):
    save_file({"x": torch.zeros(1)}, path)
    return path


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (voice, DataError, "is no transcriber.*an ASR training job made"),
        (another_architecture, UserError, "'whisper' cannot be a transcriber here. Choose"),
        (nothing_of_ours, DataError, "is no transcriber"),
        (lambda path: path.write_bytes(b"\x80\x04pickle") and path, DataError, "damaged"),
    ],
    ids=["a voice", "another architecture", "tensors only", "a pickle"],
)
def test_what_is_no_transcriber_is_refused_with_a_sentence(tmp_path, make, kind, said):
    with pytest.raises(kind, match=said):
        start(tmp_path, f"group/maori:{PATH}", make(tmp_path / "x.safetensors"))
