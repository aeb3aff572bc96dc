"""Asks a server whether it would take a large file, before hours are spent on making it."""

import secrets

from codex_worker.errors import Refused, ServerUnreachable
from codex_worker.git.credentials import Credentials, origin_of
from codex_worker.git.lfs.pointer import Pointer

_MAY_PASS = {408, 429}
_STAYS = {501, 507}
_ANSWER_WITHIN_S = 30.0


def ask_first(url: str, credentials: Credentials, size_bytes: int) -> None:
    """Raises what an upload of so many bytes to this repository would raise; a path takes what the disk does.

    A server that is away now may be back when the file is made: then nothing is raised. Nothing is stored.
    """
    if origin_of(url) is None:
        return
    # requests takes its time to import, and repositories on disk do without.
    from codex_worker.git.lfs.batch import BatchClient
    from codex_worker.git.lfs.transport import HttpSettings, LfsHttp

    pointer = Pointer(secrets.token_hex(32), size_bytes)  # no file has this name
    transport = LfsHttp(credentials, HttpSettings(answer_timeout_s=_ANSWER_WITHIN_S))
    try:
        answer = BatchClient(url, credentials, transport).ask("upload", [pointer])[pointer]
    except ServerUnreachable:
        return
    code = answer.error_code
    if code is not None and code not in _MAY_PASS and (code < 500 or code in _STAYS):
        raise Refused(f"The server says: {credentials.redact(answer.error_message)} ({code}).", code)
