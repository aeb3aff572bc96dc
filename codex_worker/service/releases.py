"""Which models are served, in which versions, and who gets which.

A version is one checkpoint for ever. Its share is how many of a hundred requests for its model it gets; a
version without a share is only for those who ask for it. `latest` is whatever version an operator pins.
Nothing here reads or writes a file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

from codex_worker.errors import UserError

LATEST = "latest"
MOST_MODELS, MOST_VERSIONS, MOST_COPIES = 1000, 100, 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # no dot: it parts a model from its version
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Release:
    """One version: a checkpoint's path, its sha256, and its share in percent."""

    checkpoint: str
    sha256: str
    share: int = 0


@dataclass(frozen=True)
class Scale:
    """How many copies of a kind of service run, and how many requests each has at once."""

    least: int = 0
    most: int = 1
    concurrency: int = 1


@dataclass(frozen=True)
class ReleasedModel:
    """A model with its versions; `latest` is empty where nothing is pinned."""

    versions: Mapping[str, Release] = field(default_factory=dict)
    latest: str = ""
    stream: Scale = Scale()
    validate: Scale = Scale(concurrency=4)


@dataclass(frozen=True)
class Releases:
    """All models, and other names that clients may call them by."""

    models: Mapping[str, ReleasedModel] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def choose(self, asked: str, draw: float) -> tuple[str, str]:
        """The model and the version that a request gets.

        Args:
            asked: a model (`v9`), a version of one (`v9.2`, `v9.latest`), or an alias of either.
            draw: from 0 to less than 1, by which the shares decide.

        Raises:
            UserError: there is no such model or version, or nothing that it could be.
        """
        name, _, version = self.aliases.get(asked, asked).partition(".")
        model = self._model(name)
        if version == LATEST:
            version = self._pinned(name, model)
        if version:
            if version not in model.versions:
                raise UserError(f"{name} has no version {version}; it has {_listed(model.versions)}.")
            return name, version
        return name, self._by_share(name, model, draw)

    def with_version(self, name: str, version: str, release: Release) -> "Releases":
        """A new version, without a share; the first one of a model gets all and is pinned.

        Raises UserError for one that is there: a version never changes.
        """
        model = self.models.get(name, ReleasedModel())
        if version in model.versions:
            raise UserError(f"{name}.{version} is released, and a version never changes; take a new number.")
        is_first = not model.versions
        release = replace(release, share=100 if is_first else 0)
        latest = version if is_first else model.latest
        return self._with(name, replace(model, versions={**model.versions, version: release}, latest=latest))

    def with_shares(self, name: str, shares: Mapping[str, int]) -> "Releases":
        """All shares of a model anew; versions that are not named get none. Raises UserError unless 100."""
        model = self._model(name)
        if unknown := sorted(shares.keys() - model.versions.keys()):
            raise UserError(f"{name} has no version {', '.join(unknown)}; it has {_listed(model.versions)}.")
        versions = {
            each: replace(release, share=shares.get(each, 0)) for each, release in model.versions.items()
        }
        return self._with(name, replace(model, versions=versions))

    def with_pin(self, name: str, version: str) -> "Releases":
        """What `latest` means from now on. Raises UserError."""
        model = self._model(name)
        if version not in model.versions:
            raise UserError(f"{name} has no version {version}; it has {_listed(model.versions)}.")
        return self._with(name, replace(model, latest=version))

    def without_version(self, name: str, version: str) -> "Releases":
        """Without a version that nobody is sent to any more. Raises UserError for one that has requests."""
        model = self._model(name)
        release = model.versions.get(version)
        if release is None:
            raise UserError(f"{name} has no version {version}; it has {_listed(model.versions)}.")
        left = {each: other for each, other in model.versions.items() if each != version}
        if left and release.share:
            raise UserError(
                f"{name}.{version} gets {release.share} % of the requests; share them anew first."
            )
        if left and model.latest == version:
            raise UserError(f"{name}.{version} is what latest means; pin another one first.")
        if left:
            return self._with(name, replace(model, versions=left))
        return replace(self, models={each: one for each, one in self.models.items() if each != name})

    def problems(self) -> list[str]:
        """What is wrong, as sentences; empty where all is well."""
        found = []
        if len(self.models) > MOST_MODELS:
            found.append(f"There are {len(self.models)} models; at most {MOST_MODELS} can be served.")
        for name, model in self.models.items():
            found += _problems_of(name, model)
        for alias, meant in self.aliases.items():
            if not _ALIAS.fullmatch(alias) or alias in self.models:
                found.append(f"The alias {alias!r} cannot be a name, or is a model's own.")
            name, _, version = meant.partition(".")
            model_meant = self.models.get(name)
            if model_meant is None or (version not in {"", LATEST} and version not in model_meant.versions):
                found.append(f"The alias {alias} means {meant!r}, which is not released.")
        return found

    def _model(self, name: str) -> ReleasedModel:
        model = self.models.get(name)
        if model is None:
            raise UserError(f"There is no model {name!r:.80}; there are {_listed(self.models) or 'none'}.")
        return model

    def _pinned(self, name: str, model: ReleasedModel) -> str:
        if not model.latest:
            raise UserError(f"No version of {name} is pinned as latest; name one, for example {name}.1.")
        return model.latest

    def _by_share(self, name: str, model: ReleasedModel, draw: float) -> str:
        sharing = [(version, release.share) for version, release in model.versions.items() if release.share]
        for (version, _), until in zip(sharing, accumulate(share for _, share in sharing), strict=True):
            if draw * 100 < until:
                return version
        return self._pinned(name, model)

    def _with(self, name: str, model: ReleasedModel) -> "Releases":
        changed = replace(self, models={**self.models, name: model})
        if found := changed.problems():
            raise UserError(found[0])
        return changed


def read_releases(content: Any) -> Releases:
    """From the plain values of a file. Raises UserError that says what is wrong first."""
    if content is None:
        return Releases()
    top = _mapping(content, "The file", {"models", "aliases"})
    models = {
        str(name): _read_model(str(name), model)
        for name, model in _mapping(top.get("models"), "models").items()
    }
    aliases = {str(alias): str(meant) for alias, meant in _mapping(top.get("aliases"), "aliases").items()}
    releases = Releases(models, aliases)
    if found := releases.problems():
        raise UserError(found[0])
    return releases


def plain_releases(releases: Releases) -> dict[str, Any]:
    """The plain values that `read_releases` reads."""
    return {
        "models": {
            name: {
                **({"latest": model.latest} if model.latest else {}),
                "versions": {
                    version: {"checkpoint": each.checkpoint, "sha256": each.sha256, "share": each.share}
                    for version, each in model.versions.items()
                },
                "stream": vars(model.stream).copy(),
                "validate": vars(model.validate).copy(),
            }
            for name, model in releases.models.items()
        },
        **({"aliases": dict(releases.aliases)} if releases.aliases else {}),
    }


def _read_model(name: str, content: Any) -> ReleasedModel:
    fields = _mapping(content, name, {"versions", "latest", "stream", "validate"})
    versions = {}
    for version, each in _mapping(fields.get("versions"), f"{name}.versions").items():
        where = f"{name}.{version}"
        found = _mapping(each, where, {"checkpoint", "sha256", "share"})
        share = _whole(found.get("share", 0), f"{where}: share")
        versions[str(version)] = Release(
            str(found.get("checkpoint", "")), str(found.get("sha256", "")).lower(), share
        )
    return ReleasedModel(
        versions,
        str(fields.get("latest") or ""),
        _read_scale(fields.get("stream"), f"{name}.stream", Scale()),
        _read_scale(fields.get("validate"), f"{name}.validate", Scale(concurrency=4)),
    )


def _read_scale(content: Any, where: str, default: Scale) -> Scale:
    found = _mapping(content, where, set(vars(default)))
    return replace(default, **{key: _whole(value, f"{where}: {key}") for key, value in found.items()})


def _problems_of(name: str, model: ReleasedModel) -> list[str]:
    found = []
    if not _NAME.fullmatch(name) or name == LATEST:
        found.append(f"A model cannot be called {name!r:.80}: letters, digits, - and _, and not latest.")
    if not model.versions:
        found.append(f"{name} has no version.")
    if len(model.versions) > MOST_VERSIONS:
        found.append(f"{name} has {len(model.versions)} versions; at most {MOST_VERSIONS} can be served.")
    for version, release in model.versions.items():
        where = f"{name}.{version}"
        if not _VERSION.fullmatch(version) or version == LATEST:
            found.append(f"{where}: a version's name has letters, digits, - and _, and is not latest.")
        if not release.checkpoint or not _SHA256.fullmatch(release.sha256):
            found.append(f"{where} needs a checkpoint and its sha256 (64 hexadecimal digits).")
        if not 0 <= release.share <= 100:
            found.append(f"{where}: its share is {release.share}; it must be from 0 to 100 percent.")
    total = sum(release.share for release in model.versions.values())
    if total not in {0, 100}:
        found.append(f"The shares of {name} are {total} % together; they must be 100, or all 0.")
    if model.latest and model.latest not in model.versions:
        found.append(f"latest of {name} is {model.latest!r}, which is not one of its versions.")
    for kind, scale in (("stream", model.stream), ("validate", model.validate)):
        if not 0 <= scale.least <= scale.most <= MOST_COPIES or not 1 <= scale.concurrency <= MOST_COPIES:
            found.append(
                f"{name}.{kind}: least {scale.least}, most {scale.most}, concurrency {scale.concurrency} "
                f"cannot be meant (0 to {MOST_COPIES}, least not above most, a concurrency of 1 or more)."
            )
    return found


def _mapping(content: Any, where: str, known: set[str] | None = None) -> Mapping[Any, Any]:
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise UserError(f"{where} must be a list of names with values, not {content!r:.60}.")
    if known is not None and (unknown := sorted(map(str, content.keys() - known))):
        raise UserError(f"{where} has {unknown[0]!r:.60}, which means nothing; known are {_listed(known)}.")
    return content


def _whole(value: Any, where: str) -> int:
    if type(value) is not int:
        raise UserError(f"{where} is {value!r:.60}; it must be a whole number.")
    return value


def _listed(names: Any) -> str:
    return ", ".join(sorted(map(str, names)))
