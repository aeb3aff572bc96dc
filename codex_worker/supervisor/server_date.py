"""Whether this machine's clock agrees with the server's: deadlines and what is written depend on it."""

import logging
from email.utils import parsedate_to_datetime

from codex_worker.supervisor.machine import Condition

logger = logging.getLogger(__name__)

LARGEST_SKEW_S = 300.0
_TIMEOUT_S = 15.0


def server_date_s(url: str) -> float | None:
    """The server's own time, in seconds since 1970; None where it does not tell. No token is sent."""
    import requests  # takes its time to import

    session = requests.Session()
    session.auth = lambda request: request  # or a password in ~/.netrc would go along
    try:
        with session.head(url, allow_redirects=False, timeout=_TIMEOUT_S) as response:
            return parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (requests.RequestException, ValueError) as error:
        logger.debug("%s does not tell its time: %s", url, error)
        return None


def clock_condition(server_s: float | None, now_s: float) -> Condition | None:
    """What the two times say of this machine; None where there is nothing to compare with."""
    if server_s is None:
        return None
    skew_s = now_s - server_s
    if abs(skew_s) <= LARGEST_SKEW_S:
        return Condition("clock", f"within {max(abs(skew_s), 1):.0f} s of the server's")
    where = "ahead of" if skew_s > 0 else "behind"
    return Condition(
        "clock", f"it is {abs(skew_s) / 60:.0f} minutes {where} the server's, so that deadlines mean nothing",
        "Set it, for example with `timedatectl set-ntp true`.", is_fatal=True,
    )  # fmt: skip
