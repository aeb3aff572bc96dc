"""What people should know of how well a transcriber reads."""

from codex_worker.asr.held_out_rate import FEWEST_RECORDINGS, HeldOutRate
from codex_worker.job.summary import Fact, What


def facts_of_quality(rate: HeldOutRate) -> list[Fact]:
    """How many letters it reads wrong, and how firmly that is known."""
    wrong = rate.wrong_of_100
    if wrong is None:
        why = "no recordings were held back" if rate.recordings == 0 else "its checkpoint does not say"
        return [Fact(what=What.RATE_UNKNOWN, example=why)]
    told = What.TOO_WRONG if rate.is_too_wrong else What.LETTERS_WRONG if wrong else What.HARDLY_WRONG
    return [Fact(what=told, count=wrong, example=_measured(rate.recordings))]


def _measured(recordings: int | None) -> str:
    if recordings is None:
        return ""
    only = "only " if recordings < FEWEST_RECORDINGS else ""
    what = "1 recording" if recordings == 1 else f"{recordings} recordings"
    return f"measured on {only}{what} that it did not learn from"
