"""What running a job goes by; what an operator may set of it comes from `codex_worker.settings`."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from codex_worker.settings import Settings
from codex_worker.supervisor.resume_saving import CarryLimits

HOUR_S = 3600.0
# A volume takes every state that is saved; one that it did not take is offered again after so long.
SHARED_EVERY_S = 60.0


def leave_s(grace_s: float) -> float:
    """How long a job may save when its worker has to be gone within `grace_s`."""
    return max(grace_s - 10.0, grace_s / 2)


GIB = 1 << 30


# What a spare process holds: torch, transformers and the rest, once they are imported.
SPARE_BYTES = 512 << 20


class SpareTime(Enum):
    """When a process that is ready for the next job may be there."""

    NEVER = "never"
    BETWEEN_JOBS = "between jobs"
    ALWAYS = "always"


@dataclass(frozen=True)
class JobLimits:
    """How long and how large a job may become, and how much patience there is with it."""

    max_job_s: float | None = None  # the operator's; a manifest's timeout counts as well
    memory_bytes: int | None = None
    hang_s: float = Settings.hang_minutes * 60  # without a heartbeat, a call or a look at should_stop()
    save_s: float = 300.0  # for saving what is there after a cancellation or a timeout
    yield_s: float = 60.0  # for the same when others wait for the GPU, or the hours for jobs are over
    leave_s: float = 20.0  # for the same when the machine is taken away; the rest of --grace is for the end


@dataclass(frozen=True)
class Rhythm:
    """How often things are looked at, in seconds."""

    beat_s: float = 60.0
    look_s: float = 30.0
    report_s: float = 60.0
    watch_s: float = 1.0
    memory_s: float = 5.0


@dataclass(frozen=True)
class RuntimeSettings:
    """Everything about running jobs on this machine."""

    work_dir: Path
    code_root: Path  # where codex_worker and patches are imported from
    handlers_root: Path  # the folder that holds the `handlers` package
    version: str
    shared: tuple[Path, ...] = ()  # what all jobs of this machine read: weights
    preset: str | None = None  # for jobs that don't say
    keep_jobs: int = Settings.keep_jobs
    publish_timeout_s: float = Settings.publish_timeout_hours * HOUR_S
    resume: CarryLimits = field(
        default_factory=lambda: CarryLimits(Settings.resume_interval * 60, int(Settings.resume_max_gib * GIB))
    )
    state_dir: Path | None = None  # where states go instead of the server
    save_every_s: float = Settings.save_interval * 60
    publishes_when_preempted: bool = Settings.publish_on_preemption
    spares: SpareTime = SpareTime.NEVER
    limits: JobLimits = field(default_factory=JobLimits)
    rhythm: Rhythm = field(default_factory=Rhythm)
