"""Why a recording is not taken, where callers tell it from other damage."""

from codex_worker.errors import DataError


class CutOff(DataError):
    """A recording that ends before it should."""


class TooLong(DataError):
    """A recording that is longer than the caller takes."""
