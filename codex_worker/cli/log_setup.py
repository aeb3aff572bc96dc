"""How the worker's own log is written: for a person at a terminal, for a file, or for a program."""

import logging
import sys
import threading

from codex_worker.git.credentials import Credentials
from codex_worker.settings import Settings
from codex_worker.supervisor.figures import Figures
from codex_worker.supervisor.json_lines import JsonLines
from codex_worker.supervisor.logs import CHILD_LOGGER, RedactSecrets

logger = logging.getLogger("worker")


def start_logging(settings: Settings, credentials: Credentials, figures: Figures) -> None:
    """Lines on standard error, from now on; no secrets in them. `figures` tells which attempt runs."""
    is_json = settings.log_format == "json"
    handler = logging.StreamHandler() if is_json or not sys.stderr.isatty() else _for_a_terminal()
    if is_json:
        handler.setFormatter(JsonLines(str(settings.worker_id), figures, credentials.redact))
        _catch_what_python_prints()
    handler.addFilter(RedactSecrets(credentials.redact))
    level = logging.DEBUG if settings.verbose else logging.INFO
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", level=level, handlers=[handler], force=True
    )
    for name in ("urllib3", "filelock", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Whoever reads text has it in the job's own log.
    CHILD_LOGGER.setLevel(logging.INFO if is_json else logging.WARNING)


def _for_a_terminal() -> logging.Handler:
    from rich.console import Console
    from rich.logging import RichHandler

    handler = RichHandler(console=Console(stderr=True), show_path=False, omit_repeated_times=False)
    handler.setFormatter(logging.Formatter("%(message)s", datefmt="%H:%M:%S"))
    return handler


def _catch_what_python_prints() -> None:
    """Warnings and errors that nobody catches are lines of the log as well, and no bare text among them."""

    def of_a_thread(found: threading.ExceptHookArgs) -> None:
        if found.exc_value is not None:
            name = found.thread.name if found.thread else "?"
            logger.critical("The thread %s ended by an error", name, exc_info=found.exc_value)

    def of_the_program(kind: type[BaseException], error: BaseException, traceback: object) -> None:
        logger.critical("The worker ended by an error", exc_info=error)

    logging.captureWarnings(True)
    threading.excepthook = of_a_thread
    sys.excepthook = of_the_program
