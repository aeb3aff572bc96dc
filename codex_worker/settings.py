"""Every setting of an operator once: its name, environment variable, default, range and help.

The command lines, `--env-file` and the README's table are made from these fields. A value comes from the
command line, else from the secrets file, else from the environment, else it is the default.
"""

import argparse
import ipaddress
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import tzinfo
from pathlib import Path
from typing import Any

from codex_worker.active_hours import Window, read_windows, read_zone
from codex_worker.errors import UserError
from codex_worker.token_server import SettingsSource, server_of

DEFAULT_GITLAB_URL = "https://git.genesisrnd.com"

PLACES, WORKER, LIMITS = "where the jobs are", "this worker", "limits"
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}

_MOST_HOURS, _MOST_MINUTES = 100_000, 100_000
Parse = Callable[[str], Any]


def number(low: float, high: float = math.inf, *, whole: bool = False, or_else: float | None = None) -> Parse:
    """Reads a number from `low` to `high`; `or_else` is one more that is allowed. Raises ValueError."""

    def parse(text: str) -> float | int:
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            value = math.nan
        if not (low <= value <= high and math.isfinite(value)) and value != or_else:
            kind = "a whole number" if whole else "a number"
            limit = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of {low:g} or more"
            also = "" if or_else is None else f", or {or_else:g}"
            raise ValueError(f"it must be {kind} {limit}{also}")
        return value

    return parse


def hours(*, or_else: float | None = None) -> Parse:
    """Reads a number of hours; `or_else` is one more that is allowed. Raises ValueError."""
    return number(0.01, _MOST_HOURS, or_else=or_else)


def one_of(*choices: str) -> Parse:
    """Reads one of some words, in any case. Raises ValueError."""

    def parse(text: str) -> str:
        value = text.strip().lower()
        if value not in choices:
            raise ValueError(f"it must be {' or '.join(choices)}")
        return value

    return parse


def truth(text: str) -> bool:
    """Reads yes or no. Raises ValueError."""
    value = text.strip().lower()
    if value not in _TRUE | _FALSE:
        raise ValueError("it must be true or false")
    return value in _TRUE


def folder(text: str) -> Path:
    """Reads a path; `~` is the user's home, also where no shell has replaced it."""
    return Path(text).expanduser()


def own_address(text: str) -> str:
    """Reads an address that this machine may listen on. Raises ValueError."""
    value = "127.0.0.1" if text.strip().lower() == "localhost" else text.strip()
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(
            "it must be an address of this machine, as in 127.0.0.1 or ::1; 0.0.0.0 means all of them"
        ) from None


def several(text: str) -> tuple[str, ...]:
    """Reads words that are separated by white space."""
    return tuple(text.split())


@dataclass(frozen=True)
class Setting:
    """One setting. `option` is None for what only the environment and the secrets file give."""

    name: str
    help: str
    variable: str | None
    option: str | None
    metavar: str
    parse: Parse
    default: Any
    default_text: str
    group: str

    @property
    def is_flag(self) -> bool:
        """Whether the option takes no value."""
        return self.parse is truth

    @property
    def is_repeatable(self) -> bool:
        """Whether the option may be given several times."""
        return self.parse is several

    @property
    def explanation(self) -> str:
        """The help with the variable and the default."""
        notes = [f"${self.variable}" if self.variable else "", self.default_text]
        return f"{self.help} ({', '.join(note for note in notes if note)})" if any(notes) else self.help

    def read(self, text: str | Sequence[str], where: str) -> Any:
        """The value that a text stands for. Raises UserError that names `where` it stood."""
        if not all(word.strip() for word in ([text] if isinstance(text, str) else text)):
            raise UserError(f"{where} is empty: give a value, or leave it out.")
        if not isinstance(text, str):
            return tuple(text)
        try:
            return self.parse(text)
        except ValueError as error:
            raise UserError(f"{where} is {text!r}: {error}.") from error


def setting(
    help: str,
    *,
    variable: str | None = None,
    option: bool = True,
    metavar: str = "",
    parse: Parse = str,
    default: Any = None,
    default_text: str = "",
    group: str = WORKER,
) -> Any:
    """A field of `Settings`; the option is named after the field."""
    about = {
        "help": help,
        "variable": variable,
        "option": option,
        "metavar": metavar,
        "parse": parse,
        "default_text": default_text,
        "group": group,
    }
    return field(default=default, metadata=about, repr=variable != "GITLAB_TOKEN")


@dataclass(frozen=True)
class Settings:
    """An operator's choices, read once where a program starts."""

    project: tuple[str, ...] = setting(
        "work on this repository, without asking a GitLab server for projects; may be given several times, "
        "and may be a bare repository on disk",
        variable="CODEX_PROJECTS", metavar="PATH-OR-URL", parse=several, default=(), group=PLACES,
    )  # fmt: skip
    gitlab_url: str | None = setting(
        "the GitLab server that the token is for",
        variable="GITLAB_URL", metavar="URL", default_text=DEFAULT_GITLAB_URL, group=PLACES,
    )  # fmt: skip
    token: str | None = setting(
        "the access token; other users of this machine can read it on a command line, so better write it "
        "into a file (--env-file)",
        variable="GITLAB_TOKEN", metavar="TOKEN", group=PLACES,
    )  # fmt: skip
    env_file: Path | None = setting(
        "a file with GITLAB_TOKEN=... and any other variable of this list; the token is read again when the "
        "server refuses it",
        metavar="FILE", parse=folder, group=PLACES,
    )  # fmt: skip
    force_job: str | None = setting(
        "do only this job, even where another worker holds it; a finished job is not run again. PROJECT is "
        "an address, or the path of a repository",
        variable="CODEX_FORCE_JOB", metavar="PROJECT:JOB", group=PLACES,
    )  # fmt: skip
    worker_id: str | None = setting(
        "this worker's name in the projects",
        variable="WORKER_ID", metavar="ID",
        default_text="the host's name and a few letters for the work folder",
    )  # fmt: skip
    work_dir: Path = setting(
        "the folder for caches and job folders",
        variable="WORK_DIR", metavar="FOLDER", parse=folder, default=Path("work"), default_text="./work",
    )  # fmt: skip
    loop_interval: float = setting(
        "look for jobs again after so long; -1: exit when nothing is left",
        variable="CODEX_LOOP_INTERVAL", metavar="SECONDS", parse=number(1, 7 * 86400, or_else=-1),
        default=-1.0, default_text="-1",
    )  # fmt: skip
    keep_jobs: int = setting(
        "keep the newest N job folders; -1: all. What is not published yet is always kept",
        variable="CODEX_KEEP_JOBS", metavar="N", parse=number(-1, 10**6, whole=True), default=5,
        default_text="5",
    )  # fmt: skip
    preset: str | None = setting(
        "the model size for jobs that don't say; tiny is for demonstrations and tests",
        variable="CODEX_PRESET", metavar="tiny|full", parse=one_of("tiny", "full"), default_text="full",
    )  # fmt: skip
    allow_cpu: bool = setting(
        "let the processor do jobs of the full preset where there is no GPU, which takes days; without it "
        "such jobs are left to other workers",
        variable="CODEX_ALLOW_CPU", parse=truth, default=False,
    )  # fmt: skip
    vram_headroom_gib: float = setting(
        "leave so much of the GPU's memory to others: a job begins where it fits beside that, and is given "
        "back where others come to need it",
        variable="CODEX_VRAM_HEADROOM_GIB", metavar="GIB", parse=number(0, 10_000), default=2.0,
        default_text="2",
    )  # fmt: skip
    active_hours: tuple[Window, ...] = setting(
        "claim jobs only in these hours, and give the running one back at their end; several with commas "
        "between them",
        variable="CODEX_ACTIVE_HOURS", metavar="02:00-06:00", parse=read_windows, default=(),
        default_text="always",
    )  # fmt: skip
    timezone: tzinfo | None = setting(
        "the place whose clock tells the active hours, like Europe/London",
        variable="CODEX_TIMEZONE", metavar="ZONE", parse=read_zone, default_text="the machine's own",
    )  # fmt: skip
    without_spare: bool = setting(
        "start a job's process when the job is there; else one waits that has loaded its libraries, with "
        "half a GB of memory and none of a GPU",
        variable="CODEX_WITHOUT_SPARE", parse=truth, default=False,
    )  # fmt: skip
    prefetch: int = setting(
        "while a job computes, fetch the recordings of the next N pending jobs into the cache; they are not "
        "claimed for that",
        variable="CODEX_PREFETCH", metavar="N", parse=number(0, 100, whole=True), default=1, default_text="1",
    )  # fmt: skip
    verbose: bool = setting("log details", variable="CODEX_VERBOSE", parse=truth, default=False)
    log_format: str = setting(
        "how the worker's own log is written: lines for people, or a JSON object a line, for programs, with "
        "worker, project, job and attempt; it has what a job's process prints as well",
        variable="CODEX_LOG_FORMAT", metavar="text|json", parse=one_of("text", "json"), default="text",
        default_text="text",
    )  # fmt: skip
    metrics_port: int | None = setting(
        "answer /metrics (for Prometheus), /healthz and /readyz over HTTP on this port",
        variable="CODEX_METRICS_PORT", metavar="PORT", parse=number(1, 65535, whole=True),
        default_text="none",
    )  # fmt: skip
    metrics_address: str = setting(
        "listen there for --metrics-port; whoever reaches it can read the figures, which name no project",
        variable="CODEX_METRICS_ADDRESS", metavar="ADDRESS", parse=own_address, default="127.0.0.1",
        default_text="127.0.0.1, this machine alone",
    )  # fmt: skip
    weights_folder: Path | None = setting(
        "a folder with official weights that is looked at before the hub",
        variable="CODEX_WEIGHTS_FOLDER", metavar="FOLDER", parse=folder,
    )  # fmt: skip
    shared_checkpoints: tuple[str, ...] = setting(
        "let jobs of all projects use checkpoints of this one (model.base_checkpoint: PROJECT:PATH); may be "
        "given several times, and only for projects whose teams agree",
        variable="CODEX_SHARED_CHECKPOINTS", metavar="PATH-OR-URL", parse=several, default=(),
        default_text="none",
    )  # fmt: skip
    max_job_hours: float | None = setting(
        "end a job after so long, whatever its manifest says",
        variable="CODEX_MAX_JOB_HOURS", metavar="HOURS", parse=hours(), default_text="no limit",
        group=LIMITS,
    )  # fmt: skip
    claim_timeout_hours: float = setting(
        "take over a silent worker's job after so long where the server accepts no leases",
        variable="CLAIM_TIMEOUT_HOURS", metavar="HOURS", parse=hours(), default=24.0, default_text="24",
        group=LIMITS,
    )  # fmt: skip
    take_over_older_after_hours: float | None = setting(
        "take over the job of a legacy worker that has not reported for this long",
        variable="CODEX_TAKE_OVER_OLDER_AFTER_HOURS", metavar="HOURS", parse=hours(),
        default_text="never", group=LIMITS,
    )  # fmt: skip
    settle_minutes: float = setting(
        "stay for so long after the last job, to put back what a translator's sync may still leave out",
        variable="CODEX_SETTLE_MINUTES", metavar="MINUTES", parse=number(0, 24 * 60), default=3.0,
        default_text="3", group=LIMITS,
    )  # fmt: skip
    older_workers: bool = setting(
        "legacy workers serve the projects as well, which take a job without a response for a free one",
        variable="CODEX_OLDER_WORKERS", parse=truth, default=False,
        default_text="seen by their jobs", group=LIMITS,
    )  # fmt: skip
    publish_timeout_hours: float = setting(
        "stay for this long when nothing is left to do but results that a server does not take; 0: leave at "
        "once. They are kept, and offered again all the while",
        variable="CODEX_PUBLISH_TIMEOUT_HOURS", metavar="HOURS", parse=number(0, _MOST_HOURS),
        default=24.0, default_text="24", group=LIMITS,
    )  # fmt: skip
    save_interval: float = setting(
        "write where a training stands to this machine's disk this often: at most so much is lost when the "
        "machine goes without a word",
        variable="CODEX_SAVE_INTERVAL", metavar="MINUTES", parse=number(0.1, _MOST_MINUTES), default=10.0,
        default_text="10", group=LIMITS,
    )  # fmt: skip
    publish_on_preemption: bool = setting(
        "publish the model and the samples that there are when a training has to leave before its end. "
        "Without it only its state is kept, which is all that the next attempt needs",
        variable="CODEX_PUBLISH_ON_PREEMPTION", parse=truth, default=False, group=LIMITS,
    )  # fmt: skip
    state_dir: Path | None = setting(
        "a folder on a volume that several workers share, all of one user: each saved state of a training "
        "goes there and none is uploaded, and any of them goes on from it",
        variable="CODEX_STATE_DIR", metavar="FOLDER", parse=folder, default_text="states are uploaded",
    )  # fmt: skip
    resume_interval: float = setting(
        "upload a training's state for the next attempt this often, or more rarely, so that uploads take at "
        "most a tenth of the time; this machine's disk has each saved state at once",
        variable="CODEX_RESUME_INTERVAL", metavar="MINUTES", parse=number(0.1, _MOST_MINUTES), default=10.0,
        default_text="10", group=LIMITS,
    )  # fmt: skip
    resume_max_gib: float = setting(
        "carry no larger state of a training away: only this machine can go on with it then; 0: none",
        variable="CODEX_RESUME_MAX_GIB", metavar="GIB", parse=number(0, 10**6), default=10.0,
        default_text="10", group=LIMITS,
    )  # fmt: skip
    grace: float = setting(
        "be gone within so long after SIGTERM or Ctrl-C, whatever a server does; two thirds of it are the "
        "job's, for saving. What cannot be published in that time is kept",
        variable="CODEX_GRACE", metavar="SECONDS", parse=number(2, 3600), default=30.0,
        default_text="30", group=LIMITS,
    )  # fmt: skip
    leave_after_hours: float = setting(
        "leave a GitLab project that has had no work for so long; 0: never",
        variable="CODEX_LEAVE_AFTER_HOURS", metavar="HOURS", parse=hours(or_else=0), default=24.0,
        default_text="24", group=LIMITS,
    )  # fmt: skip
    max_job_retries: int = setting(
        "give a job up after so many different workers failed it because of the machine (out of memory, "
        "disk, network), or after four times as many such attempts of fewer workers",
        variable="MAX_JOB_RETRIES", metavar="N", parse=number(1, 1000, whole=True), default=3,
        default_text="3", group=LIMITS,
    )  # fmt: skip
    max_idle_minutes: float | None = setting(
        "end this worker, with exit code 0, after so long without a job; without a --loop-interval it ends "
        "as soon as nothing is left anyway",
        variable="CODEX_MAX_IDLE_MINUTES", metavar="MINUTES", parse=number(0.01, _MOST_MINUTES),
        default_text="never", group=LIMITS,
    )  # fmt: skip
    max_uptime_hours: float | None = setting(
        "end this worker after so long: a job that runs is saved and released, as after SIGTERM (exit code "
        "75; 0 where none ran)",
        variable="CODEX_MAX_UPTIME_HOURS", metavar="HOURS", parse=hours(), default_text="never", group=LIMITS,
    )  # fmt: skip
    hang_minutes: float = setting(
        "end a job's process that has given no sign of life for so long",
        variable="CODEX_HANG_MINUTES", metavar="MINUTES", parse=number(0.01, _MOST_MINUTES), default=30.0,
        default_text="30", group=LIMITS,
    )  # fmt: skip
    hf_home: Path | None = setting(
        "where the Hugging Face libraries keep weights",
        variable="HF_HOME", option=False, parse=folder, default_text="~/.cache/huggingface",
    )  # fmt: skip
    hf_hub_cache: Path | None = setting(
        "the folder of the hub's files alone",
        variable="HF_HUB_CACHE", option=False, parse=folder, default_text="$HF_HOME/hub",
    )  # fmt: skip
    hf_endpoint: str | None = setting(
        "another address for the hub", variable="HF_ENDPOINT", option=False,
        default_text="https://huggingface.co",
    )  # fmt: skip
    hf_hub_offline: bool = setting(
        "true: weights come from this machine only", variable="HF_HUB_OFFLINE", option=False, parse=truth,
        default=False,
    )  # fmt: skip


def all_settings() -> tuple[Setting, ...]:
    """The settings in the order in which people read of them."""
    return tuple(_setting_of(each) for each in fields(Settings))


def add_options(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """The options of some settings, in their groups. What is not given is None."""
    wanted = set(names)
    groups: dict[str, Any] = {}
    for each in all_settings():
        if each.name not in wanted or each.option is None:
            continue
        if each.group not in groups:
            groups[each.group] = parser.add_argument_group(each.group)
        words: dict[str, Any] = {"help": each.explanation, "default": None, "dest": each.name}
        if each.is_flag:
            words["action"] = "store_true"
        elif each.is_repeatable:
            words |= {"action": "append", "metavar": each.metavar}
        else:
            words |= {"metavar": each.metavar}
        groups[each.group].add_argument(each.option, **words)


def from_variables(name: str, variables: Mapping[str, str]) -> SettingsSource:
    """What a file or an environment says; empty variables count as absent."""
    found = {s.name: variables.get(s.variable, "").strip() for s in all_settings() if s.variable}
    return SettingsSource(name, {key: text for key, text in found.items() if text})


def read_settings(given: Mapping[str, Any], *sources: SettingsSource) -> Settings:
    """The settings that hold; `given` are the command line's, the first source wins over those behind it.

    The address is the one that the token is for (`server_of`). Raises UserError for what cannot be meant.
    """
    values: dict[str, Any] = {}
    for each in all_settings():
        for source in (_command_line(given), *sources):
            text = source.texts.get(each.name)
            if text is not None:
                values[each.name] = each.read(text, _name_in(each, source))
                break
    values["gitlab_url"] = server_of((_command_line(given), *sources))
    return Settings(**values)


def reference_table() -> str:
    """The README's table of all settings, in Markdown."""
    lines = ["| option | environment | meaning |", "|---|---|---|"]
    for each in all_settings():
        shown = "" if each.option is None else f"`{each.option}{' ' + each.metavar if each.metavar else ''}`"
        shown = shown.replace("|", "\\|")
        variable = f"`{each.variable}`" if each.variable else ""
        default = f" ({each.default_text})" if each.default_text else ""
        lines.append(f"| {shown} | {variable} | {each.help}{default} |")
    return "\n".join(lines) + "\n"


def _command_line(given: Mapping[str, Any]) -> SettingsSource:
    return SettingsSource("the command line", dict(_given_texts(given)))


def _given_texts(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        if value is not None and name in Settings.__dataclass_fields__:
            yield name, value if isinstance(value, list) else str(value)


def _name_in(each: Setting, source: SettingsSource) -> str:
    if source.name == "the command line" and each.option is not None:
        return each.option
    return f"${each.variable} of {source.name}"


def _setting_of(each: "Field[Any]") -> Setting:
    about = dict(each.metadata)
    option = f"--{each.name.replace('_', '-')}" if about.pop("option") else None
    default = None if each.default is MISSING else each.default
    return Setting(name=each.name, option=option, default=default, **about)
