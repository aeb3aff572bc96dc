"""Schedules: who does what, and when, drawn from a seed before anything runs."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

T = TypeVar("T")

PEOPLE = ("maria", "tom")
FAULTS = ("no answer before", "no answer after", "died before", "died after", "slow")

# How often each action is drawn, by actor. What does not fit the moment becomes the nearest thing that does.
WORKER_ACTIONS = {
    "claim": 10,
    "read": 5,
    "cells": 9,
    "artifact": 4,
    "progress": 4,
    "save": 2,
    "complete": 5,
    "fail": 1,
    "break down": 2,
    "drain": 2,
    "yield": 1,
    "crash": 3,
    "freeze": 4,
    "restart": 5,
    "sweep": 1,
}
PERSON_ACTIONS = {
    "type": 8,
    "record": 4,
    "select": 2,
    "deselect": 1,
    "lock": 1,
    "delete take": 1,
    "add job": 3,
    "spoil": 1,
    "cancel": 2,
    "remove entry": 1,
    "delete job": 2,
    "sync": 16,
}
OLDER_ACTIONS = {"scan": 4, "claim": 5, "notebook": 2, "finish": 2, "log": 2, "crash": 1}
SERVER_ACTIONS = {
    "outage": 4,
    "partition": 4,
    "refuse": 3,
    "accept": 2,
    "lose answers": 4,
    "fill disk": 2,
    "break cache": 2,
    "night": 1,
    "month": 0.3,
}
WAITS_S = {1: 30, 10: 25, 45: 20, 90: 12, 200: 8, 400: 5}


@dataclass(frozen=True)
class Conditions:
    """What is fixed for a whole schedule."""

    workers: int = 2
    has_older_worker: bool = False
    jobs: int = 2
    atomic: bool = True
    refused_refs: tuple[str, ...] = ()  # the lease places that this server never accepts
    failures: int = 3
    releases: int = 10
    takes_over_older: bool = False
    sick: str = ""  # the worker on whose machine every attempt ends in a system failure
    stays: bool = False  # the workers go on polling, so that response.yaml tells of the progress


@dataclass(frozen=True)
class Step:
    """One action of one actor."""

    actor: str
    action: str
    number: int  # what the action chooses by
    wait_s: float = 1.0  # before it
    fault: str = ""  # what happens to its first push
    inside: int = (
        0  # so many of the following steps happen within its first push, or a sync's two fetches ...
    )
    after: bool = False  # ... once the server has taken it, instead of just before; a sync: before its push
    frozen: bool = False  # ... and its machine stands still meanwhile

    def __str__(self) -> str:
        text = f"+{self.wait_s:g} s  {self.actor}: {self.action} (#{self.number})"
        if self.fault:
            text += f"; its push: {self.fault}"
        if self.inside and self.action == "sync":
            place = "before its push" if self.after else "between its fetches"
            text += f"; the next {self.inside} happen {place}"
        elif self.inside:
            place = "after" if self.after else "before"
            frozen = ", its machine frozen" if self.frozen else ""
            text += f"; the next {self.inside} happen {place} its push has an answer{frozen}"
        return text


@dataclass(frozen=True)
class Schedule:
    """A run of the simulator as data: the same schedule always does the same."""

    seed: str
    conditions: Conditions
    steps: tuple[Step, ...]

    def with_steps(self, steps: tuple[Step, ...]) -> "Schedule":
        """The same with other steps."""
        return replace(self, steps=steps)

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}, {self.conditions}", *(f"  {step}" for step in self.steps)])


def draw(seed: str, length: int = 30) -> Schedule:
    """The schedule of a seed, of about `length` steps."""
    rng = random.Random(seed)
    conditions = _conditions(rng)
    workers = [f"worker-{letter}" for letter in "abc"[: conditions.workers]]
    count = rng.randint(max(length // 2, 1), length + length // 2)
    steps = [_step(rng, workers, conditions) for _ in range(count)]
    for story in (_late_worker, _edit_meanwhile, _sync_meanwhile):
        if rng.random() < 0.3:
            place = rng.randint(0, len(steps))
            steps[place:place] = story(rng, workers)
    return Schedule(seed, conditions, tuple(steps))


def _late_worker(rng: random.Random, workers: list[str]) -> list[Step]:
    """A worker wakes up in the middle of its work, and another has the job."""
    late, other = rng.sample(workers, 2)
    return [
        Step(late, "restart", 0),
        Step(other, "restart", 0),
        Step(late, "claim", 0),
        Step(late, "freeze", 3),
        Step(other, "claim", 0, wait_s=rng.uniform(300, 500)),
        Step(other, "claim", 0, wait_s=30.0),
        Step(
            late, rng.choice(("cells", "artifact", "complete", "progress")), 0, wait_s=rng.uniform(300, 600)
        ),
    ]


def _edit_meanwhile(rng: random.Random, workers: list[str]) -> list[Step]:
    """A person edits what a job has read, before it has written."""
    worker, person, number = rng.choice(workers), rng.choice(PEOPLE), rng.randrange(1000)
    return [
        Step(worker, "restart", 0),
        Step(worker, "claim", 0),
        Step(worker, "read", number),
        Step(person, rng.choice(("type", "record", "lock")), number, wait_s=30.0),
        Step(person, "sync", 0),
        Step(worker, "cells", number, wait_s=30.0),
    ]


def _sync_meanwhile(rng: random.Random, workers: list[str]) -> list[Step]:
    """A worker claims, publishes or ends between the two fetches of somebody's sync."""
    worker, person, number = rng.choice(workers), rng.choice(PEOPLE), rng.randrange(1000)
    pushes = rng.choice((("claim",), ("cells",), ("artifact",), ("complete",), ("cells", "complete")))
    return [
        Step(worker, "restart", 0),
        *([Step(worker, "claim", 0)] if pushes != ("claim",) else []),
        Step(person, "type", number),
        Step(person, "sync", 0, inside=len(pushes)),
        *(Step(worker, push, number) for push in pushes),
    ]


def _conditions(rng: random.Random) -> Conditions:
    refused: tuple[str, ...] = ()
    # A server with neither atomic pushes nor room for leases is beyond the protocol (docs/simulation.md).
    is_atomic = rng.random() > 0.12
    if is_atomic and rng.random() < 0.12:
        refused = ("refs/gpu-jobs/", "refs/gpu-records/")
        if rng.random() < 0.3:
            refused += ("refs/heads/gpu-jobs/", "refs/heads/gpu-records/")
    return Conditions(
        workers=rng.choice((2, 2, 3)),
        has_older_worker=rng.random() < 0.35,
        jobs=rng.choice((1, 2, 2, 3)),
        atomic=is_atomic,
        refused_refs=refused,
        failures=rng.choice((3, 3, 2)),
        releases=rng.choice((10, 2)),
        takes_over_older=rng.random() < 0.3,
        stays=rng.random() < 0.4,
        sick="worker-a" if rng.random() < 0.2 else "",
    )


def _step(rng: random.Random, workers: list[str], conditions: Conditions) -> Step:
    chance = rng.random()
    wait_s = float(_choose(rng, WAITS_S)) * rng.uniform(0.5, 1.5)
    number, wait_s = rng.randrange(1000), round(wait_s, 1)
    if chance < 0.30:
        action = _choose(rng, PERSON_ACTIONS)
        window = rng.choice((0, 0, 1, 2, 3, 5)) if action == "sync" else 0
        after = window > 0 and rng.random() < 0.25
        return Step(rng.choice(PEOPLE), action, number, wait_s, inside=window, after=after)
    if chance < 0.40 and conditions.has_older_worker:
        return Step("older", _choose(rng, OLDER_ACTIONS), number, wait_s)
    if chance < 0.48:
        return Step("server", _choose(rng, SERVER_ACTIONS), number, wait_s)
    inside = rng.choice((1, 1, 2, 3, 5)) if rng.random() < 0.22 else 0
    return Step(
        rng.choice(workers),
        _choose(rng, WORKER_ACTIONS),
        number,
        wait_s,
        fault=rng.choice(FAULTS) if rng.random() < 0.15 else "",
        inside=inside,
        after=inside > 0 and rng.random() < 0.3,
        frozen=inside > 0 and rng.random() < 0.4,
    )


def _choose(rng: random.Random, weights: Mapping[T, float]) -> T:
    return rng.choices(list(weights), list(weights.values()))[0]
