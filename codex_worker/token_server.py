"""Whom a token is for: the one server that it may be offered to, wherever its address was written."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from codex_worker.errors import UserError

# years, months; far more than that overflows a clock
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class SettingsSource:
    """One place that settings come from: its name for messages, and texts by the settings' names.

    An option that was given several times is a list of texts.
    """

    name: str
    texts: Mapping[str, Any]


def server_of(sources: Sequence[SettingsSource]) -> str | None:
    """The server that the token is for; None where nobody names one. The first source wins.

    An address that stands beside a token is the only one that this token is offered to, and it says
    nothing of a token that stands elsewhere. Raises UserError where it cannot be told whom a token is for.
    """
    token = next((source for source in sources if "token" in source.texts), None)
    named = next((source for source in sources if "gitlab_url" in source.texts), None)
    if named is None:
        return None
    address = named.texts["gitlab_url"].rstrip("/")
    if token is None or token is named:
        return address
    own = token.texts.get("gitlab_url")
    if own is not None:
        if sources.index(named) < sources.index(token) and _place_of(own) != _place_of(address):
            raise UserError(
                f"The token of {token.name} is for {without_user(own)}, which stands beside it, but "
                f"{named.name} names {without_user(address)}. Give the token of that server together with "
                "its address."
            )
        return own.rstrip("/")
    strangers = [s for s in sources if "gitlab_url" in s.texts and "token" in s.texts]
    if named in strangers and named.texts["token"] != token.texts["token"]:
        raise UserError(
            f"The token of {token.name} comes without an address, and {without_user(address)} "
            f"({named.name}) stands beside another token. Write GITLAB_URL beside the token that it is for."
        )
    return address


def without_user(address: str) -> str:
    """An address without the user name or token that stands before its host."""
    return re.sub(r"^([^/]*//)?[^/\s]*@", lambda found: found[1] or "", address)


def _place_of(address: str) -> tuple[object, ...]:
    """What two spellings of one server's address have in common."""
    try:
        parts = urlsplit(address)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return (address,)
    return parts.scheme, parts.username, parts.hostname, port, parts.path.rstrip("/")
