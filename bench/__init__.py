"""Measurements: `python -m bench.NAME` prints its figures as JSON."""

from codex_worker import cores

cores.settle()  # before a benchmark imports torch, as in a job's process
