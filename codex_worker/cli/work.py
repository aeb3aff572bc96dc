"""The worker's command line: `python worker_entry.py --help`. `codex-worker work` is the same."""

import argparse
import hashlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from codex_worker import __version__
from codex_worker.child.keeper import descendants
from codex_worker.cli.options import settings_and_token, warn_of_an_open_line
from codex_worker.cli.signs import with_negative_numbers
from codex_worker.clock import SystemClock
from codex_worker.contract.exit_codes import ExitCode
from codex_worker.errors import UserError, WorkerError
from codex_worker.settings import Settings, add_options, all_settings

if TYPE_CHECKING:
    from codex_worker.git.credentials import Credentials
    from codex_worker.supervisor.attempt import Supervisor
    from codex_worker.supervisor.figures import Figures
    from codex_worker.worker.assembly import Assembly
    from codex_worker.worker.loop import Worker

logger = logging.getLogger("worker")

# Before the end of --grace, so that the process is gone by then.
_LAST_MOMENT_S = 2.0

EXIT_CODES = """\
exit codes:
   0  done: nothing is left to do, or the forced job is completed
   1  failed: no project could be read, or the forced job failed
   2  usage: an option is wrong or missing
  65  the forced job's project has to be changed by a person; running it again cannot help
  70  the forced job was canceled, or belongs to another worker now
  75  another worker may go on: this one was told to leave, or its time was over, while a job ran, and saved
      its state; or it failed a job because of its machine, and leaves it to others for a while; or it leaves
      the GPU to others, or waits for --active-hours; or results could not be published: they are kept in the
      work directory and offered at the next start
  78  unfit: no job that is left can be done as it is (disk full, work directory not writable, token refused,
      no GPU for a job of the full preset, two jobs in a row failed because of the machine)
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
    add_options(parser, [each.name for each in all_settings()])
    return parser


def main(argv: Sequence[str] | None = None, program: str = "worker_entry.py") -> int:
    """Runs the worker; answers its exit code."""
    words = sys.argv[1:] if argv is None else argv
    arguments = build_parser(program).parse_args(with_negative_numbers(words))
    try:
        return work(vars(arguments), os.environ)
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)  # noqa: T201 - the command line's own output
        return ExitCode.USAGE


def work(given: Mapping[str, object], environment: Mapping[str, str]) -> int:
    """The worker with these options. Raises UserError for what a person has to fix first."""
    from codex_worker.cli.log_setup import start_logging
    from codex_worker.supervisor.figures import Figures

    os.umask(0o077)
    settings, credentials = settings_and_token(given, environment)
    settings = replace(settings, worker_id=settings.worker_id or _own_name(settings.work_dir))
    figures = Figures()
    start_logging(settings, credentials, figures)
    if given.get("token"):
        logger.warning(
            "The token on the command line can be read by every user of this machine. "
            "Use --env-file or $GITLAB_TOKEN instead."
        )
    try:
        return _work(settings, credentials, environment, figures)
    except UserError as error:
        if settings.log_format != "json":
            raise
        logger.error("%s", error)  # as any other line
        return ExitCode.USAGE


def _work(
    settings: Settings, credentials: "Credentials", environment: Mapping[str, str], figures: "Figures"
) -> int:
    from codex_worker.supervisor.shared_states import require_state_dir
    from codex_worker.worker.assembly import Assembly, keep_out_of_reach
    from codex_worker.worker.private_folder import make_private

    keep_out_of_reach()
    warn_of_an_open_line(credentials)
    _require_projects(settings, credentials)
    if settings.state_dir is not None:
        settings = replace(settings, state_dir=require_state_dir(settings.state_dir))
    make_private(settings.work_dir)
    assembly = Assembly(settings, credentials, environment, figures=figures)
    worker, supervisor = assembly.worker()
    over = threading.Event()
    _leave_on_signals(supervisor, settings.grace, over)
    logger.info("Worker %s, version %s, in %s", settings.worker_id, __version__, settings.work_dir.resolve())
    if problems := assembly.unfit_token():
        for problem in problems:
            logger.error("%s", problem)
        return ExitCode.UNFIT
    try:
        with _metrics(settings, assembly, worker, supervisor):
            return worker.run()
    except UserError:
        raise
    except WorkerError as error:
        logger.error("%s", error)
        return ExitCode.FAILED
    finally:
        over.set()


@contextmanager
def _metrics(
    settings: Settings, assembly: "Assembly", worker: "Worker", supervisor: "Supervisor"
) -> Iterator[None]:
    """Within the block the worker can be asked how it is, where the operator wants that."""
    if settings.metrics_port is None:
        yield
        return
    from codex_worker.supervisor.handlers_found import find_handlers, handlers_root
    from codex_worker.worker.metrics import Watched, registry_of, use_of
    from codex_worker.worker.metrics_server import MetricsServer

    job_types = frozenset(job_type for job_type, _, _ in find_handlers(handlers_root()))
    figures = assembly.figures
    watched = Watched(
        figures,
        assembly.tally,
        SystemClock(),
        worker.jobs,
        job_types,
        lambda: use_of(assembly.card),
        __version__,
    )
    server = MetricsServer(
        registry_of(watched),
        figures,
        supervisor.leaving.event.is_set,
        settings.metrics_address,
        settings.metrics_port,
    )
    logger.info("Metrics: %s/metrics", server.url)
    try:
        yield
    finally:
        server.close()


def _require_projects(settings: Settings, credentials: "Credentials") -> None:
    if not (settings.force_job or settings.project or credentials.token):
        raise UserError(
            f"A token is needed to ask {settings.gitlab_url} for projects: give it by --env-file or "
            "$GITLAB_TOKEN. Or name repositories to work on with --project."
        )


def _own_name(work_dir: Path) -> str:
    """The same each time on one machine: a sick one that is started again must not look like a second one."""
    host = socket.gethostname()
    try:
        machine = Path("/etc/machine-id").read_text()
    except OSError:
        machine = ""  # a container without one has a host name of its own
    place = f"{host} {machine} {work_dir.resolve()}"
    return f"{host.split('.')[0]}-{hashlib.sha256(place.encode()).hexdigest()[:4]}"


def _leave_on_signals(supervisor: "Supervisor", grace_s: float, over: threading.Event) -> None:
    """The first SIGTERM or SIGINT: save and leave. The second one: leave at once.

    Whatever makes the worker leave, it is `over`, or gone, within `grace_s`.
    """
    asked = threading.Event()

    def on_signal(number: int, _: object) -> None:
        if asked.is_set():
            end_now()
        asked.set()
        # In a thread: the main thread may hold the very locks that leaving takes.
        threading.Thread(target=leave, args=(number,), daemon=True).start()

    def leave(number: int) -> None:
        logger.warning(
            "%s: saving what is there and leaving. Send it again to leave at once.",
            signal.Signals(number).name,
        )
        supervisor.leave()

    def be_gone_in_time() -> None:
        supervisor.leaving.event.wait()
        if over.wait(grace_s - min(_LAST_MOMENT_S, grace_s / 4)):
            return
        # What hangs now hangs on a server. Everything that was to be published is kept already.
        logger.warning("The time to leave is over (--grace): what is not published is kept.")
        end_now()

    def end_now() -> None:
        supervisor.kill()
        for process in descendants(os.getpid()):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        os._exit(ExitCode.RELEASED)

    threading.Thread(target=be_gone_in_time, name="grace", daemon=True).start()
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
