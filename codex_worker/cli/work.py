"""The worker's command line: `python worker_entry.py --help`. `codex-worker work` is the same."""

import argparse
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codex_worker import __version__
from codex_worker.contract.exit_codes import ExitCode
from codex_worker.errors import UserError, WorkerError

if TYPE_CHECKING:
    from codex_worker.git.credentials import Credentials
    from codex_worker.supervisor.attempt import Supervisor
    from codex_worker.worker.assembly import WorkerOptions

logger = logging.getLogger("worker")

DEFAULT_GITLAB_URL = "https://git.genesisrnd.com"
TOKEN_VARIABLE = "GITLAB_TOKEN"  # noqa: S105 - a name, not a secret

EXIT_CODES = """\
exit codes:
   0  done: nothing is left to do, or the forced job is completed
   1  failed: no project could be read, or the forced job failed
   2  usage: an option is wrong or missing
  65  the forced job's project has to be changed by a person; running it again cannot help
  70  the forced job was canceled, or belongs to another worker now
  75  told to leave while a job ran: its state is saved, another worker may go on
  78  unfit: no job can be done as it is (disk full, work directory not writable, token refused)
"""

EXAMPLES = """\
examples:
  worker_entry.py --project ~/projects/genesis.git        do the jobs of one repository, then exit
  worker_entry.py --env-file .env.secrets --loop-interval 300
                                                           look for jobs every five minutes
"""


def build_parser(program: str = "worker_entry.py") -> argparse.ArgumentParser:
    """The worker's options."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Does the speech jobs of Codex projects: claims them, trains and uses voices and "
        "transcribers, and commits the results back to git.",
        epilog=f"{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"codex-worker {__version__}")
    _add_places(parser.add_argument_group("where the jobs are"))
    _add_worker(parser.add_argument_group("this worker"))
    _add_limits(parser.add_argument_group("limits"))
    return parser


def main(argv: Sequence[str] | None = None, program: str = "worker_entry.py") -> int:
    """Runs the worker; answers its exit code."""
    arguments = build_parser(program).parse_args(argv)
    try:
        return work(arguments, os.environ)
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)  # noqa: T201 - the command line's own output
        return ExitCode.USAGE


def work(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """The worker with these options. Raises UserError for what a person has to mend first."""
    from codex_worker.worker.assembly import Assembly, keep_out_of_reach

    credentials = credentials_of(arguments, environment)
    _start_logging(arguments.verbose, credentials)
    if arguments.token:
        logger.warning(
            "The token on the command line can be read by every user of this machine. "
            "Use --env-file or $%s instead.", TOKEN_VARIABLE,
        )  # fmt: skip
    keep_out_of_reach()
    options = _options(arguments, environment, credentials.token is not None)
    assembly = Assembly(options, credentials, environment)
    worker, supervisor = assembly.worker()
    _leave_on_signals(supervisor)
    logger.info("Worker %s, version %s, in %s", options.worker_id, __version__, options.work_dir.resolve())
    if problems := assembly.unfit_token():
        for problem in problems:
            logger.error("%s", problem)
        return ExitCode.UNFIT
    try:
        return worker.run()
    except WorkerError as error:
        logger.error("%s", error)
        return ExitCode.FAILED


def credentials_of(arguments: argparse.Namespace, environment: Mapping[str, str]) -> "Credentials":
    """The token: of the command line, else of the file, else of the environment."""
    from codex_worker.git.credentials import Credentials, read_env_file

    from_file = read_env_file(arguments.env_file).get(TOKEN_VARIABLE) if arguments.env_file else None
    token = getattr(arguments, "token", None) or from_file or environment.get(TOKEN_VARIABLE)
    return Credentials(token, gitlab_url_of(arguments, environment), env_file=arguments.env_file)


def gitlab_url_of(arguments: argparse.Namespace, environment: Mapping[str, str]) -> str:
    """The server that the token is for."""
    return (arguments.gitlab_url or environment.get("GITLAB_URL") or DEFAULT_GITLAB_URL).rstrip("/")


def _add_places(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--project", action="append", default=[], metavar="PATH-OR-URL",
        help="work on this repository, without asking a GitLab server for projects; may be given several "
        "times, and may be a bare repository on disk",
    )  # fmt: skip
    group.add_argument(
        "--gitlab-url", metavar="URL",
        help=f"the GitLab server that the token is for ($GITLAB_URL, or {DEFAULT_GITLAB_URL})",
    )  # fmt: skip
    group.add_argument(
        "--token", metavar="TOKEN",
        help=f"access token; other users of this machine can read it: better ${TOKEN_VARIABLE} or --env-file",
    )  # fmt: skip
    group.add_argument(
        "--env-file", type=Path, metavar="FILE",
        help=f"a file with {TOKEN_VARIABLE}=...; read again when the server refuses the token",
    )  # fmt: skip
    group.add_argument(
        "--force-job", metavar="PROJECT:JOB",
        help="do only this job, even where another worker holds it; a finished job is not run again",
    )  # fmt: skip


def _add_worker(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--worker-id", metavar="ID",
        help="this worker's name in the projects ($WORKER_ID, or the host's name and a short random part)",
    )  # fmt: skip
    group.add_argument(
        "--work-dir", type=Path, metavar="FOLDER", help="for caches and job folders ($WORK_DIR, or ./work)"
    )
    group.add_argument(
        "--loop-interval", type=float, default=-1, metavar="SECONDS",
        help="look for jobs again after so long; -1: exit when nothing is left (default)",
    )  # fmt: skip
    group.add_argument(
        "--keep-jobs", type=_count, default=5, metavar="N",
        help="keep the newest N job folders (5); -1: all. What is not published yet is always kept",
    )  # fmt: skip
    group.add_argument(
        "--preset", choices=["tiny", "full"],
        help="the model size for jobs that don't say; tiny is for demonstrations and tests",
    )  # fmt: skip
    group.add_argument("--verbose", action="store_true", help="log details")


def _add_limits(group: "argparse._ArgumentGroup") -> None:
    def hours(name: str, default: float | None, text: str) -> None:
        group.add_argument(name, type=_positive, default=default, metavar="HOURS", help=text)

    hours("--max-job-hours", None, "end a job after so long, whatever its manifest says (no limit)")
    hours("--claim-timeout-hours", None, "take over a silent worker's job after so long where the server "
          "accepts no leases ($CLAIM_TIMEOUT_HOURS, or 24)")  # fmt: skip
    hours("--take-over-older-after-hours", None, "take over the job of a worker of the older kind that has "
          "been silent so long (never)")  # fmt: skip
    hours("--publish-timeout-hours", 24, "try so long to publish results to a server that is away (24)")
    group.add_argument(
        "--leave-after-hours", type=_not_negative, default=24, metavar="HOURS",
        help="leave a GitLab project that has had no work for so long (24); 0: never",
    )  # fmt: skip
    group.add_argument(
        "--max-job-retries", type=_positive_count, default=None, metavar="N",
        help="give a job up after so many attempts that failed for want of a working machine "
        "($MAX_JOB_RETRIES, or 3)",
    )  # fmt: skip
    group.add_argument(
        "--hang-minutes", type=_positive, default=30, metavar="MINUTES",
        help="end a job's process that has given no sign of life for so long (30)",
    )  # fmt: skip


def _options(
    arguments: argparse.Namespace, environment: Mapping[str, str], has_token: bool
) -> "WorkerOptions":
    from codex_worker.worker.assembly import WorkerOptions
    from codex_worker.worker.projects import project_at

    gitlab_url = gitlab_url_of(arguments, environment)
    force_job = None
    if arguments.force_job:
        project, colon, job_id = arguments.force_job.rpartition(":")
        if not (project and colon and job_id) or job_id.startswith("/"):
            raise UserError(f"--force-job wants PROJECT:JOB, not {arguments.force_job}.")
        is_address = "://" in project or Path(project).expanduser().exists()
        force_job = (project_at(project if is_address else f"{gitlab_url}/{project}"), job_id)
    elif not arguments.project and not has_token:
        raise UserError(
            f"A token is needed to ask {gitlab_url} for projects: give it by --env-file or "
            f"${TOKEN_VARIABLE}. Or name repositories to work on with --project."
        )
    return WorkerOptions(
        worker_id=arguments.worker_id or environment.get("WORKER_ID") or _new_worker_id(),
        gitlab_url=gitlab_url,
        work_dir=arguments.work_dir or Path(environment.get("WORK_DIR") or "work"),
        projects=tuple(arguments.project),
        force_job=force_job,
        loop_interval_s=arguments.loop_interval,
        keep_jobs=arguments.keep_jobs,
        preset=arguments.preset,
        claim_timeout_hours=_variable(
            arguments.claim_timeout_hours, environment, "CLAIM_TIMEOUT_HOURS", _positive, 24
        ),
        max_job_retries=int(
            _variable(arguments.max_job_retries, environment, "MAX_JOB_RETRIES", _positive_count, 3)
        ),
        max_job_hours=arguments.max_job_hours,
        hang_minutes=arguments.hang_minutes,
        publish_timeout_hours=arguments.publish_timeout_hours,
        leave_after_hours=arguments.leave_after_hours,
        take_over_older_after_hours=arguments.take_over_older_after_hours,
    )


def _new_worker_id() -> str:
    return f"{socket.gethostname().split('.')[0]}-{secrets.token_hex(2)}"


def _start_logging(verbose: bool, credentials: "Credentials") -> None:
    """Rich lines for a person at a terminal, plain ones for a file; no secrets in either."""
    from codex_worker.supervisor.logs import RedactSecrets

    handler: logging.Handler
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.logging import RichHandler

        handler = RichHandler(console=Console(stderr=True), show_path=False, omit_repeated_times=False)
        handler.setFormatter(logging.Formatter("%(message)s", datefmt="%H:%M:%S"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(RedactSecrets(credentials.redact))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for name in ("urllib3", "filelock", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _leave_on_signals(supervisor: "Supervisor") -> None:
    """The first SIGTERM or SIGINT: save and leave. The second one: leave at once."""
    asked = threading.Event()

    def on_signal(number: int, _: object) -> None:
        if asked.is_set():
            supervisor.kill()
            os._exit(ExitCode.RELEASED)
        asked.set()
        # In a thread: the main thread may hold the very locks that leaving takes.
        threading.Thread(target=leave, args=(number,), daemon=True).start()

    def leave(number: int) -> None:
        logger.warning(
            "%s: saving what is there and leaving. Send it again to leave at once.",
            signal.Signals(number).name,
        )
        supervisor.leave()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def _variable(
    given: float | None,
    environment: Mapping[str, str],
    name: str,
    parse: Callable[[str], float],
    default: float,
) -> float:
    if given is not None:
        return given
    text = environment.get(name)
    if not text:
        return default
    try:
        return parse(text)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise UserError(f"${name} is {text!r}: {error}") from error


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("it must be a number above 0")
    return value


def _not_negative(text: str) -> float:
    return 0.0 if float(text) == 0 else _positive(text)


def _positive_count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("it must be a whole number above 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < -1:
        raise argparse.ArgumentTypeError("it must be -1 or more")
    return value
