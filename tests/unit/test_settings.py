"""An operator's settings: where they come from, what is refused, and whom a token is for."""

import argparse
from pathlib import Path

import pytest

from codex_worker.active_hours import read_windows, read_zone
from codex_worker.cli.options import settings_and_token
from codex_worker.errors import UserError
from codex_worker.settings import (
    DEFAULT_GITLAB_URL,
    Settings,
    all_settings,
    folder,
    from_variables,
    read_settings,
    reference_table,
)

ROOT = Path(__file__).parents[2]
ONE, OTHER = "https://one.example.org", "https://other.example.org"
CHOICES = {
    "preset": ("tiny", "full", "tiny"),
    "log_format": ("json", "text", "json"),
    "metrics_address": ("::1", "localhost", "10.0.0.7"),
}
T1, T2 = "glpat-aaaaaaaaaaaaaaaaaaa1", "glpat-aaaaaaaaaaaaaaaaaaa2"


def read(given=None, file=None, environment=None) -> Settings:
    sources = [
        from_variables("secrets.env", file or {}),
        from_variables("the environment", environment or {}),
    ]
    return read_settings(given or {}, *sources)


def test_every_setting_is_read_from_the_command_line_then_the_file_then_the_environment():
    words: dict[object, tuple[str, str, str]] = {
        str: ("a", "b", "c"),
        folder: ("a", "b", "c"),
        read_windows: ("01:00-02:00", "22:00-02:00", "03:00-04:00,05:00-24:00"),
        read_zone: ("Europe/London", "UTC", "Asia/Kathmandu"),
    }
    for each in all_settings():
        if (
            each.variable is None
            or each.name in {"token", "gitlab_url"}
            or each.is_flag
            or each.is_repeatable
        ):
            continue
        texts = words.get(each.parse, CHOICES.get(each.name, ("2", "3", "4")))
        values = [each.parse(text) for text in texts]
        environment = {each.variable: texts[2]}
        assert getattr(read(environment=environment), each.name) == values[2], each.name
        file = {each.variable: texts[1]}
        assert getattr(read(file=file, environment=environment), each.name) == values[1], each.name
        given = {each.name: texts[0]}
        assert getattr(read(given, file, environment), each.name) == values[0], each.name


def test_what_is_not_given_is_the_default():
    assert read() == Settings()
    assert read(environment={"WORKER_ID": "", "CODEX_VERBOSE": "no"}) == Settings()


def test_projects_are_a_list_on_the_command_line_and_words_in_a_variable():
    assert read({"project": ["/a folder/b.git", "c"]}).project == ("/a folder/b.git", "c")
    assert read(file={"CODEX_PROJECTS": "/a.git https://h/b.git"}).project == ("/a.git", "https://h/b.git")


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("CODEX_LOOP_INTERVAL", "0", "or -1"),
        ("CODEX_LOOP_INTERVAL", "-5", "or -1"),
        ("CODEX_LOOP_INTERVAL", "nan", "a number from 1"),
        ("CODEX_LOOP_INTERVAL", "soon", "a number from 1"),
        ("CODEX_LOOP_INTERVAL", "inf", "a number from 1"),
        ("CODEX_LOOP_INTERVAL", "-inf", "or -1"),
        ("CODEX_LOOP_INTERVAL", "0.5", "or -1"),
        ("CODEX_LOOP_INTERVAL", "1e9", "from 1 to 604800"),
        ("CODEX_KEEP_JOBS", "1.5", "a whole number from -1"),
        ("MAX_JOB_RETRIES", "0", "a whole number from 1"),
        ("CLAIM_TIMEOUT_HOURS", "inf", "a number from 0.01 to 100000"),
        ("CODEX_MAX_JOB_HOURS", "1e308", "a number from 0.01 to 100000"),
        ("CODEX_HANG_MINUTES", "1e300", "a number from 0.01 to 100000"),
        ("CODEX_MAX_IDLE_MINUTES", "0", "a number from 0.01 to 100000"),
        ("CODEX_MAX_IDLE_MINUTES", "nan", "a number from 0.01 to 100000"),
        ("CODEX_MAX_UPTIME_HOURS", "-1", "a number from 0.01 to 100000"),
        ("CODEX_LEAVE_AFTER_HOURS", "-1", "or 0"),
        ("CODEX_VRAM_HEADROOM_GIB", "-1", "a number from 0"),
        ("CODEX_ACTIVE_HOURS", "at night", "like 02:00-06:00"),
        ("CODEX_ACTIVE_HOURS", "2-6", "like 02:00-06:00"),
        ("CODEX_ACTIVE_HOURS", "02:00-06:00,", "like 02:00-06:00"),
        ("CODEX_ACTIVE_HOURS", "02:00-06:00 22:00-23:00", "commas"),
        ("CODEX_ACTIVE_HOURS", "24:00-06:00", "from 00:00 to 24:00"),
        ("CODEX_ACTIVE_HOURS", "22:00-24:01", "from 00:00 to 24:00"),
        ("CODEX_ACTIVE_HOURS", "02:60-06:00", "from 00:00 to 24:00"),
        ("CODEX_ACTIVE_HOURS", "02:00-02:00", "leave the option out"),
        ("CODEX_TIMEZONE", "Europe/Londn", "like Europe/London"),
        ("CODEX_TIMEZONE", "Europe", "like Europe/London"),
        ("CODEX_TIMEZONE", "../../etc/passwd", "like Europe/London"),
        ("CODEX_TIMEZONE", "/etc/localtime", "like Europe/London"),
        ("CODEX_PRESET", "small", "tiny or full"),
        ("CODEX_VERBOSE", "perhaps", "true or false"),
        ("CODEX_LOG_FORMAT", "xml", "text or json"),
        ("CODEX_METRICS_PORT", "0", "a whole number from 1 to 65535"),
        ("CODEX_METRICS_PORT", "65536", "a whole number from 1 to 65535"),
        ("CODEX_METRICS_PORT", "9100.5", "a whole number from 1"),
        ("CODEX_METRICS_ADDRESS", "everywhere", "an address of this machine"),
        ("CODEX_METRICS_ADDRESS", "127.0.0.1:9100", "an address of this machine"),
        ("HF_HUB_OFFLINE", "2", "true or false"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence_with_its_place(variable, text, words):
    with pytest.raises(UserError) as error:
        read(file={variable: text})
    assert str(error.value).startswith(f"${variable} of secrets.env is {text!r}: it must be")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("given", "file", "environment", "token", "server"),
    [
        ({}, {}, {}, None, DEFAULT_GITLAB_URL),
        ({}, {"GITLAB_TOKEN": T1}, {}, T1, DEFAULT_GITLAB_URL),
        ({}, {"GITLAB_TOKEN": T1, "GITLAB_URL": f"{ONE}/"}, {}, T1, ONE),
        ({}, {}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}, T1, ONE),
        ({"gitlab_url": ONE}, {"GITLAB_TOKEN": T1}, {}, T1, ONE),
        ({"gitlab_url": ONE}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}, {}, T1, ONE),
        ({}, {"GITLAB_TOKEN": T1}, {"GITLAB_URL": ONE}, T1, ONE),
        ({}, {"GITLAB_URL": ONE}, {"GITLAB_TOKEN": T1}, T1, ONE),
        # One server, however its address is written.
        ({"gitlab_url": ONE.upper()}, {"GITLAB_TOKEN": T1, "GITLAB_URL": f"{ONE}:443/"}, {}, T1, ONE),
        ({}, {"GITLAB_TOKEN": "  "}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}, T1, ONE),
        ({}, {"GITLAB_TOKEN": T1, "GITLAB_URL": " "}, {"GITLAB_URL": ONE}, T1, ONE),
        # The address beside a token wins over one that stands further down.
        ({}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}, {"GITLAB_URL": OTHER}, T1, ONE),
        ({}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}, {"GITLAB_TOKEN": T2, "GITLAB_URL": OTHER}, T1, ONE),
        ({"token": T1, "gitlab_url": ONE}, {"GITLAB_TOKEN": T2, "GITLAB_URL": OTHER}, {}, T1, ONE),
        # The same token twice is for the address that stands beside it once.
        ({}, {"GITLAB_TOKEN": T1}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}, T1, ONE),
    ],
)
def test_a_token_is_for_the_server_that_stands_beside_it(tmp_path, given, file, environment, token, server):
    if file:
        path = tmp_path / "secrets.env"
        path.write_text("".join(f"{name}={value}\n" for name, value in file.items()))
        given = {**given, "env_file": str(path)}
    settings, credentials = settings_and_token(given, environment)
    assert (credentials.token, str(credentials.origin)) == (token, server)
    assert credentials.is_for(settings.gitlab_url or "")
    assert settings.token is None  # it stays with the credentials


@pytest.mark.parametrize(
    ("given", "file", "environment"),
    [
        ({"gitlab_url": OTHER}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}, {}),
        ({"gitlab_url": OTHER}, {}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}),
        ({}, {"GITLAB_URL": OTHER}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}),
        ({}, {"GITLAB_TOKEN": T1}, {"GITLAB_TOKEN": T2, "GITLAB_URL": OTHER}),
        ({"token": T1}, {"GITLAB_TOKEN": T2, "GITLAB_URL": OTHER}, {}),
        ({"gitlab_url": f"{ONE}:8443"}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}, {}),
        ({"gitlab_url": "http://one.example.org"}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}, {}),
        ({"gitlab_url": f"{ONE}:notaport"}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}, {}),
        ({"gitlab_url": f"https://me:{T2}@other.example.org"}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}, {}),
    ],
)
def test_a_token_is_never_offered_to_the_server_of_another_one(given, file, environment):
    with pytest.raises(UserError, match="stands beside") as error:
        read(given, file, environment)
    assert T1 not in str(error.value) and T2 not in str(error.value)


def test_a_refused_token_is_not_replaced_by_one_for_another_server(tmp_path):
    path = tmp_path / "secrets.env"
    path.write_text(f"GITLAB_TOKEN={T1}\nGITLAB_URL={ONE}\n")
    _, credentials = settings_and_token({"env_file": str(path)}, {})
    path.write_text(f"GITLAB_TOKEN={T2}\nGITLAB_URL={OTHER}\n")
    assert not credentials.refresh() and credentials.token == T1
    path.write_text(f"GITLAB_TOKEN={T2}\nGITLAB_URL={ONE}/\n")
    assert credentials.refresh() and credentials.token == T2


def test_a_new_token_of_the_file_is_not_offered_to_the_server_of_the_environments_token(tmp_path):
    path = tmp_path / "secrets.env"
    path.write_text("WORKER_ID=w\n")
    given, environment = {"env_file": str(path)}, {"GITLAB_TOKEN": T1, "GITLAB_URL": ONE}
    _, credentials = settings_and_token(given, environment)
    path.write_text(f"GITLAB_TOKEN={T2}\n")
    assert not credentials.refresh() and credentials.token == T1
    path.write_text(f"GITLAB_TOKEN={T2}\nGITLAB_URL={ONE}\n")
    assert credentials.refresh() and credentials.token == T2


@pytest.mark.parametrize("name", ["token", "gitlab_url", "work_dir", "worker_id", "force_job", "preset"])
@pytest.mark.parametrize("text", ["", "  "])
def test_an_option_without_a_value_is_said(name, text):
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} is empty"):
        read({name: text})
    with pytest.raises(UserError, match="--project is empty"):
        read({"project": ["a.git", text]})


def test_a_folder_of_the_users_home_is_found_without_a_shell(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ana")
    assert read(file={"WORK_DIR": "~/work"}).work_dir == Path("/home/ana/work")
    assert read(environment={"HF_HOME": "~/hf"}).hf_home == Path("/home/ana/hf")


def test_a_token_of_the_command_line_is_not_replaced_by_the_files(tmp_path):
    path = tmp_path / "secrets.env"
    path.write_text(f"GITLAB_TOKEN={T2}\nGITLAB_URL={OTHER}\n")
    _, credentials = settings_and_token({"env_file": str(path), "token": T1, "gitlab_url": ONE}, {})
    assert not credentials.refresh() and credentials.token == T1


def test_the_settings_do_not_show_the_token():
    assert T1 not in repr(read(environment={"GITLAB_TOKEN": T1}))


def test_the_readmes_table_is_made_from_the_settings():
    assert reference_table() in (ROOT / "README.md").read_text()


def test_the_help_tells_every_option_with_its_variable():
    from codex_worker.cli.work import build_parser

    parser = build_parser()
    options = {option: action for action in parser._actions for option in action.option_strings}
    for each in all_settings():
        if each.option is not None:
            assert isinstance(options[each.option], argparse.Action)
            assert (each.variable or "") in str(options[each.option].help)


def test_the_example_of_a_secrets_file_names_known_variables_only():
    known = {each.variable for each in all_settings()}
    lines = (ROOT / ".env.secrets.example").read_text().splitlines()
    names = [line.lstrip("# ").partition("=")[0] for line in lines if "=" in line and "`" not in line]
    assert "GITLAB_URL" in names and set(names) <= known
