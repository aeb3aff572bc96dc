"""Why a recording is not taken, where callers tell it from other damage."""

from pathlib import Path

from codex_worker.errors import DataError


class CutOff(DataError):
    """A recording that ends before it should."""


class TooLong(DataError):
    """A recording that is longer than the caller takes."""


class Encrypted(DataError):
    """A file of a shop, which only that shop's programs may play."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is encrypted against copying; export it as a plain file or record again")
