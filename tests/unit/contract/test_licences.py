"""Licences go from weights to children and grandchildren, however they are written."""

import pytest

from codex_worker.contract.licences import (
    LICENCES,
    NON_COMMERCIAL,
    OWN,
    forbids_commercial_use,
    licence_of,
    refuse_non_commercial,
    terms_of,
)
from codex_worker.errors import UserError


@pytest.mark.parametrize(
    ("licence", "forbidden"),
    [
        ("CC-BY-NC-4.0", True),
        ("cc-by-nc-sa-4.0", True),
        ("CC BY-NC 4.0", True),
        ("CC_BY_NC", True),
        ("Creative Commons Attribution-NonCommercial 4.0", True),
        ("MIT", False),
        ("Apache-2.0", False),
        ("CC-BY-4.0", False),
        ("INCONCEIVABLE", False),
        (OWN, False),
        ("", False),
        (None, False),
    ],
)
def test_which_licences_forbid_commercial_use(licence, forbidden):
    assert forbids_commercial_use(licence) is forbidden
    assert bool(terms_of(licence)) is forbidden


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ({"licence": "CC-BY-NC-4.0", "started_from": "facebook/w2v-bert-2.0@1"}, "CC-BY-NC-4.0"),
        ({"started_from": "facebook/mms-1b@99aa7c40"}, NON_COMMERCIAL),
        ({"started_from": "facebook/w2v-bert-2.0@da985ba0"}, "MIT"),
        ({"started_from": "random weights"}, OWN),
        ({"started_from": "gpu_jobs/job_a/checkpoint/x.safetensors"}, None),
        ({"base": "gpu_jobs/x.safetensors", "official_revision": "KdaiP/StableTTS1.1@ce2a"}, "MIT"),
        ({}, None),
    ],
)
def test_a_checkpoint_says_its_licence_or_is_known_by_its_start(metadata, licence):
    assert licence_of(metadata) == licence


def test_a_strangers_licence_is_one_short_line():
    said = licence_of({"licence": "CC-BY-NC\n\x1b[31m" + "x" * 10_000})
    assert said and len(said) <= 60 and said.isprintable()


def test_only_what_forbids_commercial_use_is_refused_for_it():
    for name, licence in LICENCES.items():
        if "mms" in name:
            with pytest.raises(UserError, match=rf"model\.commercial.*{name} is under CC BY-NC 4\.0"):
                refuse_non_commercial(licence, name)
        else:
            refuse_non_commercial(licence, name)
