"""`config.yaml` of the dataset commands, with the keys that older tools had; see `config.yaml.example`."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from codex_worker.contract.yaml_text import load
from codex_worker.errors import UserError
from codex_worker.token_server import SettingsSource

logger = logging.getLogger(__name__)

KEYS = {
    "": {"source_mode", "local_repo_path", "gitlab", "dataset", "uroman"},
    "gitlab": {"server_url", "access_token", "project_id", "project_path"},
    "dataset": {
        "output_dir", "audio_dir", "csv_filename", "max_records", "text_source", "edit_history_selection",
        "include", "exclude", "validation_share", "test_share", "min_duration_s", "max_duration_s",
        "min_characters", "sample_rate", "audio_format", "metadata_format",
    },
    "uroman": {"enabled", "language"},
}  # fmt: skip

WITHOUT_EFFECT = {"audio_dir", "csv_filename"}  # of older tools


@dataclass(frozen=True)
class DatasetConfig:
    """A configuration file, read; options of the command line win over it."""

    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path | None) -> "DatasetConfig":
        """Reads a file; None is an empty one. Raises UserError for keys that there are not."""
        if path is None:
            return cls({})
        try:
            found = load(path.read_bytes(), str(path)) or {}
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from error
        if not isinstance(found, Mapping):
            raise UserError(f"{path} is no configuration: it must hold keys with values.")
        for section, known in KEYS.items():
            part = found if not section else found.get(section) or {}
            if not isinstance(part, Mapping):
                raise UserError(f"{path}: {section} must hold keys with values.")
            unknown = sorted(str(key) for key in part if key not in known)
            if unknown:
                raise UserError(f"{path}: {section or 'the file'} has unknown keys: {', '.join(unknown)}.")
        for key in WITHOUT_EFFECT & set(found.get("dataset") or {}):
            logger.warning("dataset.%s has no effect: the layout is the one that `datasets` reads.", key)
        return cls(found)

    def get(self, key: str) -> Any:
        """The value at a dotted key, None where absent."""
        value: Any = self.values
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self.get(key) or []
        if not isinstance(value, list):
            raise UserError(f"{key} must be a list.")
        return tuple(str(entry) for entry in value)

    def source(self, name: str) -> SettingsSource:
        """The token that the file holds, and the server that stands beside it."""
        found = {"token": self.get("gitlab.access_token"), "gitlab_url": self.get("gitlab.server_url")}
        return SettingsSource(name, {key: str(value) for key, value in found.items() if value})

    def project(self) -> str | None:
        """The address of the project that the file names, as far as no server has to be asked."""
        mode = self.get("source_mode") or ("local" if self.get("local_repo_path") else "gitlab")
        if mode not in {"local", "gitlab"}:
            raise UserError(f"source_mode {mode!r} is neither gitlab nor local.")
        if mode == "local":
            path = self.get("local_repo_path")
            return None if path is None else str(path)
        path = self.get("gitlab.project_path")
        server = self.get("gitlab.server_url")
        if path is None or server is None:
            return None
        return f"{str(server).rstrip('/')}/{quote(str(path).strip('/'))}.git"
