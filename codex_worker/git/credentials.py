"""The token: for one server only, in this process only, never shown."""

import base64
import logging
import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urlsplit

from codex_worker.errors import UserError
from codex_worker.token_server import without_user

logger = logging.getLogger(__name__)

TOKEN_VARIABLE = "GITLAB_TOKEN"  # noqa: S105 - a name, not a secret
SERVER_VARIABLE = "GITLAB_URL"
REDACTED = "[redacted]"
_MAX_ENV_FILE_BYTES = 1 << 20
_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SHORTEST_BASE64_CLUE = 8


@dataclass(frozen=True)
class Origin:
    """The one place a token is for: scheme, host and port."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def is_private(self) -> bool:
        """Whether nobody else can read what is sent there: it is encrypted, or stays on this machine."""
        if self.scheme == "https" or self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def origin_of(url: str) -> Origin | None:
    """Where an http(s) URL leads; None for any other, and for one that two parsers could read differently."""
    # "https://evil\@gitlab" names another host to urllib3 than to urllib: such addresses never get a token.
    if any(character <= " " or character in "\\\x7f" for character in url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc or port == 0:
        return None
    return Origin(parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme])


class Credentials:
    """A GitLab token and the one server it is for; may be empty, for repositories that need none.

    `env_file` is where `refresh` looks for a newer token; with `needs_address` it must name the server
    beside it, because ours was given for another token. Safe to share between threads.
    """

    def __init__(
        self,
        token: str | None = None,
        base_url: str | None = None,
        *,
        env_file: Path | None = None,
        needs_address: bool = False,
    ) -> None:
        self._origin = None
        if base_url is not None:
            self._origin = origin_of(base_url)
            if self._origin is None:
                raise UserError(
                    f"The GitLab address {without_user(base_url)!r} (--gitlab-url, $GITLAB_URL) cannot be "
                    "used: it has to look like https://gitlab.example.org, without a user name or a token."
                )
        self._env_file = env_file
        self._needs_address = needs_address
        self._token = ""
        self._known_tokens: tuple[str, ...] = ()
        self._set_token(token or "")

    def __repr__(self) -> str:
        return f"Credentials({self._origin}, token {'set' if self._token else 'not set'})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials do not travel to another process")

    @property
    def token(self) -> str | None:
        """The token itself, for the GitLab client; never put it into a message, an argument or a URL."""
        return self._token or None

    @property
    def origin(self) -> Origin | None:
        """The server the token is for."""
        return self._origin

    def refresh(self) -> bool:
        """Read the token from the env file again; True when it is another one than before.

        An unreadable file, and one that now names another server, leave the token as it is: the worker goes
        on with the one it has.
        """
        if self._env_file is None:
            return False
        try:
            variables = read_env_file(self._env_file)
            server, token = variables.get(SERVER_VARIABLE), variables.get(TOKEN_VARIABLE, "").strip()
            if server and origin_of(server) != self._origin:
                raise UserError(f"{self._env_file} names another server now; start the worker again.")
            changed = bool(token) and token != self._token
            if changed and self._needs_address and not server:
                raise UserError(
                    f"{self._env_file} holds a token without {SERVER_VARIABLE}, and {self._origin} was given "
                    f"for another one; write {SERVER_VARIABLE} beside the token that it is for."
                )
            if changed:
                self._set_token(token)
        except UserError as error:
            logger.warning("The token was not read again: %s", error)
            return False
        return changed

    def is_for(self, url: str) -> bool:
        """Whether an address is on the token's own server."""
        return self._origin is not None and origin_of(url) == self._origin

    def headers_for(self, url: str) -> dict[str, str]:
        """The headers that authorise a git or LFS request; empty for every server but the token's own."""
        if not self._token or not self.is_for(url):
            return {}
        return {"Authorization": self._basic()}

    def redact(self, text: str) -> str:
        """The text without any token this object ever had, as it is, in a URL, or inside base64."""
        for token in self._known_tokens:
            for form in _forms_of(token):
                text = text.replace(form, REDACTED)
        return text

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"oauth2:{self._token}".encode()).decode()

    def _set_token(self, token: str) -> None:
        token = token.strip()
        if any(not "!" <= character <= "~" or character in "'\"" for character in token):
            raise UserError(
                "The GitLab token (--token, $GITLAB_TOKEN) contains characters that no token has. "
                "Copy it again, without spaces or quotes."
            )
        if token and token not in self._known_tokens:
            self._known_tokens = (*self._known_tokens, token)
        self._token = token


def read_env_file(path: Path) -> dict[str, str]:
    """Variables from a file of `NAME=value` lines.

    `export`, comments, blank lines, and values in single or double quotes are read; nothing is expanded.
    Raises UserError with the line number, never the line: it may be a secret.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_ENV_FILE_BYTES + 1)
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"Cannot read the secrets file {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The secrets file {path} is not text in UTF-8.") from error
    if len(content) > _MAX_ENV_FILE_BYTES:
        raise UserError(
            f"The secrets file {path} is over a megabyte; this is not a file of NAME=value lines."
        )
    variables = {}
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            raise UserError(f"Line {number} of the secrets file {path} is not NAME=value.")
        variables[match[1]] = _value(match[2], number, path)
    return variables


def _value(text: str, number: int, path: Path) -> str:
    quote_mark = text[:1]
    if quote_mark not in {"'", '"'}:
        return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].rstrip()
    value, end, rest = text[1:].partition(quote_mark)
    if not end or (rest.strip() and not rest.strip().startswith("#")):
        raise UserError(f"The quotes in line {number} of the secrets file {path} do not match.")
    return value


def _forms_of(token: str) -> list[str]:
    """How a token can look in a text; base64 of anything that contains it has one of three cores."""
    forms = {token, quote(token, safe="")}
    raw = token.encode()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        # The first and last digits also depend on what stands beside the token.
        core = encoded[(shift * 8 + 5) // 6 : (shift + len(raw)) * 8 // 6]
        if len(core) >= _SHORTEST_BASE64_CLUE:
            forms |= {core, core.translate(str.maketrans("+/", "-_"))}
    whole = base64.b64encode(f"oauth2:{token}".encode()).decode()
    forms |= {whole, whole.rstrip("=")}
    # The longest first: the token inside a longer form would leave that form's rest behind.
    return sorted(forms, key=len, reverse=True)
