"""The LFS batch API: for each object, where and with which headers it is moved, or why not.

Source: https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from codex_worker.errors import AccessDenied, ProjectGone, Refused, ServerUnreachable, UserError
from codex_worker.git.credentials import Credentials, origin_of
from codex_worker.git.lfs.pointer import Pointer
from codex_worker.git.lfs.transport import Denied, LfsHttp, ObjectNotFound

MEDIA_TYPE = "application/vnd.git-lfs+json"
Operation = Literal["download", "upload"]

_MAX_ANSWER_BYTES = 4 << 20
_UNKNOWN_TOKEN, _NO_LFS = 401, 501
# Words about what a token or member may do; a 403 also tells of maintenance, quotas and archived projects.
_OF_RIGHTS = re.compile(r"access|permission|scope|forbidden|token|member|role|not allowed", re.IGNORECASE)
# The connection says these itself. A chunked upload is refused by the servers in front of many GitLabs.
_CONNECTION_HEADERS = {"transfer-encoding", "content-length", "connection", "host"}


@dataclass(frozen=True)
class Action:
    """One request that moves an object; its headers hold secrets for a while."""

    href: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class BatchAnswer:
    """What the server says about one object. Neither error nor actions: nothing is to be done."""

    actions: Mapping[str, Action]
    error_code: int | None = None
    error_message: str = ""


class BatchClient:
    """Asks the batch API of the repository at `url`, with or without `.git`."""

    def __init__(self, url: str, credentials: Credentials, transport: LfsHttp) -> None:
        if origin_of(url) is None:
            raise UserError(
                "The project's address is not a plain http(s):// one. Tokens do not belong in it."
            )
        self._repository_url = url.rstrip("/").removesuffix(".git") + ".git"
        self._credentials = credentials
        self._transport = transport

    def ask(self, operation: Operation, pointers: list[Pointer]) -> dict[Pointer, BatchAnswer]:
        """One request; an object that the answer leaves out counts as one with an error.

        Raises ServerUnreachable for what may pass, also for a token that was just replaced by a newer one,
        AccessDenied where the token is refused, ProjectGone, and Refused for any other no.
        """
        url = f"{self._repository_url}/info/lfs/objects/batch"
        what = f"Asking {self._repository_url} for the {operation} of {len(pointers)} large files"
        wanted = [{"oid": pointer.oid, "size": pointer.size} for pointer in pointers]
        body = {"operation": operation, "transfers": ["basic"], "hash_algo": "sha256", "objects": wanted}
        authorisation = self._credentials.headers_for(url)
        headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE, **authorisation}
        try:
            with self._transport.answer_to(
                "POST", url, headers, what, data=json.dumps(body).encode()
            ) as response:
                content = response.raw.read(_MAX_ANSWER_BYTES + 1, decode_content=True)
        except Denied as denied:
            self._credentials.refresh()
            if self._credentials.headers_for(url) != authorisation:
                raise ServerUnreachable(f"{what}: the old token was refused.", wait_s=0.0) from denied
            raise _refusal(denied, operation, what) from denied
        except ObjectNotFound as error:
            raise ProjectGone(f"{error} There is no such project, or the token may not see it.") from error
        except Refused as refused:
            if operation == "download" and refused.status == _NO_LFS:
                raise UserError(str(refused)) from refused  # a job that needs recordings has none to read
            raise
        answers = _parse_answers(content, what)
        left_out = BatchAnswer({}, 500, "its answer does not mention this object")
        return {
            pointer: answers.get((pointer.oid, pointer.size)) or answers.get((pointer.oid, None)) or left_out
            for pointer in pointers
        }

    def headers_of(self, action: Action) -> dict[str, str]:
        """The headers to send with an action; the token is added, or let through, for its own server only."""
        at_home = origin_of(action.href) is not None and origin_of(action.href) == self._credentials.origin
        headers = {
            name: value
            for name, value in action.headers.items()
            # Some servers give back the Authorization they were asked with.
            if name.lower() not in _CONNECTION_HEADERS
            and (at_home or self._credentials.redact(value) == value)
        }
        if not any(name.lower() == "authorization" for name in headers):
            headers.update(self._credentials.headers_for(action.href))
        return headers


def _refusal(denied: Denied, operation: Operation, what: str) -> AccessDenied | Refused:
    """What a 401 or 403 means. Only a 401 is sure to be about the token; a 403 means what its words say."""
    needed = "write_repository and the role Developer" if operation == "upload" else "read_repository"
    if denied.status == _UNKNOWN_TOKEN:
        return AccessDenied(
            f"{what}: the token was refused ({denied}). It has to be valid, with the scope {needed}."
        )
    if denied.detail and not _OF_RIGHTS.search(denied.detail):
        return Refused(f"{what}: the server says no ({denied}).", denied.status)
    return AccessDenied(f"{what}: the server says no ({denied}). The token needs the scope {needed}.")


def _parse_answers(content: bytes, what: str) -> dict[tuple[str, int | None], BatchAnswer]:
    """By oid, and by size as well: a spoilt pointer may give another one to the same object.

    Raises Refused for anything that is not an answer of the batch API.
    """
    if len(content) > _MAX_ANSWER_BYTES:
        raise Refused(f"{what}: the answer is over {_MAX_ANSWER_BYTES} bytes.")
    try:
        answers: dict[tuple[str, int | None], BatchAnswer] = {}
        for item in json.loads(content)["objects"]:
            oid, size, answer = str(item["oid"]), item.get("size"), _parse_answer(item)
            answers[oid, None] = answer  # servers may leave the size out
            if isinstance(size, int):
                answers[oid, size] = answer
        return answers
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{what}: the answer is not one of the Git LFS batch API.") from error


def _parse_answer(item: dict[str, Any]) -> BatchAnswer:
    if error := item.get("error"):
        return BatchAnswer({}, int(error.get("code", 500)), str(error.get("message", ""))[:300])
    actions = {}
    for name, action in (item.get("actions") or {}).items():
        headers = {str(key): str(value) for key, value in (action.get("header") or {}).items()}
        actions[name] = Action(str(action["href"]), headers)
    return BatchAnswer(actions)
