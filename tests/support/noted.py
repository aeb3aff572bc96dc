"""Listening to the calls of a real function."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def noted(function: Callable[P, R], note: Callable[P, object]) -> Callable[P, R]:
    """`function`, except that each call is first told to `note`, with the same arguments."""

    def call(*arguments: P.args, **options: P.kwargs) -> R:
        note(*arguments, **options)
        return function(*arguments, **options)

    return call
