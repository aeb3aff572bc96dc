"""Requests by the user's proxies and certificates, and without credentials of their own."""

import http.cookiejar
import ssl
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context

from codex_worker.errors import UserError
from codex_worker.git.network import trusted_certificates


def plain_session(*, pool_size: int) -> requests.Session:
    """A session with no cookies, no .netrc and no header but those given.

    `pool_size` connections to a server stay open. Raises UserError for certificates that cannot be read.
    """
    session = requests.Session()
    session.auth = _no_netrc
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", TrustingAdapter(pool_size))
    session.mount("http://", HTTPAdapter(pool_maxsize=pool_size))
    return session


class TrustingAdapter(HTTPAdapter):
    """Trusts, beside what requests trusts by itself, whatever certificates the user names for any program."""

    def __init__(self, pool_size: int = 10) -> None:
        self._context = _trusting_context()
        super().__init__(pool_maxsize=pool_size)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Direct connections."""
        super().init_poolmanager(*arguments, **options, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Connections through a proxy."""
        return super().proxy_manager_for(proxy, **options, ssl_context=self._context)


def _trusting_context() -> ssl.SSLContext:
    context = create_urllib3_context()
    for path in trusted_certificates():
        try:
            if path.is_dir():
                context.load_verify_locations(capath=str(path))
            else:
                context.load_verify_locations(cafile=str(path))
        except OSError as error:  # ssl's own errors among them
            raise UserError(
                f"{path} holds no certificates that can be read: mend it, or the variable that names it "
                "($SSL_CERT_FILE, $GIT_SSL_CAINFO, $REQUESTS_CA_BUNDLE)."
            ) from error
    return context


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stands in the place where requests would otherwise look for a password in ~/.netrc."""
    return request
