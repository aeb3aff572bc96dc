"""The data doctor's report as one page without scripts or outside files, in a translator's words."""

import html
from collections.abc import Sequence

from codex_worker.contract.counted import counted
from codex_worker.doctor.charts import bars, columns
from codex_worker.doctor.examine import DataReport, Examined
from codex_worker.doctor.finding import ended
from codex_worker.doctor.html_page import html_page
from codex_worker.doctor.outlook import outlook
from codex_worker.doctor.situation import situation_of
from codex_worker.forecast.curves import duration
from codex_worker.forecast.project import ProjectForecast, forecast

MAX_ROWS = 400


def data_page(report: DataReport, project: str, expected: ProjectForecast | None = None) -> str:
    """The whole page as HTML; `expected` is a forecast with more than what the recordings themselves tell."""
    title = f"The recordings of {project}"
    sections = [
        _summary(report),
        _findings(report),
        _hours(report),
        _shapes(report.examined),
        outlook(expected or forecast(situation_of(report))),
        _left_out(report),
        _used(report),
    ]
    body = "\n".join(section for section in sections if section)
    return html_page(title, body)


def _summary(report: DataReport) -> str:
    books = len(report.hours_by_book())
    if not report.examined:
        return "<p>No verse of this project has text and a recording that can be used.</p>"
    used, unused = len(report.examined), len(report.left_out)
    return (
        f"<p>{counted(used, '<b>1</b> verse has', '<b>{n}</b> verses have')} text and a usable recording: "
        f"<b>{duration(report.hours)}</b> from {counted(books, '1 book', '{n} books')}. "
        f"{counted(unused, '1 other cell is', '{n} other cells are')} not used; the reasons are below.</p>"
    )


def _findings(report: DataReport) -> str:
    if not report.findings:
        return "<h2>Worth a look</h2><p>Nothing was found that would harm a model.</p>"
    items = []
    for finding in report.findings:
        cells = ""
        if finding.cells:
            shown = ", ".join(_text(label) for label in finding.cells[:MAX_ROWS])
            cells = f"<details><summary>Which ones</summary>{shown}{_more(len(finding.cells))}</details>"
        items.append(f"<li>{_text(ended(finding.sentence))}{cells}</li>")
    return (
        "<h2>Worth a look</h2><p>The work goes on without any of this; each point makes the result better."
        f"</p><ul>{''.join(items)}</ul>"
    )


def _hours(report: DataReport) -> str:
    if not report.examined:
        return ""
    by_speaker = {f"voice {number + 1}": hours for number, hours in report.hours_by_speaker().items()}
    return (
        "<h2>How much there is</h2>"
        + bars("Minutes by book", {book: hours * 60 for book, hours in report.hours_by_book().items()})
        + bars("Minutes by voice (a guess)", {name: hours * 60 for name, hours in by_speaker.items()})
        + '<p class="note">Voices are guessed from pitch and sound. Another room or microphone can look like '
        "another person, two alike people like one, and a voice in fewer than one of seven recordings is not "
        "noticed.</p>"
    )


def _shapes(examined: Sequence[Examined]) -> str:
    if not examined:
        return ""
    silent = [100 * (1 - min(1.0, each.speech_s / each.duration_s)) for each in examined]
    charts = [
        columns("Length of the recordings (seconds)", [each.duration_s for each in examined]),
        columns("Letters per second", [each.letters_per_second for each in examined]),
        columns("Loudness (LUFS; -23 is usual)", [each.levels.loudness_lufs for each in examined]),
        columns(
            "Voice above noise (decibels; 30 is good)", [each.levels.signal_to_noise_db for each in examined]
        ),
        columns("Silence at the ends (percent)", silent),
    ]
    fits = [100 * each.fit for each in examined if each.fit is not None]
    if fits:
        charts.append(columns("How well text and recording fit (percent)", fits))
    else:
        charts.append(
            '<p class="note">Whether each text is what its recording says could not be checked: that needs a '
            "transcriber of this language.</p>"
        )
    return "<h2>What the recordings are like</h2>" + "".join(charts)


def _left_out(report: DataReport) -> str:
    if not report.left_out:
        return ""
    reasons = "".join(
        f"<tr><td>{count}</td><td>{_text(reason)}</td></tr>"
        for reason, count in report.skipped_by_reason.most_common()
    )
    rows = "".join(
        f"<tr><td>{_text(entry.label)}</td><td>{_text(entry.reason)}</td></tr>"
        for entry in report.left_out[:MAX_ROWS]
    )
    return (
        f"<h2>What is not used</h2><table><tr><th>Cells</th><th>Why</th></tr>{reasons}</table>"
        f"<details><summary>Every cell</summary><table>{rows}</table>{_more(len(report.left_out))}</details>"
    )


def _used(report: DataReport) -> str:
    if not report.examined:
        return ""
    rows = "".join(
        f"<tr><td>{_text(each.label)}</td><td>{each.duration_s:.1f} s</td>"
        f"<td>{_text(each.text[:120])}</td></tr>"
        for each in report.examined[:MAX_ROWS]
    )
    return (
        "<h2>What is used</h2><details><summary>Every recording</summary>"
        f"<table>{rows}</table>{_more(len(report.examined))}</details>"
    )


def _more(count: int) -> str:
    return f"<p>... and {count - MAX_ROWS} more</p>" if count > MAX_ROWS else ""


def _text(text: str) -> str:
    return html.escape(text, quote=True)
