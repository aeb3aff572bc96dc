"""Requests without credentials of their own: no cookies, no .netrc, no header but those given."""

import http.cookiejar

import requests
from requests.adapters import HTTPAdapter

from codex_worker.git.network import trusted_certificates


def plain_session(*, pool_size: int) -> requests.Session:
    """A session by the user's proxies and certificates; `pool_size` connections to a server stay open."""
    session = requests.Session()
    session.auth = _no_netrc
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.verify = trusted_certificates() or True
    adapter = HTTPAdapter(pool_maxsize=pool_size)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stands in the place where requests would otherwise look for a password in ~/.netrc."""
    return request
