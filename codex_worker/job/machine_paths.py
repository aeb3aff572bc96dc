"""Folders of this machine under short names: what is read in a project must not tell where a worker lies."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_JOB_FOLDER = "(job folder)"
# Where a job's folder holds copies of the project's files, under the paths that they have there.
_COPIES = r"(?:/(?:recordings|files|fetched)/)"


class MachinePaths:
    """Replaces paths of known folders in texts; `folders` maps each to its short name."""

    def __init__(self, job_folder: Path, folders: Mapping[Path, str] | None = None) -> None:
        named = {job_folder: _JOB_FOLDER, **(folders or {}), Path(sys.prefix): "(python)"}
        self._names: dict[str, str] = {}
        for folder, name in named.items():
            for path in (folder, folder.resolve()):
                if len(path.parts) > 1:  # else everything would lie in it
                    self._names.setdefault(str(path), name)
        longest_first = sorted(self._names, key=len, reverse=True)
        any_folder = "|".join(map(re.escape, longest_first))
        self._pattern = re.compile(rf"(?<![\w.-])({any_folder})(?:{_COPIES}|(?![\w-]))")

    def shortened(self, text: str) -> str:
        """The text with short names; a copy of a project's file has the name that it has in the project."""
        return self._pattern.sub(self._name, text)

    def in_values(self, value: Any) -> Any:
        """JSON values with short names in all their texts."""
        if isinstance(value, str):
            return self.shortened(value)
        if isinstance(value, Mapping):
            return {key: self.in_values(item) for key, item in value.items()}
        return [self.in_values(item) for item in value] if isinstance(value, list) else value

    def _name(self, match: re.Match[str]) -> str:
        name = self._names[match[1]]
        rest = match[0][len(match[1]) :]
        return "" if rest and name == _JOB_FOLDER else name + rest
