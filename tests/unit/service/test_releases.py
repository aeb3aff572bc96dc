"""Which version a request gets, and what no file of releases can say."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.contract.yaml_text import dump, load
from codex_worker.errors import UserError
from codex_worker.service.releases import Release, Releases, plain_releases, read_releases

SHA = "0123456789abcdef" * 4


def released(*versions, name="v9"):
    releases = Releases()
    for version in versions:
        releases = releases.with_version(name, version, Release(f"{version}.safetensors", SHA))
    return releases


def test_the_first_version_gets_all_and_the_next_ones_nothing_until_shares_say_so():
    releases = released("1", "2")
    assert {releases.choose("v9", draw)[1] for draw in (0.0, 0.5, 0.999)} == {"1"}
    shared = releases.with_shares("v9", {"1": 80, "2": 20})
    drawn = Counter(shared.choose("v9", place / 1000)[1] for place in range(1000))
    assert drawn == {"1": 800, "2": 200}


def test_a_version_or_the_pinned_one_is_had_by_asking_whatever_the_shares():
    releases = released("1", "2").with_pin("v9", "2")
    assert releases.choose("v9.2", 0.0) == ("v9", "2")
    assert releases.choose("v9.latest", 0.0) == ("v9", "2")
    assert releases.choose("v9", 0.0) == ("v9", "1")


def test_an_alias_means_a_model_or_a_version():
    content = plain_releases(released("1", "2")) | {"aliases": {"tts-1": "v9", "gpt-4o-mini-tts": "v9.2"}}
    releases = read_releases(content)
    assert releases.choose("tts-1", 0.0) == ("v9", "1")
    assert releases.choose("gpt-4o-mini-tts", 0.0) == ("v9", "2")


@pytest.mark.parametrize("asked", ["v8", "v9.3", "v9.", "", ".", "v9.latest.2", "../v9", "V9"])
def test_what_is_not_released_is_refused_or_is_the_model_itself(asked):
    releases = released("1")
    if asked == "v9.":
        assert releases.choose(asked, 0.0) == ("v9", "1")
        return
    with pytest.raises(UserError):
        releases.choose(asked, 0.0)


def test_a_rollback_is_one_change_and_a_version_with_requests_is_not_removed():
    releases = released("1", "2").with_shares("v9", {"2": 100}).with_pin("v9", "2")
    with pytest.raises(UserError, match=r"v9\.2 gets 100 % of the requests"):
        releases.without_version("v9", "2")
    back = releases.with_shares("v9", {"1": 100})
    assert back.choose("v9", 0.9) == ("v9", "1")
    with pytest.raises(UserError, match="is what latest means"):
        back.without_version("v9", "2")
    gone = back.with_pin("v9", "1").without_version("v9", "2")
    assert list(gone.models["v9"].versions) == ["1"]
    assert not gone.without_version("v9", "1").models


def test_a_version_never_changes():
    with pytest.raises(UserError, match="a version never changes"):
        released("1").with_version("v9", "1", Release("other.safetensors", SHA))


@pytest.mark.parametrize(
    ("shares", "sentence"),
    [
        ({"1": 50, "2": 51}, r"The shares of v9 are 101 % together"),
        ({"1": 99}, "99 % together"),
        ({"1": 100, "3": 0}, "v9 has no version 3"),
        ({"1": 200, "2": -100}, "must be from 0 to 100"),
    ],
)
def test_shares_that_are_not_a_hundred_together_change_nothing(shares, sentence):
    with pytest.raises(UserError, match=sentence):
        released("1", "2").with_shares("v9", shares)


def versions(**fields):
    return {"models": {"v9": {"versions": {"1": {"checkpoint": "a", "sha256": SHA, "share": 100}}, **fields}}}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([], "must be a list of names with values"),
        ({"modls": {}}, "'modls', which means nothing"),
        ({"models": {"v9": {}}}, "v9 has no version"),
        ({"models": {"latest": versions()["models"]["v9"]}}, "cannot be called 'latest'"),
        ({"models": {"v.9": versions()["models"]["v9"]}}, "cannot be called 'v.9'"),
        (versions(latest="2"), "which is not one of its versions"),
        (versions(stream={"least": 2, "most": 1}), "cannot be meant"),
        (versions(stream={"concurrency": 0}), "cannot be meant"),
        (versions(validate={"most": 1.5}), "must be a whole number"),
        (versions(validate={"most": True}), "must be a whole number"),
        ({"models": {"v9": {"versions": {"1": {"checkpoint": "a", "sha256": "x"}}}}}, "64 hexadecimal"),
        ({"models": {"v9": {"versions": {"1": {"sha256": SHA}}}}}, "needs a checkpoint"),
        (versions() | {"aliases": {"tts-1": "v8"}}, "which is not released"),
        (versions() | {"aliases": {"v9": "v9"}}, "is a model's own"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_what_is_wrong(content, sentence):
    with pytest.raises(UserError, match=sentence):
        read_releases(content)


NAMES = st.sampled_from(["v9", "reader", "mark-1"])
VERSIONS = st.sampled_from(["1", "2", "3"])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), NAMES, VERSIONS),
        st.tuples(st.just("share"), NAMES, st.dictionaries(VERSIONS, st.integers(0, 100), max_size=3)),
        st.tuples(st.just("pin"), NAMES, VERSIONS),
        st.tuples(st.just("remove"), NAMES, VERSIONS),
    ),
    max_size=20,
)


@given(CHANGES, st.floats(0, 1, exclude_max=True))
def test_whatever_is_changed_the_file_stays_one_that_can_be_read_and_serves(changes, draw):
    releases = Releases()
    for what, name, argument in changes:
        try:
            if what == "add":
                releases = releases.with_version(name, argument, Release("a.safetensors", SHA))
            elif what == "share":
                releases = releases.with_shares(name, argument)
            elif what == "pin":
                releases = releases.with_pin(name, argument)
            else:
                releases = releases.without_version(name, argument)
        except UserError:
            continue
    assert not releases.problems()
    assert read_releases(load(dump(plain_releases(releases)), "it")) == releases
    for name, model in releases.models.items():
        assert releases.choose(name, draw)[1] in model.versions
