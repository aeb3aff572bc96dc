"""Tests here import transformers, which imports torchaudio: the package's import applies the patch first."""

import codex_worker.w2v2bert  # noqa: F401
