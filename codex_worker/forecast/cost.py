"""How long a training takes on a rented GPU, and what that costs."""

import math
from dataclasses import dataclass, replace

from codex_worker.errors import UserError

# Seconds of audio that a network of 24 layers (600 million parameters) learns from in a second on one NVIDIA
# H200 (docs/performance.md): as the loop does it, and the parts of an update by themselves at a later commit.
H200_AUDIO_S_A_SECOND = (480.0, 705.0)
H200_PARAMETERS = 600_000_000
# Beside the updates: what passed on that machine before a job's first update, with 18 minutes of recordings.
START_S = 40.0
MEASURED_ON = "one NVIDIA H200"
# Asked for by nobody and quoted from nobody: only there so that an amount is seen; an operator gives his own.
ASSUMED_PRICE = 4.0
HIGHEST_PRICE = 10_000.0


@dataclass(frozen=True)
class TrainingWork:
    """What a recipe asks for at most: updates, and seconds of audio (with padding) in each."""

    updates: int
    seconds_of_audio: float  # in an update
    parameters: int


_MAY_END = "it ends earlier where held-out recordings are not read better any more"
NOT_COUNTED = ("fetching the official weights, waiting for a machine, and how fast other GPUs are",)


@dataclass(frozen=True)
class Cost:
    """Hours of a GPU and money, at best and at worst."""

    hours: tuple[float, float]
    money: tuple[float, float]
    rests_on: tuple[str, ...]
    of: str = "a GPU"

    def __str__(self) -> str:
        low, high = self.hours
        time = f"{_between(low * 60, high * 60)} minutes" if high < 1.5 else f"{_between(low, high)} hours"
        return f"{time} of {self.of}, which cost {_between(*self.money)}"


def price_of(text: str) -> float:
    """A price an hour as somebody typed it. Raises UserError for what is none."""
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not 0 <= price <= HIGHEST_PRICE:
        raise UserError(
            f"{text!r:.40} is no price of an hour. Give a number from 0 to {HIGHEST_PRICE:,.0f}, such as 2.5."
        )
    return price


def cost_of(work: TrainingWork, price: float | None) -> Cost:
    """What a training costs on the GPU that was measured; `price` an hour, None for the assumed one."""
    audio_s = work.updates * work.seconds_of_audio * work.parameters / H200_PARAMETERS
    slow, fast = H200_AUDIO_S_A_SECOND
    hours = ((START_S + audio_s / fast) / 3600, (START_S + audio_s / slow) / 3600)
    return _cost(
        hours,
        price,
        f"{work.updates:,} updates of {work.seconds_of_audio:.0f} s of audio at most; {_MAY_END}",
        f"seconds an update measured on {MEASURED_ON}"
        + ("" if _is_measured(work) else ", taken in proportion to the network's size"),
    )


def cost_at_pace(seconds_an_update: float, updates: int, price: float | None) -> Cost:
    """What a training costs at a pace that was measured on this machine itself; `price` of an hour of it."""
    hours = (START_S + seconds_an_update * updates) / 3600
    paced = _cost(
        (hours, hours),
        price,
        f"{updates:,} updates at most; {_MAY_END}",
        f"{seconds_an_update:.2g} s an update, as measured by the probe",
    )
    return replace(paced, of="this machine")


def _cost(hours: tuple[float, float], price: float | None, *rests_on: str) -> Cost:
    rate = ASSUMED_PRICE if price is None else price
    said = (
        f"{rate:g} for an hour, which is assumed: give yours by --price-per-hour"
        if price is None
        else f"{rate:g} for an hour, as you say"
    )
    return Cost(hours, (hours[0] * rate, hours[1] * rate), (*rests_on, said))


def _is_measured(work: TrainingWork) -> bool:
    return abs(work.parameters / H200_PARAMETERS - 1) < 0.1


def _between(low: float, high: float) -> str:
    one, other = _rounded(low), _rounded(high)
    return one if one == other else f"{one} to {other}"


def _rounded(number: float) -> str:
    """Two digits that count; more would pretend to know."""
    return f"{float(f'{number:.2g}'):,.10g}"
