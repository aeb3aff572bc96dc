"""Which store holds a repository's large files: that of its server, or the folder beside it."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from codex_worker.errors import UserError
from codex_worker.git.credentials import Credentials
from codex_worker.git.lfs.store import FileStore, LfsStore
from codex_worker.tally import Tally


def open_store(url: str | Path, credentials: Credentials, tally: Tally | None = None) -> LfsStore:
    """The LFS store of the repository at a path, a `file://` URL or an `http(s)://` URL.

    `tally` counts what goes over the network.
    """
    parts = urlsplit(str(url))
    if parts.scheme in {"http", "https"}:
        # requests takes its time to import, and repositories on disk do without.
        from codex_worker.git.lfs.http import HttpStore

        return HttpStore(str(url), credentials, tally=tally)
    if parts.scheme == "file":
        return FileStore(Path(unquote(parts.path)))
    if "://" not in str(url):
        return FileStore(Path(url))
    raise UserError(
        f"Large files of {credentials.redact(str(url))} cannot be reached: "
        "give an http(s):// address, a file:// address or a path."
    )
