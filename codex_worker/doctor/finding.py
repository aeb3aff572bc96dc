"""Something worth a look: what it is, in a sentence, and which cells it is about."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codex_worker.contract.counted import counted

SHOWN = 8


@dataclass(frozen=True)
class Finding:
    """A sentence with what to do, without a full stop, and the cells that it is about."""

    kind: str
    sentence: str
    cells: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.cells:
            return self.sentence
        more = f" and {len(self.cells) - SHOWN} more" if len(self.cells) > SHOWN else ""
        return f"{self.sentence} ({', '.join(self.cells[:SHOWN])}{more})"


def about(kind: str, one: str, many: str, labels: Sequence[str]) -> Iterator[Finding]:
    """The finding about these cells, with `{n}` in `many` for their number; none where there are none."""
    if labels:
        yield Finding(kind, counted(len(labels), one, many), tuple(labels))


def ended(sentence: str) -> str:
    """A sentence with its full stop, where it has no end of its own."""
    return sentence if sentence.rstrip().endswith((".", "?", "!", "…")) else f"{sentence}."
