"""`codex-worker check`: whether this machine, the token and the projects are fit for work."""

import argparse
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from codex_worker.cli.options import ACCESS, access
from codex_worker.contract.exit_codes import ExitCode
from codex_worker.errors import WorkerError
from codex_worker.settings import DEFAULT_GITLAB_URL, add_options

if TYPE_CHECKING:
    from codex_worker.git.credentials import Credentials
    from codex_worker.gitlab.client import GitLabClient
    from codex_worker.gitlab.preflight import CheckResult
    from codex_worker.worker.assembly import Assembly

SETTINGS = ("project", "allow_cpu", "vram_headroom_gib", *ACCESS)
MAX_PROJECTS = 200  # each takes some requests


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    check = commands.add_parser(
        "check", help="say what is wrong with machine, token and projects, and how to fix it"
    )
    add_options(check, SETTINGS)
    check.set_defaults(run=run_check)


def run_check(arguments: argparse.Namespace) -> int:
    """Prints a line for each finding. 0 without any problem, 78 where the machine has one, else 1."""
    from rich.console import Console
    from rich.markup import escape

    from codex_worker.gitlab.preflight import Level
    from codex_worker.worker.assembly import Assembly

    settings, credentials = access(arguments, names=SETTINGS)
    server = settings.gitlab_url or DEFAULT_GITLAB_URL
    assembly = Assembly(settings, credentials, os.environ)
    colours = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}
    console = Console(soft_wrap=True, emoji=False)

    def shown(findings: Iterable["CheckResult"]) -> int:
        """Prints them; answers how many are problems."""
        problems = 0
        for finding in findings:
            problems += finding.level is Level.PROBLEM
            text = escape(credentials.redact(str(finding)))
            console.print(f"[{colours[finding.level]}]{finding.level.value:8}[/] {text}")
        return problems

    of_machine = shown(_machine(assembly))
    problems = of_machine + shown(_findings(assembly, settings.project, credentials, server))
    console.print(f"{problems} problem{'' if problems == 1 else 's'} found." if problems else "Fit for work.")
    if of_machine:
        return ExitCode.UNFIT
    return ExitCode.FAILED if problems else ExitCode.DONE


def _findings(
    assembly: "Assembly", named: Sequence[str], credentials: "Credentials", server: str
) -> Iterator["CheckResult"]:
    from codex_worker.clock import SystemEventClock
    from codex_worker.gitlab.preflight import check_project, check_server
    from codex_worker.worker.projects import project_at

    client = assembly.client()
    projects = [project_at(address) for address in named]
    remote = [project for project in projects if credentials.is_for(project.address)]
    if remote or not named:
        yield from check_server(client, SystemEventClock())
    for project in projects:
        if project in remote:
            # A server may live below a path of its host, which is no part of the project's name.
            base = urlsplit(server).path.strip("/")
            yield from check_project(client, project.name.removeprefix(f"{base}/"))
        yield from _manifest(assembly, project.name, project.address)
    if not named:
        yield from _all_projects(assembly, client)


def _all_projects(assembly: "Assembly", client: "GitLabClient") -> Iterator["CheckResult"]:
    from codex_worker.clock import SystemEventClock
    from codex_worker.gitlab.preflight import CheckResult, Level, check_project
    from codex_worker.gitlab.projects import ProjectFinder

    finder = ProjectFinder(client, SystemEventClock())
    try:
        with_jobs = {project.project_id for project in finder.changed()}
    except WorkerError as error:
        yield CheckResult(Level.PROBLEM, "projects", str(error))
        return
    members = sorted(finder.members, key=lambda project: (project.project_id not in with_jobs, project.name))
    yield CheckResult(
        Level.OK if members else Level.WARNING, "projects",
        f"{len(members)} are shared with the worker, {len(with_jobs)} of them have jobs",
        "" if members else "Share a project with the worker's user, as a Developer.",
    )  # fmt: skip
    for project in members[:MAX_PROJECTS]:
        yield from check_project(client, project.project_id)
        if project.project_id in with_jobs:
            yield from _manifest(assembly, project.name, project.url)
    if len(members) > MAX_PROJECTS:
        rest = len(members) - MAX_PROJECTS
        yield CheckResult(
            Level.WARNING,
            "projects",
            f"{rest} more were not checked",
            "Name them with --project to check them.",
        )


def _manifest(assembly: "Assembly", name: str, address: str) -> Iterator["CheckResult"]:
    from codex_worker.gitlab.preflight import CheckResult, Level

    queue = assembly.open_queue(address)
    try:
        jobs = len(queue.survey())
    except WorkerError as error:
        yield CheckResult(Level.PROBLEM, name, str(error))
        return
    for problem in queue.problems:
        yield CheckResult(Level.WARNING if queue.is_readable else Level.PROBLEM, name, problem)
    if not queue.problems:
        yield CheckResult(Level.OK, name, f"its manifest can be read; jobs: {jobs}")


def _machine(assembly: "Assembly") -> Iterable["CheckResult"]:
    from codex_worker.gitlab.preflight import CheckResult, Level

    probe = assembly.machine_probe()
    for condition in (
        *probe.conditions(),
        *assembly.shared_gpu(),
        probe.weights.condition(),
        *assembly.walls(),
    ):
        if condition.subject == "clock" and not condition.is_fatal:
            continue  # the server's findings say how far it is off
        level = Level.PROBLEM if condition.is_fatal else Level.WARNING if condition.remedy else Level.OK
        yield CheckResult(level, condition.subject, condition.text, condition.remedy)
