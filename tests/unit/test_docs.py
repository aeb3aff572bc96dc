"""What the documents promise about commands, and that their links lead somewhere."""

import argparse
import re
from pathlib import Path

import pytest

from codex_worker.cli.main import build_parser
from codex_worker.data.faults import Fault, Purpose

ROOT = Path(__file__).parents[2]
COMMANDS = ROOT / "docs/commands"


def commands() -> dict[str, argparse.ArgumentParser]:
    actions = build_parser()._actions
    return next(action.choices for action in actions if isinstance(action, argparse._SubParsersAction))


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_a_page_and_a_line_in_the_list(name):
    assert (COMMANDS / f"{name}.md").read_text().startswith(f"# codex-worker {name}\n")
    assert f"[{name}]({name}.md)" in (COMMANDS / "README.md").read_text()


def test_there_is_no_page_without_its_command():
    assert {path.stem for path in COMMANDS.glob("*.md")} - {"README"} == set(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_of_a_command_has_a_help(name):
    for action in commands()[name]._actions:
        assert action.help, (name, action.dest)  # `work` shows the worker's own


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")), ids=str)
def test_links_between_documents_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_the_page_of_the_data_command_lists_every_fault_as_the_code_has_it():
    yes_or_no = {True: "no", False: "yes"}
    expected = [
        [f"`{fault}`", fault.counted(1), *(yes_or_no[fault.excludes(purpose)] for purpose in Purpose)]
        for fault in Fault
    ]
    page = (COMMANDS / "data.md").read_text()
    assert [row.strip("| ").split(" | ") for row in page.splitlines() if row.startswith("| `")] == expected
