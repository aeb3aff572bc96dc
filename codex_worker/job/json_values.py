"""What YAML, numpy and handlers bring, as values that JSON can carry."""

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any


def as_json(value: Any) -> Any:
    """The value in JSON's own types: dates as ISO 8601, NaN and infinities as null, oddities as text."""
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if hasattr(value, "tolist"):  # arrays and numbers of numpy and torch
        return as_json(value.tolist())
    return str(value)
