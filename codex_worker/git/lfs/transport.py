"""HTTP for large files: secrets stay with the host they are for; a failure says whether to try again."""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event
from typing import BinaryIO, TypeVar
from urllib.parse import urljoin

import requests
import urllib3

from codex_worker.errors import DataError, Refused, ServerUnreachable, clause
from codex_worker.git.credentials import Credentials, Origin, origin_of
from codex_worker.git.plain_session import plain_session
from codex_worker.retry import LARGE_FILES, BackOff, asked_for_s
from codex_worker.tally import Tally

logger = logging.getLogger(__name__)

_TOO_LARGE = "This is larger than the server accepts: its administrator can raise the limit."
# What a person can do about a refusal, by its status.
REMEDIES = {
    406: _TOO_LARGE,
    413: _TOO_LARGE,
    422: "The server does not accept this file.",
    501: "Turn on Git LFS in the project's settings.",
    507: "Its storage is full: free some space there or raise the quota.",
}

T = TypeVar("T")
_REDIRECTS = {301, 302, 303, 307, 308}
_METHOD_KEEPING_REDIRECTS = {307, 308}
_MAX_REDIRECTS = 5
# What is no secret and means the same anywhere: all that goes along to another host.
_HEADERS_FOR_ANYONE = {"accept", "accept-encoding", "content-type", "user-agent"}
_SHOWN_CHARACTERS = 300
_READ_BYTES = 4000
_MARKUP = re.compile(r"<(style|script|title)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class HttpSettings:
    """How large files go over HTTP.

    A batch is asked for right before its transfers and kept small, because the headers that come with it are
    good for half an hour only.
    """

    batch_objects: int = 100
    batch_bytes: int = 256 << 20
    concurrent_transfers: int = 8
    tries: int | None = LARGE_FILES.tries
    connect_timeout_s: float = 15.0
    answer_timeout_s: float = 120.0
    # After the last byte the server still hashes and stores the file before it answers.
    upload_answer_timeout_s: float = 900.0


class ObjectNotFound(DataError):
    """404 or 410: what was asked for does not exist, or not for us."""


class Denied(Exception):
    """401 or 403: the caller knows what was asked for, and whether other headers may help."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"HTTP {status} {detail}".strip())
        self.status = status
        self.detail = detail


class LfsHttp:
    """A session without credentials of its own: no cookies, no .netrc, no header but those given."""

    def __init__(
        self,
        credentials: Credentials,
        settings: HttpSettings,
        *,
        sleep: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.time,
        tally: Tally | None = None,
    ) -> None:
        self.tally = tally or Tally()
        self._credentials = credentials
        self._settings = settings
        self._sleep = sleep
        self._clock = clock
        self._session = plain_session(pool_size=settings.concurrent_transfers)

    def retrying(self, attempt: Callable[[], T], stopped: Event) -> T:
        """Call `attempt` until the server can be used, at most `tries` times; ends early when `stopped`."""
        return BackOff(
            replace(LARGE_FILES, tries=self._settings.tries),
            time.monotonic,
            self._sleep or stopped.wait,
            give_up=stopped,
            retried=self.tally.retried,
        ).insist(attempt)

    @contextmanager
    def answer_to(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        what: str,
        *,
        data: BinaryIO | bytes | None = None,
        answer_timeout_s: float | None = None,
    ) -> Iterator[requests.Response]:
        """Send a request, follow its redirects, and give the successful answer, its body still unread.

        Raises ServerUnreachable for what may pass (also while the body is read inside the block), Denied for
        401 and 403, ObjectNotFound for 404 and 410, and Refused with the server's words, naming `what`, for
        everything else.
        """
        timeout = (self._settings.connect_timeout_s, answer_timeout_s or self._settings.answer_timeout_s)
        try:
            response = self._follow(method, url, dict(headers), what, data, timeout)
            with response:
                if not response.ok:
                    self._refuse(response, what)
                yield response
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            ConnectionError,
            TimeoutError,
        ) as error:
            # The error's own text may show a signed address.
            raise ServerUnreachable(
                f"{what}: the connection to {origin_of(url)} failed ({type(error).__name__})."
            ) from error

    def _follow(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        what: str,
        data: BinaryIO | bytes | None,
        timeout: tuple[float, float],
    ) -> requests.Response:
        """The first answer that is no redirect. Headers that may hold a secret never go to another host."""
        for _ in range(_MAX_REDIRECTS + 1):
            here = self._checked_origin(url, what)
            if data is not None and not isinstance(data, bytes):
                data.seek(0)
            response = self._session.request(
                method, url, headers=headers, data=data, timeout=timeout, stream=True, allow_redirects=False
            )
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                return response
            response.close()
            url = urljoin(url, response.headers["Location"])
            there = self._checked_origin(url, what)
            if here.scheme == "https" and there.scheme != "https":
                raise Refused(f"{what}: {here} sends us on to {there} without encryption; not followed.")
            if method != "GET" and (
                response.status_code not in _METHOD_KEEPING_REDIRECTS or method == "POST"
            ):
                raise Refused(f"{what}: {here} says that this has moved. Check the address of the project.")
            if there != here:
                headers = {
                    name: value for name, value in headers.items() if name.lower() in _HEADERS_FOR_ANYONE
                }
        raise Refused(f"{what}: sent from one address to the next more than {_MAX_REDIRECTS} times.")

    def _checked_origin(self, url: str, what: str) -> Origin:
        origin = origin_of(url)
        if origin is None:
            raise Refused(f"{what}: the server named an address that is not a plain http(s):// one.")
        return origin

    def _refuse(self, response: requests.Response, what: str) -> None:
        status = response.status_code
        detail = self._words_of(response)
        said = f"{what}: the server answered {status}{f' ({detail})' if detail else ''}."
        if status in {401, 403}:
            raise Denied(status, detail)
        if status in {404, 410}:
            raise ObjectNotFound(said)
        if passes(status):
            raise ServerUnreachable(said, asked_for_s(response.headers, self._clock()))
        raise Refused(" ".join(filter(None, [said, REMEDIES.get(status)])), status)

    def _words_of(self, response: requests.Response) -> str:
        """The beginning of the server's explanation, fit to be shown."""
        content = response.raw.read(_READ_BYTES, decode_content=False)
        text = self._credentials.redact(words_in(content.decode("utf-8", errors="replace")))
        return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def passes(status: int) -> bool:
    """Whether a status says that the same request may be answered later."""
    return status in {408, 429} or (status >= 500 and status not in REMEDIES)


def words_in(text: str) -> str:
    """What an answer's body says to people: the message of a JSON object, a page without its markup."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and isinstance(found.get("message"), str):
        text = found["message"]
    elif text.lstrip().startswith("<"):
        text = _MARKUP.sub(" ", text)
    return clause("".join(letter if letter.isprintable() else " " for letter in text))
