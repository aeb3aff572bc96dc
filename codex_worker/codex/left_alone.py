"""Cells that are left alone whatever the job is."""

from codex_worker.codex.cell import Cell
from codex_worker.codex.text import is_range_marker

CONTENT_TYPES = frozenset({"text", "markdown"})  # markdown: content cells of early projects


def skip_reason(cell: Cell) -> str | None:
    """Why a cell is left alone whatever the job is; None for a cell with content of its own."""
    reasons = (
        (cell.is_deleted, "deleted"),
        (cell.is_merged, "merged into another cell"),
        (cell.is_hidden, "hidden"),
        (cell.is_locked, "locked"),
        (cell.type not in CONTENT_TYPES, f"not a text cell ({cell.type or 'no type'})"),
        (is_range_marker(cell.value), "part of the range before it (<range>)"),
    )
    return next((reason for applies, reason in reasons if applies), None)
