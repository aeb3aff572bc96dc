"""The forecast of real recordings with a probe: it comes to an end, and every sentence is there."""

import re
from pathlib import Path

import pytest

from sample.real_speech.__main__ import FOLDER
from sample.real_speech.languages import LANGUAGES
from sample.real_speech.make import make_real_project
from sample.real_speech.packages import PackagesMissingError
from tests.support.real_speech import made_once, run_command

pytestmark = pytest.mark.acceptance

MINUTES = "0.5"
RANGE = r"([\d.]+)(?: to ([\d.]+))? in 100 letters wrong"


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> str:
    try:
        project = make_real_project(LANGUAGES["en"], FOLDER)
    except PackagesMissingError as error:
        pytest.skip(str(error))

    def listen(folder: Path) -> None:
        options = ("--work-dir", folder / "work", "--output", folder / "data.html")
        asked = ("--probe", f"{MINUTES},tiny", "--price-per-hour", "2.5")
        printed = run_command("codex_worker.cli", "data", project.repository, *options, *asked)
        (folder / "said.txt").write_text(printed, encoding="utf-8")

    folder = made_once(tmp_path_factory, "forecast-en", listen)
    assert "What can be expected" in (folder / "data.html").read_text(encoding="utf-8")
    return (folder / "said.txt").read_text(encoding="utf-8")


def test_a_probe_of_half_a_minute_runs_through_and_says_what_it_saw(said):
    assert re.search(r"Probe on .*, \d+ recordings held out:", said)
    assert re.search(r"tiny: .* after .* \([\d,]+ updates\) on \d+ minutes of recordings", said)
    assert "A whole training of tiny is up to " in said


def test_the_forecast_of_real_recordings_has_ranges_hours_and_money(said):
    forecast = said[said.index("Forecast. ") :]
    assert "18 minutes of usable recordings, one voice" in forecast
    ranges = re.findall(RANGE, forecast)
    assert len(ranges) >= 2
    assert all(0 < float(low) <= float(high or low) <= 100 for low, high in ranges)
    assert re.search(r"minutes of a GPU, which cost [\d.]+", forecast)
    assert "2.5 for an hour, as you say" in forecast
