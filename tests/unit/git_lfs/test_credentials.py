import base64
import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.cli.options import warn_of_an_open_line
from codex_worker.errors import UserError
from codex_worker.git.credentials import REDACTED, Credentials, read_env_file

TOKEN = "glpat-Abc123_def456-XYZ789"
HOST = "https://gitlab.example.org"


def test_the_token_is_in_no_representation():
    credentials = Credentials(TOKEN, HOST)
    assert TOKEN not in f"{credentials!r} {credentials!s} {[credentials]}"
    assert HOST in repr(credentials)


@pytest.mark.parametrize("url", [f"{HOST}/a/b.git", f"{HOST}:443/x", "HTTPS://GitLab.Example.ORG/x"])
def test_its_own_server_gets_the_token(url):
    headers = Credentials(TOKEN, HOST).headers_for(url)
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode() == f"oauth2:{TOKEN}"


@pytest.mark.parametrize(
    "url",
    [
        "https://storage.example.org/x",
        "http://gitlab.example.org/x",
        f"{HOST}:8443/x",
        "https://gitlab.example.org.evil.org/x",
        "https://gitlab.example.org@evil.org/x",
        "https://evil.org\\@gitlab.example.org/x",
        "https://evil.org#@gitlab.example.org/x",
        "https://evil.org /@gitlab.example.org/x",
        "https://gitlab.example.org:notaport/",
        "https://gitlab.example.org:0/x",
        "https://gitlab.example.org./x",
        "https://gitlab.example\u3002org/x",
        "https://[gitlab.example.org/x",
        "file:///etc/passwd",
        "//gitlab.example.org/x",
        "",
    ],
)
def test_no_other_server_gets_it(url):
    assert Credentials(TOKEN, HOST).headers_for(url) == {}


def test_without_a_token_everything_works_and_gives_nothing_away():
    credentials = Credentials()
    assert credentials.headers_for(HOST) == {}
    assert credentials.token is None
    assert credentials.redact("a text") == "a text"


@pytest.mark.parametrize(
    "text",
    [
        f"fatal: could not read from https://oauth2:{TOKEN}@gitlab.example.org",
        base64.b64encode(f"oauth2:{TOKEN}".encode()).decode(),
        base64.b64encode(f"a-user:{TOKEN}".encode()).decode(),
        base64.b64encode(f"{TOKEN}:x".encode()).decode(),
        base64.urlsafe_b64encode(f"xy:{TOKEN}\n".encode()).decode(),
    ],
)
def test_the_token_is_removed_from_texts_in_all_its_forms(text):
    redacted = Credentials(TOKEN, HOST).redact(f"before {text} after")
    assert REDACTED in redacted
    assert TOKEN not in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")


@given(before=st.binary(max_size=9), after=st.binary(max_size=9))
def test_base64_of_anything_around_the_token_does_not_show_it(before, after):
    encoded = base64.b64encode(before + TOKEN.encode() + after).decode()
    redacted = Credentials(TOKEN, HOST).redact(encoded)
    assert REDACTED in redacted
    # What is left are the digits it shares with its neighbours.
    assert len(redacted.replace(REDACTED, "")) <= len(base64.b64encode(before + after)) + 4


def test_a_token_with_signs_is_removed_from_urls_too():
    token = "a+b/c=d&e"
    assert quote(token, safe="") not in Credentials(token, HOST).redact(
        f"?private_token={quote(token, safe='')}"
    )


def test_a_new_token_is_read_from_the_env_file_and_the_old_one_stays_secret(tmp_path):
    env_file = tmp_path / ".env.secrets"
    env_file.write_text("GITLAB_TOKEN=first-token-1\n")
    credentials = Credentials("first-token-1", HOST, env_file=env_file)
    assert not credentials.refresh()
    env_file.write_text("GITLAB_TOKEN='second-token-2'\n")
    assert credentials.refresh()
    assert credentials.token == "second-token-2"
    assert credentials.redact("first-token-1 second-token-2") == f"{REDACTED} {REDACTED}"


def test_an_unreadable_env_file_keeps_the_token(tmp_path, caplog):
    credentials = Credentials(TOKEN, HOST, env_file=tmp_path / "gone")
    assert not credentials.refresh()
    assert credentials.token == TOKEN
    assert "gone" in caplog.text


def test_an_env_file_is_read_as_shells_write_it(tmp_path):
    path = tmp_path / "env"
    path.write_text(
        "\ufeff# secrets\n\nPLAIN=value # a comment\nexport EXPORTED = 'single # quoted' # said\n"
        'DOUBLE="a b"\nEMPTY=\nHASH=a#b\nURL=https://x/?a=b\n'
    )
    assert read_env_file(path) == {
        "PLAIN": "value",
        "EXPORTED": "single # quoted",
        "DOUBLE": "a b",
        "EMPTY": "",
        "HASH": "a#b",
        "URL": "https://x/?a=b",
    }


@pytest.mark.parametrize(
    "line", ["glpat-secret", "A B=glpat-secret", "TOKEN='glpat-secret", "TOKEN='glpat-secret' x"]
)
def test_a_bad_line_is_named_by_number_and_not_shown(tmp_path, line):
    path = tmp_path / "env"
    path.write_text(f"A=1\n{line}\n")
    with pytest.raises(UserError, match="2") as caught:
        read_env_file(path)
    assert "glpat" not in str(caught.value)


@pytest.mark.parametrize(
    "token", ["two words", "line\nbreak", "schlüssel", "'quoted'", '"quoted"', "\ufeffglpat"]
)
def test_a_token_that_could_break_a_header_is_refused(token):
    with pytest.raises(UserError) as caught:
        Credentials(token, HOST)
    assert token not in str(caught.value)


def test_an_address_that_is_none_is_refused_without_showing_its_password():
    with pytest.raises(UserError) as caught:
        Credentials(TOKEN, f"https://oauth2:{TOKEN}@gitlab.example.org")
    assert TOKEN not in str(caught.value)


def test_credentials_do_not_travel_to_another_process():
    with pytest.raises(TypeError):
        pickle.dumps(Credentials(TOKEN, HOST))


@pytest.mark.parametrize(
    ("address", "is_private"),
    [
        ("https://gitlab.example.org", True),
        ("http://gitlab.example.org", False),
        ("http://10.0.0.5:8080", False),
        ("http://localhost:8080", True),
        ("http://gitlab.localhost", True),
        ("http://127.0.0.2", True),
        ("http://[::1]:80", True),
        ("http://localhost.example.org", False),
    ],
)
def test_who_sends_a_token_in_the_clear_is_told_so(caplog, address, is_private):
    warn_of_an_open_line(Credentials(TOKEN, address))
    assert ("without encryption" in caplog.text) != is_private
    caplog.clear()
    warn_of_an_open_line(Credentials(None, address))
    assert not caplog.text
