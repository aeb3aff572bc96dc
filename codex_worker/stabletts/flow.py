"""Conditional flow matching: the training objective, and solvers from noise to a mel spectrogram.

Lipman et al. 2023 (optimal-transport paths, section 4.1); Matcha-TTS, section 2.2; guidance after Ho and
Salimans 2022.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from codex_worker.errors import ModelError, UserError
from codex_worker.stabletts.configuration import ModelSettings
from codex_worker.stabletts.estimator import Estimator
from codex_worker.stabletts.padding import Padding

Solver = Literal["euler", "midpoint", "rk4", "dopri5"]

SIGMA_MIN = 1e-4
TOLERANCE = 1e-5  # of dopri5, relative and absolute
MAX_EVALUATIONS = 20_000  # of dopri5, for one utterance

Velocity = Callable[[Tensor, Tensor], Tensor]  # (x, what `film` gives for its time) -> dx/dt


class Decoder(nn.Module):
    """The estimator under the name that published weights give it."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.estimator = Estimator(settings)


def training_time(uniform: Tensor) -> Tensor:
    """Warp uniform draws in [0, 1] so that more of the training falls on early, hard times."""
    return 1 - torch.cos(0.5 * math.pi * uniform)


def flow_loss(
    estimator: Estimator,
    mel: Tensor,
    mean: Tensor,
    speaker: Tensor,
    time: Tensor,
    noise: Tensor,
    padding: Padding,
) -> Tensor:
    """Mean squared error of the velocity on straight paths from noise to mel [B, T, M], over real frames.

    `time` is [B], `noise` like mel.
    """
    at = time[:, None, None]
    x = (1 - (1 - SIGMA_MIN) * at) * noise + at * mel
    target = mel - (1 - SIGMA_MIN) * noise
    error = padding.clear(estimator(time, x, mean, speaker, padding) - target)
    return error.square().sum() / (padding.total * mel.shape[-1])


def solver_named(name: str) -> Solver:
    """Check a solver's name. Raises UserError where there is none of this name."""
    for known in get_args(Solver):
        if name == known:
            return known
    raise UserError(f"Unknown solver {name!r}: choose one of {', '.join(get_args(Solver))}.")


@torch.no_grad()
def solve(
    estimator: Estimator,
    noise: Tensor,
    mean: Tensor,
    speaker: Tensor,
    padding: Padding,
    *,
    steps: int,
    solver: Solver,
    guidance: float,
    unguided: tuple[Tensor, Tensor],
) -> Tensor:
    """Follow the flow from noise [B, T, M] at time 0 to a mel spectrogram [B, T, M] at time 1.

    `unguided` holds the content [1, M, 1] and speaker [1, G] that stand for none. Rows do not influence each
    other: dopri5, whose steps depend on what it sees, solves them one at a time, and it has no use for
    `steps`.
    """
    if solver == "dopri5":
        rows = []
        for row, length in enumerate(padding.lengths):
            alone = Padding.of([length], length, noise.device)
            velocity = _velocity(
                estimator, mean[row : row + 1, :length], speaker[row : row + 1], alone, guidance, unguided
            )
            solved = _dopri5(velocity, estimator.film, noise[row : row + 1, :length])
            rows.append(torch.nn.functional.pad(solved, (0, 0, 0, noise.shape[1] - length)))
        return torch.cat(rows)
    velocity = _velocity(estimator, mean, speaker, padding, guidance, unguided)
    return padding.clear(_fixed_steps(velocity, estimator.film, noise, steps, solver))


def _velocity(
    estimator: Estimator,
    mean: Tensor,
    speaker: Tensor,
    padding: Padding,
    guidance: float,
    unguided: tuple[Tensor, Tensor],
) -> Velocity:
    """Bind text and voice; with guidance, both directions are one batch of twice the rows."""
    if guidance == 1.0:
        conditions = estimator.conditions(mean, speaker, padding)
        return lambda x, film: estimator.velocity(x, film, conditions)
    content, nobody = unguided
    means = torch.cat([mean, content.transpose(1, 2).expand_as(mean)])
    both = estimator.conditions(means, torch.cat([speaker, nobody.expand_as(speaker)]), padding.repeated(2))

    def guided(x: Tensor, film: Tensor) -> Tensor:
        towards, without = estimator.velocity(torch.cat([x, x]), film, both).chunk(2)
        return without + guidance * (towards - without)

    return guided


_STAGE_TIMES: dict[str, tuple[float, ...]] = {
    "euler": (0.0,),
    "midpoint": (0.0, 1 / 2),
    "rk4": (0.0, 1 / 3, 2 / 3, 1.0),
}


def _fixed_steps(
    velocity: Velocity, film: Callable[[Tensor], Tensor], x: Tensor, steps: int, solver: Solver
) -> Tensor:
    """Take equal steps; what the times contribute is worked out for all of them at once."""
    if steps < 1:
        raise UserError(f"A solver needs one step at least, not {steps}.")
    stages = _STAGE_TIMES[solver]
    size = 1.0 / steps
    begins = torch.arange(steps, device=x.device, dtype=torch.float32)[:, None] * size
    times = begins + torch.tensor(stages, device=x.device) * size
    table = film(times.flatten()).unflatten(0, (steps, len(stages)))
    for step in range(steps):
        x = x + size * _average_slope(
            velocity, x, [table[step, stage][None] for stage in range(len(stages))], size
        )
    return x


def _average_slope(velocity: Velocity, x: Tensor, films: Sequence[Tensor], size: float) -> Tensor:
    """Average the velocity over a step: Euler's, the midpoint or the 3/8 Runge-Kutta method (Kutta 1901)."""
    first = velocity(x, films[0])
    if len(films) == 1:
        return first
    if len(films) == 2:
        return velocity(x + 0.5 * size * first, films[1])
    second = velocity(x + size * first / 3, films[1])
    third = velocity(x + size * (second - first / 3), films[2])
    fourth = velocity(x + size * (first - second + third), films[3])
    return (first + 3 * (second + third) + fourth) / 8


# Dormand and Prince 1980: nodes, stage weights, error weights; middle weights after Shampine 1986.
_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_WEIGHTS = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR_WEIGHTS = (
    35 / 384 - 1951 / 21600,
    0.0,
    500 / 1113 - 22642 / 50085,
    125 / 192 - 451 / 720,
    -2187 / 6784 + 12231 / 42400,
    11 / 84 - 649 / 6300,
    -1 / 60,
)
_MIDDLE_WEIGHTS = (
    6025192743 / 30085553152 / 2,
    0.0,
    51252292925 / 65400821598 / 2,
    -2691868925 / 45128329728 / 2,
    187940372067 / 1594534317056 / 2,
    -1776094331 / 19743644256 / 2,
    11237099 / 235043384 / 2,
)


def _dopri5(velocity: Velocity, film: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Adaptive steps of order five from 0 to 1; the last is interpolated (Hairer et al. 1993, II.4-6).

    State, increments and the times that the network sees are float32, and a step's end is the float32 just
    before it, as in torchdiffeq: the fastest sinusoid of time turns a thousand radians, so other roundings
    lead to other steps.
    """
    evaluations = 0

    def slope_at(time: Tensor, y: Tensor) -> Tensor:
        nonlocal evaluations
        evaluations += 1
        if evaluations > MAX_EVALUATIONS:
            raise ModelError(
                f"dopri5 did not end within {MAX_EVALUATIONS} evaluations: use solver euler, or train longer."
            )
        return velocity(y, film(time.reshape(1).to(y.device)))

    nodes, weights = torch.tensor(_NODES), [torch.tensor(row) for row in _WEIGHTS]
    time, slope = 0.0, slope_at(torch.tensor(0.0), x)
    size = _first_step(slope_at, x, slope)
    while True:
        begin, step = torch.tensor(time), torch.tensor(size)
        end = torch.nextafter(torch.tensor(time + size), begin)
        slopes = [slope]
        for node, row in zip(nodes, weights, strict=True):
            reached = x + _combined(slopes, row * step)
            slopes.append(slope_at(end if node == 1.0 else begin + node * step, reached))
        allowed = TOLERANCE + TOLERANCE * torch.maximum(x.abs(), reached.abs())
        error = float(_rms(_combined(slopes, torch.tensor(_ERROR_WEIGHTS) * step) / allowed))
        if not math.isfinite(error):
            raise ModelError(
                "The network answered with numbers that are not finite: the checkpoint cannot be used."
            )
        if error <= 1.0:
            if time + size >= 1.0:
                middle = x + _combined(slopes, torch.tensor(_MIDDLE_WEIGHTS) * step)
                return _interpolated((1.0 - time) / size, float(step), x, middle, reached, slope, slopes[-1])
            time, x, slope = time + size, reached, slopes[-1]
        size *= _step_factor(error)


def _combined(slopes: Sequence[Tensor], weights: Tensor) -> Tensor:
    return (torch.stack(list(slopes), dim=-1) * weights.to(slopes[0].device)).sum(-1)


def _rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


def _step_factor(error: float) -> float:
    """How much longer the next step may be: a fifth to tenfold, never shorter after a good step."""
    if error == 0.0:
        return 10.0
    smallest = 1.0 if error < 1.0 else 0.2
    return min(10.0, max(0.9 * error**-0.2, smallest))


def _first_step(slope_at: Callable[[Tensor, Tensor], Tensor], x: Tensor, slope: Tensor) -> float:
    """Guess a first step from two slopes (Hairer et al. 1993, II.4, starting step size)."""
    allowed = TOLERANCE + TOLERANCE * x.abs()
    value, first = _rms(x / allowed), _rms(slope / allowed)
    trial = 0.01 * value / first if min(value, first) >= 1e-5 else torch.full_like(value, 1e-6)
    second = _rms((slope_at(trial, x + trial * slope) - slope) / allowed) / trial
    steepest = torch.maximum(first, second)
    size = (0.01 / steepest) ** 0.2 if steepest > 1e-15 else (trial * 1e-3).clamp_min(1e-6)
    return float(torch.minimum(100 * trial, size))


def _interpolated(
    share: float, size: float, begin: Tensor, middle: Tensor, end: Tensor, slope: Tensor, end_slope: Tensor
) -> Tensor:
    """Evaluate the quartic through begin, middle and end with the slopes at both ends."""
    a = 2 * size * (end_slope - slope) - 8 * (end + begin) + 16 * middle
    b = size * (5 * slope - 3 * end_slope) + 18 * begin + 14 * end - 32 * middle
    c = size * (end_slope - 4 * slope) - 11 * begin - 5 * end + 16 * middle
    return begin + share * (size * slope + share * (c + share * (b + share * a)))
