"""Which handlers there are: modules found by their place, `handlers/<job type>/<model>/<mode>.py`.

Nothing is imported here: the supervisor only has to know the names, and a manifest can only ever choose
among files that an operator put there.
"""

import re
from importlib.util import find_spec
from pathlib import Path

from codex_worker.errors import SystemFault, UserError

MODES = ("training", "inference", "training_and_inference")
PACKAGE = "handlers"

_NAME = re.compile(r"[a-z][a-z0-9_]*")

Handlers = dict[tuple[str, str, str], str]  # (job type, model, mode) -> module


def handlers_root() -> Path:
    """The folder that holds the `handlers` package of this installation."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemFault("The package 'handlers' is missing: install the worker again.")
    return Path(next(iter(spec.submodule_search_locations))).resolve().parent


def find_handlers(root: Path) -> Handlers:
    """The handlers below `root/handlers`."""
    found: Handlers = {}
    for path in sorted((root / PACKAGE).glob("*/*/*.py")):
        job_type, model, mode = path.relative_to(root / PACKAGE).with_suffix("").parts
        if mode in MODES and _NAME.fullmatch(job_type) and _NAME.fullmatch(model):
            found[job_type, model, mode] = f"{PACKAGE}.{job_type}.{model}.{mode}"
    return found


def choose_handler(handlers: Handlers, job_type: str, model: str, mode: str) -> str:
    """The module for a job. Raises UserError with what there is."""
    module = handlers.get((job_type, model, mode))
    if module is None:
        known = ", ".join(" ".join(key) for key in sorted(handlers)) or "none"
        raise UserError(
            f"This worker has no handler for a {job_type} job with the model {model} in the mode {mode}. "
            f"It has: {known}."
        )
    return module
