"""Projects whose checkpoints jobs of other projects may use, because the worker's operator says so.

The worker's token reads all projects that it is a member of, and whoever writes a project's manifest reads
what its jobs read. So a manifest alone must not open another team's models: the operator lists the projects
that share theirs, and for any other one the answer is the same whether it exists or not.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from codex_worker.contract.plain_text import plain_line
from codex_worker.errors import AccessDenied, SystemFault, UserError, clause
from codex_worker.git.lfs.store import LfsStore
from codex_worker.git.ports import Snapshot
from codex_worker.token_server import without_user
from codex_worker.worker.projects import ProjectAddress, project_at

logger = logging.getLogger(__name__)

_LONGEST_ID = 12  # digits


class SharedProjects:
    """The operator's list.

    Args:
        addresses: of the projects, as `--project` takes them.
        open_files: what reads the head of the project at an address. May raise AccessDenied.
        open_store: where the large files of the project at an address are.
        address_of: the address of the project with a number on the token's server.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        open_files: Callable[[str], Snapshot],
        open_store: Callable[[str], LfsStore],
        address_of: Callable[[int], str],
    ) -> None:
        self._projects = list(dict.fromkeys(project_at(address) for address in addresses))
        self._open_files = open_files
        self._open_store = open_store
        self._address_of = address_of

    def open(self, name: str) -> tuple[Snapshot, LfsStore]:
        """Files and large files of the project that a manifest names.

        Raises UserError where it is not shared, or the token cannot read it, and ServerUnreachable.
        """
        name = plain_line(without_user(name.strip()))
        address = self._project(name).address
        try:
            return self._open_files(address), self._open_store(address)
        except AccessDenied as error:
            raise UserError(
                f"The project {name} shares its checkpoints, but this worker cannot read it "
                f"({clause(error)}). Add the worker to its members, or copy the checkpoint into this project."
            ) from error

    def _project(self, wanted: str) -> ProjectAddress:
        found = [each for each in self._projects if _folded(wanted) in map(_folded, _names(each))]
        if not found and self._projects and wanted.isdecimal() and len(wanted) <= _LONGEST_ID:
            address = self._by_number(int(wanted))
            found = [each for each in self._projects if _folded(address) == _folded(each.address)]
        if len(found) > 1:
            raise UserError(
                f"The name {wanted} means {len(found)} projects that share checkpoints; give the address "
                "of the one."
            )
        if not found:
            raise UserError(
                f"This worker shares no checkpoints of a project {wanted}. Whoever runs the worker can share "
                "them where that project's team agrees (--shared-checkpoints). Or copy the checkpoint into "
                "gpu_jobs/ of this project, and name it there."
            )
        return found[0]

    def _by_number(self, number: int) -> str:
        try:
            return self._address_of(number)
        except (SystemFault, UserError) as error:
            logger.debug("Project %d: %s", number, error)
            return ""


def _names(project: ProjectAddress) -> Iterator[str]:
    """How a manifest may name it: by its address, with and without ending, or by its name."""
    yield project.address
    yield project.address.removesuffix(".git")
    yield project.name
    if "://" not in project.address:
        yield Path(project.address).name


def _folded(name: str) -> str:
    """Without case, as GitLab's paths are; of two folders that differ in it only, neither is meant."""
    return name.rstrip("/").casefold()
