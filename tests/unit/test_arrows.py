"""Imports point down: import-linter keeps it for the packages, this for what it cannot see."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]


def modules_of(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def test_the_arrows_between_the_packages_hold():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_scripts_are_a_face_of_the_library():
    for script in ("worker_entry.py", "gitlab_jobs.py"):
        text = (ROOT / script).read_text()
        ours = {name for name in imports_of(ROOT / script) if "." in name}
        assert all(name.startswith(("codex_worker.cli", "codex_worker.queue")) for name in ours), script
        assert len(text.splitlines()) < 30, script


def test_modules_do_not_import_each_other_in_a_circle():
    graph = defaultdict(set)
    paths = modules_of("codex_worker", "handlers", "patches")
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    for name, path in names.items():
        graph[name] = {found for found in imports_of(path) if found in names and found != name}
    circles = [
        (one, other) for one in graph for other in graph[one] if one < other and one in graph.get(other, ())
    ]
    assert circles == []


def test_one_public_class_name_has_one_meaning():
    places = defaultdict(list)
    for path in modules_of("codex_worker", "handlers", "patches"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
