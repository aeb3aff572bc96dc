import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ABSENT = ["av", "soundfile", "soxr", "pydantic", "tenacity", "gitlab"]


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (["training.loop", "training.batches", "training.metrics"], ABSENT),
        (["audio.decode", "audio.encode", "audio.level", "audio.resample"], [*ABSENT, "torch"]),
    ],
    ids=["training", "audio"],
)
def test_models_can_import_this_on_a_machine_that_lacks_much(modules, unwanted):
    code = f"import sys\nfor name in {unwanted}: sys.modules[name] = None\n"
    code += "\n".join(f"import codex_worker.{module}" for module in modules)
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
