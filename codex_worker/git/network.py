"""The user's way to the network, the same for git and for requests: proxies and trusted certificates."""

import os
from collections.abc import Mapping
from pathlib import Path

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
# The names that requests, curl, git and OpenSSL give to the certificates to trust. Requests looks at its own
# names by itself, so these come first for everybody.
_CERTIFICATES = (
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "GIT_SSL_CAPATH",
    "SSL_CERT_DIR",
)  # fmt: skip


def trusted_certificates(variables: Mapping[str, str] | None = None) -> str | None:
    """The file or folder of certificates that the user names; None: those that come with each program."""
    variables = os.environ if variables is None else variables
    paths = (variables.get(name, "") for name in _CERTIFICATES)
    return next((path for path in paths if path and Path(path).exists()), None)


def network_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables by which git finds the user's proxies and certificates.

    curl reads some proxies in small letters only; requests takes both, and the small ones first.
    """
    found = {}
    for name in _PROXIES:
        value = variables.get(name, variables.get(name.upper()))
        if value is not None:
            found[name] = value
    if certificates := trusted_certificates(variables):
        found["GIT_SSL_CAPATH" if Path(certificates).is_dir() else "GIT_SSL_CAINFO"] = certificates
    return found
