"""Taking out of an optional value what a test knows to be there."""

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """`value` itself. Where it is None after all, the test fails here."""
    assert value is not None
    return value
