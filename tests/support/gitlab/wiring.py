"""What the modules of the stand-in share while it runs."""

import os
from dataclasses import dataclass

from tests.support.gitlab.auth import Auth
from tests.support.gitlab.repositories import Repositories
from tests.support.gitlab.state import State


@dataclass
class Services:
    state: State
    auth: Auth
    repositories: Repositories
    url: str = ""
    complexity_limit: int = 250
    lfs_redirect_url: str | None = None  # the object storage that downloads are sent on to


def git_environment() -> dict[str, str]:
    """git without the settings of whoever runs the tests."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
