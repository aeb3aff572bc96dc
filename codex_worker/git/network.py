"""The user's way to the network, the same for git and for requests: proxies and trusted certificates."""

import os
from collections.abc import Mapping
from pathlib import Path

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
# What git, requests, curl and OpenSSL call the certificates to trust: a file, or a folder of files.
_CERTIFICATES = (
    "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "GIT_SSL_CAPATH",
    "SSL_CERT_DIR",
)  # fmt: skip


def trusted_certificates(variables: Mapping[str, str] | None = None) -> list[Path]:
    """The files and folders of certificates that the user names, those for git first."""
    variables = os.environ if variables is None else variables
    paths = [Path(variables[name]) for name in _CERTIFICATES if variables.get(name)]
    return [path for path in dict.fromkeys(paths) if path.exists()]


def network_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables by which git finds the user's proxies and certificates.

    curl reads some proxies in small letters only; requests takes both, and the small ones first.
    """
    found = {}
    for name in _PROXIES:
        value = variables.get(name, variables.get(name.upper()))
        if value is not None:
            found[name] = value
    for path in reversed(trusted_certificates(variables)):  # git takes one of each
        found["GIT_SSL_CAPATH" if path.is_dir() else "GIT_SSL_CAINFO"] = str(path)
    return found
