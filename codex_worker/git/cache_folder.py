"""The folder of a cache repository: made by us alone, and made anew when anything else has changed it."""

import logging
import shutil
from pathlib import Path

from codex_worker.git.process import Git

logger = logging.getLogger(__name__)

_READY = "worker-ready"
# Each of these would make git read other settings, other objects or other people's programs.
_NEVER_OURS = (
    "hooks", "commondir", "config.worktree", "worktrees", "info/attributes", "info/grafts",
    "objects/info/alternates", "objects/info/http-alternates",
)  # fmt: skip


class CacheFolder:
    """A bare repository that holds what was fetched from `url`; whatever it holds can be fetched again."""

    def __init__(self, git: Git, url: str) -> None:
        self._git = git
        self._url = url
        self._config = _configuration(url)

    @property
    def path(self) -> Path:
        """The repository."""
        return self._git.folder

    def prepare(self) -> bool:
        """Makes the repository, where it is not there as we left it; True when it was made."""
        if self.is_ours:
            return False
        if (self.path / _READY).exists():
            logger.warning(
                "The settings of the cache %s are not the ones that this worker wrote: it is made anew.",
                self.path,
            )
        self.make()
        return True

    def make(self) -> None:
        """Makes the repository, empty."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        self._git.local("init", "--quiet", "--bare", "--template=", str(self.path))
        (self.path / "config").write_text(self._config)
        self._git.local("hash-object", "-w", "-t", "tree", "--stdin")
        (self.path / _READY).touch()

    def remove_stale_locks(self) -> None:
        """Removes git's own locks; whoever calls this holds ours, so nobody works here who has made them.

        They are left by a git that was killed, and stop every later one.
        """
        places = (self.path, self.path / "objects/info", self.path / "objects/pack")
        found = [lock for place in places for lock in place.glob("*.lock")]
        for lock in [*found, *(self.path / "refs").rglob("*.lock")]:
            logger.info("Removing %s, which an interrupted git has left.", lock)
            lock.unlink(missing_ok=True)

    @property
    def is_ours(self) -> bool:
        """Whether it is there, with the settings that we wrote and nothing that leads git elsewhere."""
        config = self.path / "config"
        try:
            unchanged = not config.is_symlink() and config.read_bytes() == self._config.encode()
        except OSError:
            return False
        if not unchanged or not (self.path / _READY).exists():
            return False
        return not any((self.path / name).exists() for name in _NEVER_OURS)


def _configuration(url: str) -> str:
    """All settings of a cache, byte by byte: git itself writes none into it."""
    quoted = url.replace("\\", "\\\\").replace('"', '\\"')
    return f"""\
[core]
\trepositoryformatversion = 0
\tbare = true
\tlogAllRefUpdates = false
[remote "origin"]
\turl = "{quoted}"
\tpromisor = true
\tpartialclonefilter = "blob:none"
[gc]
\tauto = 0
[http]
\tlowSpeedLimit = 1000
\tlowSpeedTime = 60
[fastimport]
\tunpackLimit = 1000
"""
