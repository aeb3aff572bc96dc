"""Being ready before there is a job: what jobs need is imported, so that the one that comes begins at once.

All of it happens behind the walls. Plug-ins are not imported here: their code runs in their own jobs only.
"""

import contextlib
import importlib
import logging
import os
import pkgutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from codex_worker.child import patching
from codex_worker.job.channel import Message

logger = logging.getLogger(__name__)

# What the library itself imports only where it is used.
_LIBRARIES = ("torch", "transformers", "torchaudio", "av", "soxr", "jiwer", "rapidfuzz", "safetensors.torch")
_OURS = ("audio", "data", "doctor", "training", "asr", "stabletts", "vits")
_SIZE = 256  # of a product that has a GPU's libraries loaded


def wait_ready(receive: Callable[[], Message | None], say_ready: Callable[[], None]) -> Message | None:
    """The next message, until which the library and what it is made of are imported.

    A job that comes before that need not wait for the rest: it may need little of it. What cannot be imported
    is for the job to tell of.
    """
    patching.install()
    message = ThreadPoolExecutor(1, thread_name_prefix="assignment").submit(receive)
    for name in chain(_LIBRARIES, _modules_of_ours()):
        if message.done():
            break
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    say_ready()
    return message.result()


def move_into(folder: Path) -> None:
    """The job's folder has its name only now: variables that lead into it, and what was kept of them."""
    os.environ.update(HOME=str(folder / "home"), TMPDIR=str(folder / "tmp"))
    tempfile.tempdir = None


def warm_gpu() -> None:
    """Opens the GPU, where there is one, in a thread beside the job's first steps.

    Not before there is a job: an open GPU costs its memory, which others may need meanwhile.
    """
    threading.Thread(target=_open_gpu, name="gpu", daemon=True).start()


def _open_gpu() -> None:
    try:
        import torch

        if torch.cuda.is_available():
            numbers = torch.ones(_SIZE, _SIZE, device="cuda")
            (numbers @ numbers).sum().item()
    except Exception as error:  # a driver raises whatever it likes; the job meets it where it can tell
        logger.debug("The GPU could not be opened beforehand: %s", error)


def _modules_of_ours() -> Iterator[str]:
    for package in _OURS:
        name = f"codex_worker.{package}"
        with contextlib.suppress(Exception):
            path = importlib.import_module(name).__path__
            yield from (found.name for found in pkgutil.walk_packages(path, f"{name}."))
