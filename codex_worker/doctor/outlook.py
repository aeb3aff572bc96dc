"""What can be expected of a project's recordings, as a section of the data page."""

import html
from collections.abc import Iterable

from codex_worker.doctor.finding import ended
from codex_worker.forecast.anchors import FULL, OBSERVED, SOURCES
from codex_worker.forecast.curves import duration
from codex_worker.forecast.project import ProjectForecast


def outlook(expected: ProjectForecast | None) -> str:
    """HTML; empty where there is nothing to expect anything from."""
    if expected is None:
        return ""
    transcribers = []
    for each in expected.transcribers:
        answer, *why = each.lines()
        transcribers.append(f"<li>{_text(ended(answer))}{_folded(why)}</li>")
    voice = expected.voice
    return (
        "<h2>What can be expected</h2>"
        f"<p>{_text(expected.headline)}. Letters wrong are of verses that the transcriber has not heard, "
        "from best to worst. This is a forecast, not a promise.</p>"
        f"<ul>{''.join(transcribers)}<li>A voice: {_text(ended(voice.expectation))}"
        f"{_folded(voice.rests_on)}</li></ul>{_probe(expected)}"
        f'<p class="note">Not counted: {_text("; ".join(expected.not_counted))}.</p>{_figures()}'
    )


def _folded(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(ended(line))}</li>" for line in lines)
    return f"<details><summary>What this rests on</summary><ul>{items}</ul></details>"


def _probe(expected: ProjectForecast) -> str:
    """What short trainings on these recordings showed, where there were any."""
    if expected.probe is None:
        return ""
    title, *lines = expected.probe.lines()
    return f"<p>{_text(title)}</p><ul>{''.join(f'<li>{_text(line.strip())}</li>' for line in lines)}</ul>"


def _figures() -> str:
    """The table that forecasts are read off, and what was published for comparison."""
    rows = "".join(
        f"<tr><td>{duration(each.hours)}</td><td>{FULL.at(each.hours)}</td></tr>" for each in FULL.anchors
    )
    seen = "".join(
        f"<tr><td>{row.hours}</td><td>{row.languages}</td><td>{row.median_percent:g} %</td>"
        f"<td>{row.middle_half} %</td></tr>"
        for row in OBSERVED
    )
    return (
        "<details><summary>With more recordings</summary>"
        "<table><tr><th>Recordings of one reader</th><th>From a pre-trained model</th></tr>"
        f"{rows}</table>"
        "<p>For comparison, letters wrong in 100 as published for one large model of many languages:</p>"
        "<table><tr><th>Hours</th><th>Languages</th><th>Middle one</th><th>Middle half of them</th></tr>"
        f"{seen}</table></details>"
        f'<p class="note">Sources: {"; ".join(_text(source) for source in SOURCES)}.</p>'
    )


def _text(text: str) -> str:
    return html.escape(text, quote=True)
