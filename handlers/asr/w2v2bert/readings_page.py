"""What was heard in each recording, as a page for people: what to listen to first comes first."""

import html
from collections.abc import Sequence

from codex_worker.contract.counted import counted
from codex_worker.doctor.html_page import html_page
from codex_worker.job.summary import Fact
from handlers.asr.w2v2bert.readings import CellReading

MAX_ROWS = 2_000


def readings_page(
    readings: Sequence[CellReading], facts: Sequence[Fact], threshold: float, project: str
) -> str:
    """The whole page as HTML; `readings` are in the order to listen in."""
    heard = [one for one in readings if one.transcript.text]
    silent = [one for one in readings if not one.transcript.text]
    written = sum(one.is_written for one in readings)
    sections = [
        f"<p>{counted(len(readings), '1 recording was read', '{n} recordings were read')}; "
        f"{counted(written, '1 reading is', '{n} readings are')} in the cells.</p>",
        f"<ul>{''.join(f'<li>{_text(_sentence(fact))}</li>' for fact in facts)}</ul>" if facts else "",
        _listen_first([one for one in heard if one.transcript.is_uncertain], threshold),
        _section("The other readings", [one for one in heard if not one.transcript.is_uncertain]),
        _without_text(silent),
    ]
    return html_page(f"What was heard in {project}", "\n".join(section for section in sections if section))


def _listen_first(uncertain: Sequence[CellReading], threshold: float) -> str:
    if not uncertain:
        return ""
    return (
        "<h2>To be listened to first</h2>"
        f"<p>Less sure than {_percent(threshold)}, the least sure first: most likely to hold mistakes.</p>"
        + _table(uncertain)
    )


def _section(title: str, readings: Sequence[CellReading]) -> str:
    return f"<h2>{title}</h2>{_table(readings)}" if readings else ""


def _table(readings: Sequence[CellReading]) -> str:
    rows = "".join(
        f"<tr><td>{_text(one.label)}</td><td>{_percent(one.transcript.confidence)}</td>"
        f'<td dir="auto">{_text(one.transcript.text)}</td><td>{"yes" if one.is_written else "no"}</td></tr>'
        for one in readings[:MAX_ROWS]
    )
    heads = "<tr><th>Verse</th><th>How sure</th><th>What was heard</th><th>In the cell</th></tr>"
    return f"<table>{heads}{rows}</table>{_more(len(readings))}"


def _without_text(silent: Sequence[CellReading]) -> str:
    if not silent:
        return ""
    rows = "".join(
        f"<tr><td>{_text(one.label)}</td><td>{_text(one.transcript.error or 'nothing was heard')}</td></tr>"
        for one in silent[:MAX_ROWS]
    )
    return f"<h2>Recordings that gave no text</h2><table>{rows}</table>{_more(len(silent))}"


def _more(count: int) -> str:
    return f"<p>And {count - MAX_ROWS} more.</p>" if count > MAX_ROWS else ""


def _sentence(fact: Fact) -> str:
    said = fact.said
    return f"{said[:1].upper()}{said[1:]}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _text(text: str) -> str:
    return html.escape(text, quote=True)
