import subprocess
import sys
from pathlib import Path

import pytest

from codex_worker.text.romanise import _uroman, romanise


@pytest.mark.slow
def test_other_scripts_become_latin_letters():
    assert romanise("Привет мир") == "Privet mir"
    assert romanise("नमस्ते", "hin") == "namaste"
    assert romanise("plain", None) == "plain"
    assert _uroman.cache_info().misses == 1, "loaded once"


def test_nothing_heavy_is_loaded_before_it_is_needed():
    code = (
        "import sys, codex_worker.text.romanise, codex_worker.text.normalise, codex_worker.text.error_rate\n"
        "print([name for name in ('uroman', 'jiwer', 'rapidfuzz', 'torch', 'numpy') if name in sys.modules])"
    )
    root = Path(__file__).parents[3]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
