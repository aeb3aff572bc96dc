"""`python -m tests.sim`: thousands of schedules of workers, people and faults, on the twin and on git."""

import argparse
import contextlib
import logging
import multiprocessing
import sys
import time

from tests.sim import interleavings
from tests.sim.schedule import draw
from tests.sim.simulator import GIT_LENGTH, SWITCHES, TWIN_LENGTH, Report, Simulator, seeds

SHARES = 20  # parts that a run is played in; after each one it says how far it is
ENOUGH_FINDINGS = 10


def main(arguments: list[str] | None = None) -> int:
    """Plays, prints what happened, and answers 1 where anything was violated."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.CRITICAL)  # thousands of simulated outages would fill the screen
    if options.only:
        return _only(options)
    failed = False
    for name, count, on_git in (("twin", options.schedules, False), ("git", options.git, True)):
        if count:
            report = _in_parallel(count, on_git, options)
            print(f"== {name}: {report}\n", flush=True)
            failed = failed or bool(report.findings)
    if options.interleavings:
        edits = interleavings.run_interleavings(options.interleavings, options.seed)
        print(f"== edits and patches of one notebook: {edits}")
        failed = failed or bool(edits.violations)
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000, help="on the in-memory twin")
    parser.add_argument("--git", type=int, default=200, help="on real git repositories")
    parser.add_argument(
        "--interleavings", type=int, default=10_000, help="of edits and patches in one notebook"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--only", metavar="SEED", help="play this schedule alone, step by step (such as 1-37)"
    )
    for name in SWITCHES:
        parser.add_argument(
            f"--{name}", action="store_true", help="break the worker; violations must be found"
        )
    return parser


def _in_parallel(count: int, on_git: bool, options: argparse.Namespace) -> Report:
    started = time.perf_counter()
    shares = min(count, SHARES)
    each = [(count, options.seed, n, shares, on_git, _switches(options)) for n in range(shares)]
    report = Report()
    with multiprocessing.Pool(options.processes) as pool:
        for played in pool.imap_unordered(_play_share, each):
            report.add(played)
            _say_progress(report, count)
            if len(report.findings) >= ENOUGH_FINDINGS:
                break
    report.findings.sort(key=lambda finding: finding.schedule.seed)
    report.seconds = time.perf_counter() - started
    return report


def _say_progress(report: Report, count: int) -> None:
    violations = f", {len(report.findings)} violations" if report.findings else ""
    print(f"   {report.schedules:,} of {count:,} schedules{violations}", file=sys.stderr, flush=True)


def _play_share(share: tuple[int, int, int, int, bool, list[str]]) -> Report:
    count, seed, start, stride, on_git, switches = share
    logging.disable(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        for name in switches:
            stack.enter_context(SWITCHES[name]())
        simulator = stack.enter_context(contextlib.closing(Simulator(on_git=on_git)))
        return simulator.run(seeds(count, seed, start, stride), length=GIT_LENGTH if on_git else TWIN_LENGTH)


def _only(options: argparse.Namespace) -> int:
    """One schedule, told as it happens, on the twin (on git with `--schedules 0`)."""
    on_git = options.schedules == 0
    schedule = draw(options.only, GIT_LENGTH if on_git else TWIN_LENGTH)
    with contextlib.ExitStack() as stack:
        for name in _switches(options):
            stack.enter_context(SWITCHES[name]())
        simulator = stack.enter_context(contextlib.closing(Simulator(on_git=on_git)))
        violations = simulator.play(schedule, tell=lambda text: print(text, flush=True))
        for violation in violations:
            print(f"VIOLATION of {violation}")
        if violations:
            shrunk, violation = simulator.shrink(schedule, violations[0])
            print(f"shrunk to {len(shrunk.steps)} steps:\n{shrunk}\n  => {violation}")
    return int(bool(violations))


def _switches(options: argparse.Namespace) -> list[str]:
    return [name for name in SWITCHES if getattr(options, name.replace("-", "_"))]


if __name__ == "__main__":
    sys.exit(main())
