"""Values of strangers, made such as can be written anywhere."""

import json

import numpy as np
import pytest

from codex_worker.contract import yaml_text
from codex_worker.job.plain_values import MAX_RESULT_BYTES, PlainValues, plain_result


class Unwilling:
    def __str__(self):
        raise RuntimeError("no text")


def nested(depth):
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def circular():
    value: list[object] = []
    value.append(value)
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "plain", "said"),
    [
        (float("inf"), None, "x is no finite number"),
        (float("nan"), None, "x is no finite number"),
        (10**400, None, "x is a number beyond 64 bits"),
        (-(2**63) - 1, None, "x is a number beyond 64 bits"),
        (2**63 - 1, 2**63 - 1, None),
        (True, True, None),
        ("a\0b\x1b[31m\x85\ud800\r\nc\td", "a\ufffdb\ufffd[31m\ufffd\ufffd\r\nc\td", None),
        ("\U0001f600", "\U0001f600", None),
        ({"\ud800": 1, 3: 2, None: 4}, {"\ufffd": 1, "3": 2, "None": 4}, None),
        ({10**5000: 1}, {"None": 1}, None),
        (np.float32(0.5), 0.5, None),
        (np.arange(3), [0, 1, 2], None),
        (Unwilling(), None, "x cannot be written (RuntimeError)"),
        (b"ab", "b'ab'", None),
        ("y" * 10_001, "y" * 10_000, "x is longer than 10,000 characters"),
    ],
)
def test_a_value_that_cannot_be_kept_costs_that_value_only(value, plain, said):
    result, lost = plain_result({"x": value, "cells": 3})
    assert result == {"x": plain, "cells": 3}
    assert [said in line for line in lost] == [True] if said else lost == []


@pytest.mark.parametrize("value", [nested(900), circular(), ["z"] * 100_000, {"k": [["z"] * 200] * 200}])
def test_what_is_too_deep_or_too_much_is_bounded_and_said(value):
    result, lost = plain_result({"cells": 3, "x": value})
    assert result["cells"] == 3 and lost
    assert len(json.dumps(result)) <= MAX_RESULT_BYTES + 10
    yaml_text.dump(result)


def test_of_a_result_that_is_too_long_the_largest_values_are_lost():
    found = {f"v{size}": "\N{SNOWMAN}" * size for size in (10, 9_000, 100, 8_000)}
    result, lost = plain_result(found)
    assert list(result) == ["v10", "v100", "v8000"] and "v9000 has 54," in lost[0]


@pytest.mark.parametrize("depth", [19, 20, 21])
def test_the_twentieth_level_is_the_last(depth):
    values = PlainValues()
    values.of(nested(depth))
    assert bool(values.lost) == (depth > 20)
