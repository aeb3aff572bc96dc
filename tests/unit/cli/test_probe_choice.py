"""`--probe` takes minutes and base models in any order, and says what it does not know."""

from dataclasses import replace

import pytest

from codex_worker.cli.probe_choice import KNOWN, MINUTES, choice_of, subjects_of
from codex_worker.errors import UserError
from codex_worker.hub.fetch import Hub, HubSettings


@pytest.mark.parametrize(
    ("typed", "minutes", "models"),
    [
        ("", MINUTES, ()),
        ("3", 3.0, ()),
        ("0.5", 0.5, ()),
        ("tiny", MINUTES, ("tiny",)),
        ("tiny,facebook/w2v-bert-2.0", MINUTES, ("tiny", "facebook/w2v-bert-2.0")),
        ("w2v-bert-2.0, 5 ,tiny,", 5.0, ("facebook/w2v-bert-2.0", "tiny")),
        ("tiny,tiny", MINUTES, ("tiny",)),
    ],
)
def test_minutes_and_models_are_told_apart(typed, minutes, models):
    found = choice_of(typed)
    assert (found.minutes, found.models) == (minutes, models)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("facebook/w2v-bert-3", "no base model is called 'facebook/w2v-bert-3'"),
        ("/some/project.git", "The project is named before --probe"),
        ("0", "such as 10"),
        ("-5", "such as 10"),
        ("nan", "such as 10"),
        ("inf,tiny", "such as 10"),
        ("100000", "such as 10"),
        ("3,5", "give the minutes once"),
        ("<script>" * 50, "no base model is called"),
    ],
)
def test_what_cannot_be_meant_gets_a_sentence(typed, said):
    with pytest.raises(UserError) as refused:
        choice_of(typed)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 700


def test_an_unknown_model_gets_the_list_of_those_that_are_known():
    with pytest.raises(UserError) as refused:
        choice_of("whisper")
    assert all(name in str(refused.value) for name in KNOWN)


@pytest.fixture
def hub(tmp_path):
    return Hub(HubSettings(tmp_path / "cache", offline=True))


def test_a_model_whose_weights_are_not_here_is_refused_and_those_that_are_here_are_named(hub):
    with pytest.raises(UserError, match=r"not on this machine.*Here are: tiny"):
        subjects_of(choice_of("facebook/w2v-bert-2.0"), hub)


def test_without_weights_and_without_a_name_the_tiny_network_is_tried(hub):
    (subject,) = subjects_of(choice_of(""), hub)
    assert (subject.name, subject.preset) == ("tiny", "tiny")


def test_a_model_whose_weights_lie_in_a_folder_of_the_operator_is_read_from_there(hub, tmp_path):
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    mine = tmp_path / "mine"
    config = Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48,
        conv_dim=[8] * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(mine)
    (mine / "preprocessor_config.json").write_text("{}")
    with_folder = Hub(replace(hub.settings, local_folder=mine))
    (subject,) = subjects_of(choice_of("wav2vec2-xls-r-1b"), with_folder)
    assert (subject.name, subject.preset) == ("facebook/wav2vec2-xls-r-1b", "full")
    assert subject.start.is_pretrained
