"""Whether the official weights of a job are on this machine, or can be fetched now."""

import logging
import shutil
from pathlib import Path

from codex_worker.clock import Clock
from codex_worker.contract.manifest import JobEntry
from codex_worker.hub.fetch import Hub
from codex_worker.hub.known import WEIGHTS, only_of_an_operator
from codex_worker.supervisor.machine import Condition
from codex_worker.supervisor.needs import weights_of

logger = logging.getLogger(__name__)

# What most jobs start from; other weights are asked for when a job names them.
USUAL = ("w2v-bert-2.0", "stabletts", "vocos")
ASK_AGAIN_S = 300.0
_TIMEOUT_S = 15.0


class WeightsAtHand:
    """Asks the hub as seldom as it can: only for weights that are not here, and not at each look."""

    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        self._asked_s = float("-inf")
        self._trouble: str | None = None

    def condition(self) -> Condition:
        """What is here of the weights that most jobs start from."""
        missing = self._missing(USUAL)
        if not missing:
            return Condition("weights", "those that most jobs start from are on this machine")
        trouble = self._why_not_fetched(missing)
        if trouble is None:
            return Condition("weights", f"{self._hub.settings.endpoint} has those that jobs start from")
        return Condition(
            "weights", trouble, "Jobs of the full preset that start from them are not begun here.",
        )  # fmt: skip

    def why_not(self, entry: JobEntry) -> str | None:
        """Why a training of this entry cannot have its weights, as a sentence; None where it can."""
        missing = self._missing(weights_of(entry))
        return self._why_not_fetched(missing) if missing else None

    def _missing(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if name in WEIGHTS and not self._hub.is_here(name))

    def _why_not_fetched(self, names: tuple[str, ...]) -> str | None:
        unpinned = next((name for name in names if WEIGHTS[name].revision is None), None)
        if unpinned is not None:
            return only_of_an_operator(unpinned)
        settings = self._hub.settings
        listed = ", ".join(names)
        if settings.offline:
            return (
                f"The official weights {listed} are not in {settings.cache_folder}, and HF_HUB_OFFLINE "
                "forbids to fetch them. Start the worker once with a network, or give it a folder with them "
                "(CODEX_WEIGHTS_FOLDER)."
            )
        needed = sum(file.size_bytes or 0 for name in names for file in WEIGHTS[name].files)
        free = shutil.disk_usage(_existing(settings.cache_folder)).free
        if free < needed:
            return (
                f"The official weights {listed} need {needed / 1e9:.1f} GB in {settings.cache_folder}, where "
                f"{free / 1e9:.1f} GB are free. Make room there, or name another place by HF_HOME."
            )
        if self._clock.monotonic() - self._asked_s >= ASK_AGAIN_S:
            self._trouble = _unreachable(settings.endpoint)
            self._asked_s = self._clock.monotonic()
        if self._trouble is None:
            return None
        return f"The official weights {listed} are not on this machine, and {self._trouble}"


def _unreachable(endpoint: str) -> str | None:
    """Why nothing can be fetched from the hub, as the end of a sentence; None where it answers."""
    import requests  # takes its time to import

    session = requests.Session()
    session.auth = lambda request: request  # or a password in ~/.netrc would go along
    try:
        with session.head(endpoint, timeout=_TIMEOUT_S, allow_redirects=False) as response:
            if response.status_code < 500:
                return None
            said = f"answers {response.status_code}"
    except requests.RequestException as error:
        logger.debug("%s: %s", endpoint, error)
        said = f"does not answer ({type(error).__name__})"
    return (
        f"{endpoint} {said}. Check the network, or give the worker a folder with them (CODEX_WEIGHTS_FOLDER)."
    )


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
