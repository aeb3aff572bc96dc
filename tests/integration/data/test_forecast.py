"""`codex-worker data --forecast` says what to expect, and gets mistakes a sentence before it listens."""

import pytest


@pytest.fixture(scope="module")
def few():
    """A few verses of the sample, which are listened to quickly."""
    return ("--include", "RUT", "--work-dir", "work", "--output", "page.html")


def test_a_forecast_has_error_rates_hours_and_money_on_the_terminal_and_on_the_page(
    run, repository, tmp_path, few
):
    code, printed = run("data", repository, *few, "--forecast", "--price-per-hour", "2.5")
    assert code == 0, printed
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for said in (printed, page):
        assert "in 100 letters wrong" in said
        assert "of a GPU, which cost" in said
        assert "2.5 for an hour, as you say" in said
        assert "NVIDIA H200" in said
    assert "A voice: " in printed


def test_the_page_of_a_project_has_error_rates_without_being_asked_and_no_money(
    run, repository, tmp_path, few
):
    code, printed = run("data", repository, *few)
    assert code == 0, printed
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "in 100 letters wrong" in page
    assert "of a GPU" not in page
    assert "Forecast" not in printed


@pytest.mark.parametrize("price", ["-1", "2,50", "nan", "1e12"])
def test_a_price_that_is_none_is_refused_before_anything_is_heard(run, repository, tmp_path, few, price):
    code, printed = run("data", repository, *few, f"--price-per-hour={price}")
    assert code == 1
    assert "is no price of an hour" in printed
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("probe", "said"), [("whisper", "Known are: tiny"), ("-3", "such as 10"), ("1,2", "minutes once")]
)
def test_a_probe_of_something_unknown_is_refused_before_anything_is_heard(
    run, repository, tmp_path, few, probe, said
):
    code, printed = run("data", repository, *few, f"--probe={probe}")
    assert code == 1
    assert said in printed
    assert not (tmp_path / "page.html").exists()


def test_too_few_recordings_for_a_probe_get_a_sentence_and_the_page_all_the_same(
    run, repository, tmp_path, few
):
    code, printed = run(
        "data",
        repository,
        *few,
        "--exclude",
        "RUT 2",
        "--exclude",
        "RUT 3",
        "--exclude",
        "RUT 4",
        "--probe",
        "0.1,tiny",
    )
    assert code == 1
    assert "A probe needs at least 20 usable recordings" in printed
    assert "in 100 letters wrong" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_project_without_recordings_gets_a_sentence_instead_of_a_forecast(run, repository):
    code, printed = run(
        "data", repository, "--work-dir", "work", "--include", "GEN 50", "--output", "page.html", "--forecast"
    )
    assert code == 1
    assert "nothing to forecast anything from" in printed
    assert "Record verses that have text" in printed
    assert "Traceback" not in printed
