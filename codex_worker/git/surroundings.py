"""What git is run with: nothing that a repository names runs, and of the user's set-up what is harmless.

A repository may be changed by whoever can write to its folder, so its hooks, its configuration and its
helpers are other people's programs. See docs/decisions/0013.
"""

import os
import shlex
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from codex_worker.git.network import network_variables

# Stands before every setting of a repository, for git on both sides of a repository on disk. An empty
# command would run its own argument: `true` says nothing and does nothing.
RUNS_NOTHING = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=true",
    "core.attributesFile=/dev/null",
    "core.sshCommand=false",
    "core.askPass=",
    "core.editor=false",
    "core.pager=cat",
    "credential.helper=",
    "gpg.program=false",
    "log.showSignature=false",
    "push.gpgSign=false",
    "push.recurseSubmodules=no",
    "fetch.recurseSubmodules=no",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
)
# The side that a push to a repository on disk starts there. Collecting garbage and updating a working tree
# run programs that the repository names (gc.recentObjectsHook, filters).
_SERVER_RUNS_NOTHING = (*RUNS_NOTHING, "receive.autogc=false", "receive.denyCurrentBranch=refuse")
_PASSED_ON = ("PATH", "TMPDIR")
_USERS_OWN = ("PATH", "HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")


def variables(users: Mapping[str, str]) -> dict[str, str]:
    """The variables of a git command, of those that the worker was started with."""
    passed = {name: users[name] for name in _PASSED_ON if name in users}
    return {
        **passed,
        **network_variables(users),
        "LC_ALL": "C",
        # Not a folder: nobody can lay a .gitconfig, a .netrc or keys into it.
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        # Stronger than any protocol.*.allow: no ext::, ssh:// or git://, whatever a repository names.
        "GIT_ALLOW_PROTOCOL": "file:http:https",
    }


def settings_for(address: str | None) -> list[str]:
    """The settings of a git command for the repository at this address, as `-c` takes them."""
    if address is None or not address.startswith("file:"):
        return list(RUNS_NOTHING)
    safe = [f"safe.directory={folder}" for folder in _safe_directories(_users_variables())]
    sides = [
        f"remote.origin.{side.replace('-', '')}={_server_command(side, safe)}"
        for side in ("upload-pack", "receive-pack")
    ]
    return [*RUNS_NOTHING, *safe, *sides]


def umask_for(address: str | None) -> int:
    """The umask of a git command (-1: the worker's own, which keeps others out).

    What is pushed to a repository on disk is for all who may use that repository.
    """
    if address is None or not address.startswith("file:"):
        return -1
    repository = Path(unquote(urlsplit(address).path))
    inner = repository / ".git"
    folder = inner if inner.is_dir() else repository
    return 0o777 & ~folder.stat().st_mode if folder.is_dir() else -1


def _server_command(side: str, safe: list[str]) -> str:
    """How git starts its other side in a repository on disk: -c does not reach there by itself."""
    options = [part for setting in (*_SERVER_RUNS_NOTHING, *safe) for part in ("-c", setting)]
    # A repository that is itself a partial clone would fetch, by the programs that its remotes name.
    nowhere = "GIT_ALLOW_PROTOCOL=none GIT_NO_LAZY_FETCH=1"
    return f"{nowhere} {shlex.join(['git', *options, side])}"


def _users_variables() -> tuple[tuple[str, str], ...]:
    return tuple((name, os.environ[name]) for name in _USERS_OWN if name in os.environ)


@cache
def _safe_directories(variables: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Repositories of other owners that this machine's user has said may be used, in git's own way."""
    found: list[str] = []
    for scope in ("--system", "--global"):
        command = ["git", "config", scope, "--type=path", "--null", "--get-all", "safe.directory"]
        done = subprocess.run(
            command, env=dict(variables), cwd=Path("/"), capture_output=True, timeout=60, check=False
        )
        found += os.fsdecode(done.stdout).split("\0")[:-1]
    return tuple(found)
