"""What `--probe` asks for: how long, and which base models race."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codex_worker.contract.options import BASE_MODELS, BASE_MODELS_OF_AN_OPERATOR
from codex_worker.errors import UserError

if TYPE_CHECKING:
    from codex_worker.asr.probe import ProbeSubject
    from codex_worker.hub.fetch import Hub

MINUTES = 10.0
MOST_MINUTES = 24 * 60.0
LEAST_SECONDS = 1.0
TINY = "tiny"
KNOWN = (TINY, *BASE_MODELS, *BASE_MODELS_OF_AN_OPERATOR)


@dataclass(frozen=True)
class ProbeChoice:
    """Minutes of training in all, and names of `KNOWN`; none: whatever suits this machine."""

    minutes: float
    models: tuple[str, ...]


def choice_of(typed: str) -> ProbeChoice:
    """What somebody typed: `5`, `tiny,facebook/w2v-bert-2.0`, both in any order, or nothing.

    Raises UserError for an unknown model or minutes that cannot be meant.
    """
    parts = [part.strip() for part in typed.split(",") if part.strip()]
    numbers = [number for part in parts if (number := _number(part)) is not None]
    if len(numbers) > 1:
        raise UserError(f"--probe {typed:.80}: give the minutes once, for all models together.")
    minutes = numbers[0] if numbers else MINUTES
    if not LEAST_SECONDS / 60 <= minutes <= MOST_MINUTES:
        raise UserError(
            f"--probe {typed:.80}: a probe takes from a second to {MOST_MINUTES:.0f} minutes, such as 10."
        )
    names = [part for part in parts if _number(part) is None]
    return ProbeChoice(minutes, tuple(dict.fromkeys(_known(name) for name in names)))


def subjects_of(choice: ProbeChoice, hub: "Hub") -> list["ProbeSubject"]:
    """The models of a race, from weights that are on this machine: nothing is fetched for a probe.

    Raises UserError for one whose weights are not here.
    """
    from codex_worker.training.machine import this_machine

    here = [TINY, *(name for name in KNOWN if name != TINY and hub.is_here(_weights(name)))]
    for name in choice.models:
        if name not in here:
            raise UserError(
                f"The weights of {name} are not on this machine; a probe fetches none. Here are: "
                f"{', '.join(here)}. Start the worker once with a job that needs them, or give it a folder "
                "with them (CODEX_WEIGHTS_FOLDER)."
            )
    # A body of some hundred million parameters learns nothing on a processor in minutes.
    usual = BASE_MODELS[0] if BASE_MODELS[0] in here and this_machine().device == "cuda" else TINY
    return [_subject(name, hub) for name in choice.models or (usual,)]


def _subject(name: str, hub: "Hub") -> "ProbeSubject":
    from codex_worker.asr.probe import ProbeSubject
    from codex_worker.asr.start import FromNothing, FromWeights

    if name == TINY:
        return ProbeSubject(name, FromNothing(), "tiny")
    weights = hub.fetch(_weights(name))
    return ProbeSubject(name, FromWeights(weights.path, f"{name}@{weights.revision}"), "full")


def _weights(name: str) -> str:
    """Their name on the hub's list."""
    return name.rpartition("/")[2]


def _known(name: str) -> str:
    """The name as it is listed, whether with its owner or without."""
    found = next((known for known in KNOWN if name in (known, _weights(known))), None)
    if found is None:
        raise UserError(
            f"--probe: no base model is called {name!r:.80}. Known are: {', '.join(KNOWN)}. "
            "The project is named before --probe."
        )
    return found


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else -1.0
