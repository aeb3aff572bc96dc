"""Imports point down: import-linter keeps it for the packages, this for the two single-file modules."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def test_the_arrows_between_the_rooms_hold():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_queue_stands_on_git_and_contract_only():
    allowed = ("codex_worker.queue", "codex_worker.git.", "codex_worker.contract", "codex_worker.clock")
    imported = imports_of(ROOT / "gitlab_jobs.py")
    ours = {name for name in imported if name.startswith(("codex_worker", "handlers"))}
    assert {name for name in ours if not name.startswith((*allowed, "codex_worker.errors"))} == set()


def test_the_worker_does_not_import_what_the_child_runs():
    forbidden = ("handlers.", "torch", "transformers", "codex_worker.stabletts", "codex_worker.w2v2bert")
    assert not [name for name in imports_of(ROOT / "worker_entry.py") if name.startswith(forbidden)]
