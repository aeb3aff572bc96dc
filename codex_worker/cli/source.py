"""The project that a command reads: a folder, a repository on disk or an address."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codex_worker.cli.dataset_config import DatasetConfig
from codex_worker.cli.options import access, add_access
from codex_worker.errors import UserError
from codex_worker.settings import Settings

if TYPE_CHECKING:
    from codex_worker.codex.choose import Selection
    from codex_worker.git.credentials import Credentials
    from codex_worker.job.api import ProjectReader

_CACHE_BYTES = 20_000_000_000


@dataclass(frozen=True)
class OpenProject:
    """A project that can be read, what of it is asked for, and the settings of this machine."""

    name: str
    reader: "ProjectReader"
    selection: "Selection"
    settings: Settings


def add_source(parser: argparse.ArgumentParser) -> None:
    """The options that name a project and verses of it."""
    parser.add_argument(
        "project", nargs="?", metavar="PROJECT",
        help="a translator's folder, a repository on disk, or a URL (also from --config)",
    )  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="FILE", help="see config.yaml.example")
    parser.add_argument(
        "--include", action="append", default=[], metavar="VERSES",
        help="only these: a cell id, a verse, a range, a chapter or a book; may be given several times",
    )  # fmt: skip
    parser.add_argument("--exclude", action="append", default=[], metavar="VERSES", help="but not these")
    add_access(parser)


def open_source(arguments: argparse.Namespace) -> OpenProject:
    """The project that the command line or the configuration names."""
    from codex_worker.cli.reading import FolderReader, is_working_folder
    from codex_worker.codex.choose import Selection
    from codex_worker.git.lfs.cache import LfsCache
    from codex_worker.worker.private_folder import make_private
    from codex_worker.worker.projects import project_at

    config = DatasetConfig.read(arguments.config)
    settings, credentials = access(arguments, config.source(str(arguments.config)))
    make_private(settings.work_dir)
    address = arguments.project or config.project() or _address_by_number(config, credentials)
    selection = Selection(
        tuple(arguments.include) or config.names("dataset.include"),
        tuple(arguments.exclude) or config.names("dataset.exclude"),
    )
    if is_working_folder(address):
        folder = Path(address).expanduser()
        cache = LfsCache(settings.work_dir / "lfs", _CACHE_BYTES)
        return OpenProject(folder.resolve().name, FolderReader(folder, cache), selection, settings)
    project = project_at(address)
    return OpenProject(
        project.name, _repository_reader(project.address, settings, credentials), selection, settings
    )


def _repository_reader(address: str, settings: Settings, credentials: "Credentials") -> "ProjectReader":
    import re

    from codex_worker.git.lfs.cache import LfsCache
    from codex_worker.git.lfs.open import open_store
    from codex_worker.hub.fetch import Hub, hub_settings
    from codex_worker.supervisor.job_folder import JobFolder
    from codex_worker.supervisor.project_access import RepositoryReader
    from codex_worker.worker.assembly import Assembly

    repository = Assembly(settings, credentials, os.environ).open_queue(address).repository
    name = re.sub(r"[^A-Za-z0-9]+", "-", address)[-60:].strip("-")
    return RepositoryReader(
        repository.snapshot(),
        open_store(address, credentials),
        LfsCache(settings.work_dir / "lfs", _CACHE_BYTES),
        Hub(hub_settings(settings, os.environ)),
        JobFolder(settings.work_dir / "reading" / name),
    )


def _address_by_number(config: DatasetConfig, credentials: "Credentials") -> str:
    """Asks the server for the repository of `gitlab.project_id`."""
    number, server = config.get("gitlab.project_id"), config.get("gitlab.server_url")
    if number is None or server is None:
        raise UserError("Name a project: on the command line, or in a configuration (--config).")
    import gitlab

    from codex_worker.clock import SystemEventClock
    from codex_worker.gitlab.client import OneServerSession

    session = OneServerSession(str(server).rstrip("/"), SystemEventClock())
    try:
        # Another server than the token's is asked as anybody may ask it.
        token = credentials.token if credentials.headers_for(str(server)) else None
        client = gitlab.Gitlab(str(server), private_token=token, session=session, timeout=30)
        return str(client.projects.get(number).http_url_to_repo)
    except (gitlab.GitlabError, OSError) as error:
        raise UserError(
            f"The server {server} does not give project {number}: {credentials.redact(str(error))}"
        ) from error
