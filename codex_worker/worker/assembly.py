"""Puts a worker together from its parts. Imported only when there is work to do."""

import ctypes
import hashlib
import logging
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import codex_worker
from codex_worker.active_hours import ActiveHours
from codex_worker.clock import EventClock, SystemEventClock
from codex_worker.contract.state import YIELDS, Budgets
from codex_worker.errors import SystemFault
from codex_worker.git.credentials import Credentials, origin_of
from codex_worker.git.gate import Gate
from codex_worker.git.git_transport import GitTransport
from codex_worker.git.lfs.ask_first import ask_first
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.open import open_store
from codex_worker.git.repository import Repository
from codex_worker.hub.fetch import Hub, hub_settings
from codex_worker.queue.job_queue import JobQueue, QueueSettings
from codex_worker.queue.owned import OwnedJob
from codex_worker.settings import DEFAULT_GITLAB_URL, Settings
from codex_worker.supervisor.attempt import Secrets, Supervisor
from codex_worker.supervisor.figures import Figures
from codex_worker.supervisor.fitness import MachineProbe
from codex_worker.supervisor.gpu_conditions import gpu_conditions
from codex_worker.supervisor.gpu_gate import GpuGate
from codex_worker.supervisor.gpu_memory import Card
from codex_worker.supervisor.gpu_peaks import GpuPeaks
from codex_worker.supervisor.handlers_found import handlers_root
from codex_worker.supervisor.job_folder import JobFolder
from codex_worker.supervisor.machine import Condition, memory_limit
from codex_worker.supervisor.project_access import RepositoryScanner
from codex_worker.supervisor.resume_saving import CarryLimits
from codex_worker.supervisor.room_there import RoomThere
from codex_worker.supervisor.settings import (
    GIB,
    HOUR_S,
    SHARED_EVERY_S,
    SPARE_BYTES,
    JobLimits,
    RuntimeSettings,
    SpareTime,
    leave_s,
)
from codex_worker.supervisor.spares import time_for_spares
from codex_worker.supervisor.tenancy import Tenancy
from codex_worker.supervisor.walls_here import walls_here
from codex_worker.supervisor.weights import WeightsAtHand
from codex_worker.tally import Tally
from codex_worker.worker.health import Health
from codex_worker.worker.lifetime import LifeLimits
from codex_worker.worker.loop import LoopSettings, Worker
from codex_worker.worker.prefetch import Prefetch
from codex_worker.worker.projects import FixedProjects, ProjectSource, ServerProjects, job_of
from codex_worker.worker.shared_projects import SharedProjects

if TYPE_CHECKING:
    from codex_worker.gitlab.client import GitLabClient

logger = logging.getLogger(__name__)

LFS_CACHE_BYTES = 20_000_000_000
_PR_SET_DUMPABLE = 4


class Assembly:
    """Opens projects for one worker, and equips its jobs."""

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        environment: Mapping[str, str],
        clock: EventClock | None = None,
        figures: Figures | None = None,
    ) -> None:
        self._settings = settings
        self._server = settings.gitlab_url or DEFAULT_GITLAB_URL
        self._worker_id = settings.worker_id or "codex-worker"
        self._forced = job_of(settings.force_job) if settings.force_job else None
        self._credentials = credentials
        self._clock = clock or SystemEventClock()
        self.tally = Tally()
        self._gate = Gate(credentials, self.tally, self._clock)
        self.figures = figures or Figures(self._clock)
        self._environment = environment
        self._work_dir = settings.work_dir.resolve()
        self._leaving = threading.Event()
        self.card = Card(environment)
        self._hub = Hub(hub_settings(settings, environment))
        self._shared = SharedProjects(
            settings.shared_checkpoints,
            lambda address: self._repository(address, "shared").snapshot(),
            lambda address: open_store(address, credentials, self.tally),
            self._address_of,
        )

    def worker(self) -> tuple[Worker, Supervisor]:
        """The worker, and its supervisor for whoever handles signals."""
        supervisor = Supervisor(
            self._runtime_settings(),
            self.open_project,
            self._clock,
            Secrets(self._credentials.redact, self._credentials.refresh),
            self._environment,
            self._tenancy(),
            self.figures,
            self.tally,
        )
        self._leaving = supervisor.leaving.event
        forced = self._forced
        settle_s = self._settings.settle_minutes * 60
        loop = LoopSettings(
            self._work_dir,
            self._settings.loop_interval,
            forced,
            settle_s,
            self._settings.publish_timeout_hours * HOUR_S,
            LifeLimits(_minutes(self._settings.max_idle_minutes), _hours(self._settings.max_uptime_hours)),
        )
        source = FixedProjects(()) if forced else self._source()
        room = RoomThere(handlers_root(), self._ask_first, self._clock)
        health = Health(self.machine_probe(), self._settings.preset, room)
        prefetch = Prefetch(
            self._settings.prefetch,
            lambda address: open_store(address, self._credentials, self.tally),
            self._lfs_cache,
        )
        worker = Worker(
            source,
            self.open_queue,
            supervisor,
            self.open_project,
            self._clock,
            loop,
            health,
            self.figures,
            prefetch,
        )
        return worker, supervisor

    def machine_probe(self) -> MachineProbe:
        """What tells whether this machine can do jobs."""
        return MachineProbe(
            self._runtime_settings(),
            self._environment,
            self._credentials.redact,
            WeightsAtHand(self._hub, self._clock),
            self._servers(),
            self._settings.allow_cpu,
            lambda found: self.card.found(None if found.device == "cpu" else found.uuid),
        )

    def shared_gpu(self) -> list[Condition]:
        """What the GPU has free now, and what jobs have taken of it. The machine's probe comes first."""
        return list(gpu_conditions(self.card.look, GpuPeaks(self._work_dir), self._headroom_bytes))

    @property
    def _headroom_bytes(self) -> int:
        return int(self._settings.vram_headroom_gib * GIB)

    def _tenancy(self) -> Tenancy:
        settings = self._settings
        return Tenancy(
            self._clock,
            handlers_root(),
            ActiveHours(settings.active_hours, settings.timezone),
            GpuGate(
                self.card.look,
                GpuPeaks(self._work_dir),
                self._clock,
                lambda: self._leaving,
                self._headroom_bytes,
            ),
            settings.preset,
        )

    def _ask_first(self, address: str, size_bytes: int) -> None:
        ask_first(address, self._credentials, size_bytes)

    def _servers(self) -> list[str]:
        """The servers of the jobs; a repository on disk has none."""
        addresses = [self._forced[0].address] if self._forced else self._settings.project or [self._server]
        origins = {str(origin) for each in addresses if (origin := origin_of(each)) is not None}
        return sorted(origins)

    def unfit_token(self) -> list[str]:
        """Why the token is of no use, as sentences; empty where it is, or where none is needed.

        A server that cannot be asked now is no reason to give up: it may be back at the next poll.
        """
        if self._settings.project or self._credentials.token is None or not self._is_on_server():
            return []
        from codex_worker.gitlab.preflight import Level, check_token

        try:
            findings = check_token(self.client(), self._clock)
        except SystemFault as error:
            logger.warning("The token could not be checked: %s", error)
            return []
        for finding in findings:
            if finding.level is Level.WARNING:
                logger.warning("%s", finding)
        return [str(finding) for finding in findings if finding.level is Level.PROBLEM]

    def client(self) -> "GitLabClient":
        """The server of the token."""
        # Loads python-gitlab, which a worker for repositories on disk does not need.
        from codex_worker.gitlab.client import GitLabClient

        return GitLabClient(self._server, self._credentials, self._clock, self.tally)

    def open_queue(self, address: str) -> JobQueue:
        """The queue of the project at this address."""
        settings = QueueSettings(
            budgets=Budgets(failures=self._settings.max_job_retries, yields=YIELDS),
            claim_timeout_s=self._settings.claim_timeout_hours * HOUR_S,
            take_over_older_after_s=_hours(self._settings.take_over_older_after_hours),
            stays=self._settings.loop_interval >= 0,
            older_workers=self._settings.older_workers,
        )
        return JobQueue(
            self._repository(address, "main"),
            self._worker_id,
            self._clock,
            settings,
            beats=self._repository(address, "beats"),
        )

    def open_project(self, owned: OwnedJob, folder: JobFolder, address: str) -> RepositoryScanner:
        """What an attempt reads with and publishes by."""
        store = open_store(address, self._credentials, self.tally)
        cache = self._lfs_cache()
        files = owned.repository.snapshot(owned.repository.seen.heads)  # as the claim left it
        return RepositoryScanner(owned, files, store, cache, self._hub, folder, self._shared.open)

    def _lfs_cache(self) -> LfsCache:
        return LfsCache(self._work_dir / "lfs", LFS_CACHE_BYTES)

    def _address_of(self, number: int) -> str:
        name = self.client().call(lambda server: server.projects.get(number), "a project").path_with_namespace
        return f"{self._server.rstrip('/')}/{name}.git"

    def walls(self) -> list[Condition]:
        """The walls around a job on this machine."""
        return list(walls_here(self._runtime_settings(), self._environment))

    def _source(self) -> ProjectSource:
        if self._settings.project:
            return FixedProjects(self._settings.project)
        from codex_worker.gitlab.leaving import Leaver
        from codex_worker.gitlab.projects import ProjectFinder

        client = self.client()
        notes = self._work_dir / "projects.json"
        leaver = Leaver(client, self._clock, self._settings.leave_after_hours * HOUR_S, notes)
        return ServerProjects(ProjectFinder(client, self._clock), leaver)

    def _is_on_server(self) -> bool:
        return self._forced is None or self._credentials.is_for(self._forced[0].address)

    def _repository(self, address: str, purpose: str) -> Repository:
        name = re.sub(r"[^A-Za-z0-9]+", "-", address.rstrip("/").removesuffix(".git"))[-40:].strip("-")
        digest = hashlib.sha256(address.encode()).hexdigest()[:12]
        transport = GitTransport(
            address,
            self._work_dir / "repositories" / f"{name}-{digest}-{purpose}.git",
            author=f"Codex worker {self._worker_id}",
            email="codex-worker@localhost",
            gate=self._gate,
            redact=self._credentials.redact,
        )
        return Repository(transport, self._clock, give_up=self._leaving, tally=self.tally)

    def _runtime_settings(self) -> RuntimeSettings:
        memory_bytes = memory_limit()
        spares = SpareTime.NEVER if self._settings.without_spare else time_for_spares(memory_bytes)
        if memory_bytes is not None and spares is SpareTime.ALWAYS:
            memory_bytes -= SPARE_BYTES
        limits = JobLimits(
            max_job_s=_hours(self._settings.max_job_hours),
            memory_bytes=memory_bytes,
            hang_s=self._settings.hang_minutes * 60,
            leave_s=leave_s(self._settings.grace),
        )
        return RuntimeSettings(
            work_dir=self._work_dir,
            code_root=Path(codex_worker.__file__).resolve().parents[1],
            handlers_root=handlers_root(),
            version=codex_worker.__version__,
            shared=self._hub.settings.folders,
            preset=self._settings.preset,
            keep_jobs=self._settings.keep_jobs,
            publish_timeout_s=self._settings.publish_timeout_hours * HOUR_S,
            resume=CarryLimits(
                SHARED_EVERY_S if self._settings.state_dir else self._settings.resume_interval * 60,
                int(self._settings.resume_max_gib * GIB),
            ),
            state_dir=self._settings.state_dir,
            save_every_s=self._settings.save_interval * 60,
            publishes_when_preempted=self._settings.publish_on_preemption,
            spares=spares,
            limits=limits,
        )


def keep_out_of_reach() -> None:
    """The child, a process of the same user, may not read this one's memory or environment.

    (man 2 prctl, PR_SET_DUMPABLE; the superuser's processes may do so all the same.)
    """
    with suppress(AttributeError, OSError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _hours(value: float | None) -> float | None:
    return None if value is None else value * HOUR_S


def _minutes(value: float | None) -> float | None:
    return None if value is None else value * 60
