"""docs/manifest.md says what options.py holds, and options.py what the other packages can do."""

import re
from pathlib import Path
from typing import get_args

from codex_worker.asr.networks.build import DEFAULT_BASE_MODEL
from codex_worker.audio.encode import FORMATS
from codex_worker.cli.main import main
from codex_worker.contract import options
from codex_worker.contract.options import all_keys
from codex_worker.hub.known import WEIGHTS
from codex_worker.stabletts.flow import Solver

PAGE = Path(__file__).parents[3] / "docs/manifest.md"


def test_the_page_is_what_the_command_makes(capsys):
    assert main(["manifest-keys"]) == 0
    assert PAGE.read_text() == capsys.readouterr().out, "codex-worker manifest-keys > docs/manifest.md"


def test_each_key_has_one_row():
    rows = re.findall(r"^\| (`[^|]*) \|", PAGE.read_text(), re.MULTILINE)
    shown = [place for row in rows for place in re.findall(r"`([^`]+)`", row)]
    assert sorted(shown) == sorted(place for key in all_keys() for place in key.places)


def test_the_choices_are_what_the_packages_can_do():
    assert set(options.AUDIO_FORMATS) == set(FORMATS)
    assert set(options.SOLVERS) == set(get_args(Solver))
    assert options.BASE_MODELS[0] == DEFAULT_BASE_MODEL
    listed = {weights.repository for weights in WEIGHTS.values()}
    voice = {options.OFFICIAL_VOICE}
    assert {*options.BASE_MODELS, *options.BASE_MODELS_OF_AN_OPERATOR} == listed - voice
    assert voice <= listed


def test_base_models_that_the_hub_refuses_are_offered_only_with_a_folder():
    for line in PAGE.read_text().splitlines():
        if any(name in line for name in options.BASE_MODELS_OF_AN_OPERATOR):
            assert "CODEX_WEIGHTS_FOLDER" in line
            offered = line.split("|")[2]
            assert not any(name in offered for name in options.BASE_MODELS_OF_AN_OPERATOR)
