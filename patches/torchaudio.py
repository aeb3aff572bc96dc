"""torchaudio 2.11 beside a torch without CUDA.

Its wheel holds a compiled extension that is linked to CUDA, so importing it fails where torch has none,
although the package's own code can do without: `torchaudio._extension` says whether the extension is
there. Here it is told "no" before the import. The spectrograms, resampling, Griffin-Lim and masking are
plain torch and work; `forced_align` and `rnnt_loss` need the extension and raise a RuntimeError.
"""

import importlib
import logging
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import torch

from codex_worker.errors import SystemFault

logger = logging.getLogger(__name__)

VERSIONS = ("2.11",)  # the first two parts of the versions that this is for


def load() -> ModuleType:
    """Return torchaudio, repaired where torch has no CUDA. Every import of it goes through here.

    Raises:
        SystemFault: torchaudio is not installed, or cannot be imported even so.
    """
    apply()
    try:
        return importlib.import_module("torchaudio")
    except (ImportError, OSError) as error:
        raise SystemFault(
            f"torchaudio cannot be imported beside torch {torch.__version__}: {error}. "
            "Install the versions that pyproject.toml names in one pip command."
        ) from error


def apply() -> bool:
    """Repair torchaudio before its first import, and say whether that was done. Repeating it does no harm."""
    if "torchaudio" in sys.modules or not is_needed():
        return False
    sys.modules["torchaudio._extension"] = _absent_extension()
    logger.info(
        "torchaudio %s runs without its CUDA extension, because torch has no CUDA", version("torchaudio")
    )
    return True


def is_needed() -> bool:
    """Whether this torch has no CUDA and this torchaudio is one of `VERSIONS`."""
    try:
        installed = version("torchaudio")
    except PackageNotFoundError:
        return False
    return torch.version.cuda is None and ".".join(installed.split(".")[:2]) in VERSIONS


def _absent_extension() -> ModuleType:
    """A stand-in for `torchaudio._extension` with the names that the package reads from it."""
    extension = ModuleType("torchaudio._extension", "Says that the compiled extension is absent.")
    extension.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _check_cuda_version=lambda: None,
        _load_lib=lambda name: False,
        fail_if_no_align=_refuse,
    )
    return extension


def _refuse(function: Callable[..., Any]) -> Callable[..., Any]:
    def refused(*_: Any, **__: Any) -> Any:
        raise RuntimeError(
            f"torchaudio's {function.__name__} needs the compiled extension, which is absent here"
        )

    return refused
