"""A command line's settings and its token, from the options, the secrets file and the environment."""

import argparse
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from codex_worker.settings import DEFAULT_GITLAB_URL, Settings, add_options, from_variables, read_settings
from codex_worker.token_server import SettingsSource

if TYPE_CHECKING:
    from codex_worker.git.credentials import Credentials

logger = logging.getLogger(__name__)

# What the commands beside the worker itself need to reach a project.
ACCESS = ("gitlab_url", "env_file", "work_dir")


def add_access(parser: argparse.ArgumentParser) -> None:
    """The options by which a command reaches projects."""
    add_options(parser, ACCESS)


def access(
    arguments: argparse.Namespace, *more: SettingsSource, names: Iterable[str] = ACCESS
) -> tuple[Settings, "Credentials"]:
    """What a command's own options, the secrets file and the environment say; `more` stands between these."""
    given = {name: getattr(arguments, name) for name in names}
    settings, credentials = settings_and_token(given, os.environ, *more)
    warn_of_an_open_line(credentials)
    return settings, credentials


def warn_of_an_open_line(credentials: "Credentials") -> None:
    """Says that everybody on the way to the server can read the token, where that is so."""
    if credentials.token and credentials.origin and not credentials.origin.is_private:
        logger.warning(
            "The token goes to %s without encryption: everybody on the way there can read it. Give the "
            "server's https:// address (--gitlab-url).", credentials.origin,
        )  # fmt: skip


def settings_and_token(
    given: Mapping[str, object], environment: Mapping[str, str], *more: SettingsSource
) -> tuple[Settings, "Credentials"]:
    """The settings, and the token with the one server that it is for.

    The settings' `gitlab_url` is always set: the documented default is for a token that comes without an
    address. Raises UserError for what cannot be meant.
    """
    # Loaded when a command runs, so that `--help` answers at once.
    from codex_worker.git.credentials import Credentials, read_env_file

    sources = [*more, from_variables("the environment", environment)]
    env_file = given.get("env_file")
    if env_file:
        sources.insert(0, from_variables(str(env_file), read_env_file(Path(str(env_file)))))
    settings = read_settings(given, *sources)
    server = settings.gitlab_url or DEFAULT_GITLAB_URL
    file = settings.env_file
    # A token of the command line is not replaced by the file's, which may be for another server.
    reread = None if given.get("token") else file
    credentials = Credentials(
        settings.token, server, env_file=reread, needs_address=_is_of_another(sources, str(file))
    )
    return replace(settings, gitlab_url=server, token=None), credentials


def _is_of_another(sources: Sequence[SettingsSource], file: str) -> bool:
    """Whether the address stands beside a token that the secrets file does not hold."""
    token = next((source for source in sources if "token" in source.texts), None)
    return token is not None and token.name != file and "gitlab_url" in token.texts
