"""Official weights: fetched once from the hub, checked, kept, and found again without a network."""

import hashlib
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codex_worker.contract.licences import terms_of
from codex_worker.errors import DataError, ResourceError, SystemFault, UserError, clause
from codex_worker.hub.cached import cached_etag, cached_revision, snapshot
from codex_worker.hub.known import (
    SAFE_SUFFIX,
    WEIGHTS,
    ExpectedFile,
    WeightSet,
    is_mms_voice,
    known_name,
    mms_voice,
    only_of_an_operator,
)
from codex_worker.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubSettings:
    """Where weights come from.

    `local_folder` holds `<repository>/<path>` or just the file names; it is looked at first and makes the hub
    unnecessary. `offline` forbids the network.
    """

    cache_folder: Path
    endpoint: str = "https://huggingface.co"
    offline: bool = False
    local_folder: Path | None = None
    timeout_s: float = 30.0

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where weights lie on this machine."""
        return (self.cache_folder,) if self.local_folder is None else (self.cache_folder, self.local_folder)


def hub_settings(settings: Settings, environment: Mapping[str, str]) -> HubSettings:
    """Where an operator wants weights to come from, as huggingface_hub itself reads it."""
    home = settings.hf_home or Path(environment.get("HOME", "~")).expanduser() / ".cache/huggingface"
    return HubSettings(
        settings.hf_hub_cache or home / "hub",
        endpoint=settings.hf_endpoint or HubSettings.endpoint,
        offline=settings.hf_hub_offline,
        local_folder=settings.weights_folder,
    )


@dataclass(frozen=True)
class OfficialWeights:
    """Weights on this machine: a file or a folder, the commit they are of, and what is to be said of them."""

    path: Path
    revision: str
    notes: tuple[str, ...] = ()


class Hub:
    """Fetches official weights. A revision is resolved once for each repository and then stays."""

    def __init__(self, settings: HubSettings) -> None:
        self.settings = settings
        self._revisions: dict[str, _Revision] = {}
        self._fetched: dict[str, OfficialWeights] = {}

    def fetch(self, name: str) -> OfficialWeights:
        """The weights of this name (a key of WEIGHTS, or the repository's id where that has one entry).

        A voice of MMS (`mms-tts-swh`) is taken from the operator's folder only: there are over a thousand,
        and no commit of any is known here.

        Raises:
            UserError: no such weights are on the list, or no such voice is in the folder.
            SystemFault: the hub cannot be reached and the cache has no copy.
            DataError: what was downloaded is not what the hub says it is, or what it is known to be.
            ResourceError: no room on the disk.
        """
        if is_mms_voice(name):
            return self._mms_voice(name)
        known = known_name(name)
        if known not in self._fetched:
            self._fetched[known] = self._local(WEIGHTS[known]) or self._from_hub(known, WEIGHTS[known])
            for note in self._fetched[known].notes:
                logger.warning(note)
        return self._fetched[known]

    def is_here(self, name: str) -> bool:
        """Whether all files of these weights are on this machine; `fetch` looks at what is in them."""
        wanted, folder = WEIGHTS[known_name(name)], self.settings.local_folder
        for base in (folder / wanted.repository, folder) if folder is not None else ():
            if all(_first_file(base / f.path, base / Path(f.path).name) for f in wanted.files):
                return True
        revision = cached_revision(self.settings.cache_folder, wanted)
        if revision is None:
            return False
        cached = snapshot(self.settings.cache_folder, wanted.repository, revision)
        return all((cached / file.path).exists() for file in wanted.files)

    def _mms_voice(self, name: str) -> OfficialWeights:
        wanted, folder = mms_voice(name), self.settings.local_folder
        if name not in self._fetched:
            # Only in a folder of its own: the names of its files are those of any other model.
            found = None if folder is None else self._local(wanted, (folder / wanted.repository,))
            if found is None:
                files = ", ".join(file.path for file in wanted.files)
                raise UserError(
                    f"The voice {wanted.repository} is not on this worker, which does not download voices of "
                    f"MMS. Ask its operator to put {files} of it into facebook/{name} below the folder that "
                    "CODEX_WEIGHTS_FOLDER names, or train a voice of the project."
                )
            self._fetched[name] = found
        return self._fetched[name]

    def _local(self, wanted: WeightSet, places: tuple[Path, ...] | None = None) -> OfficialWeights | None:
        folder = self.settings.local_folder
        if folder is None:
            return None
        for base in places or (folder / wanted.repository, folder):
            found = [_first_file(base / file.path, base / Path(file.path).name) for file in wanted.files]
            paths = [path for path in found if path is not None]
            if len(paths) == len(wanted.files):
                digests = [_sha256(path) for path in paths]
                notes = _remarks(wanted, paths, digests)
                together = hashlib.sha256("".join(digests).encode()).hexdigest()
                path = paths[0].parent if wanted.is_folder else paths[0]
                return OfficialWeights(path, f"local:{together[:16]}", tuple(notes))
        return None

    def _from_hub(self, name: str, wanted: WeightSet) -> OfficialWeights:
        if wanted.revision is None:
            raise UserError(only_of_an_operator(name))
        revision = self._resolve(wanted, name)
        self._check_room(wanted, revision)
        paths = [self._download(wanted.repository, file.path, revision) for file in wanted.files]
        digests = []
        for path, file in zip(paths, wanted.files, strict=True):
            digest = _sha256(path)
            promised = revision.sha256.get(file.path) or cached_etag(path)
            if promised and digest != promised:
                # A broken copy would be found in the cache again and again.
                path.resolve().unlink(missing_ok=True)
                raise DataError(
                    f"{file.path} of {wanted.repository} is damaged: its sha256 is {digest}, but "
                    f"the hub says {promised}. The copy was removed; run the job again to download it anew."
                )
            if file.sha256 and digest != file.sha256:
                unlike = _unlike(wanted, file, path, digest)
                path.resolve().unlink(missing_ok=True)
                raise DataError(
                    f"{unlike} Somebody may have changed the repository, so it is not used, and the copy was "
                    "removed. Whoever runs the worker can put the right file into a folder "
                    "(CODEX_WEIGHTS_FOLDER)."
                )
            digests.append(digest)
        notes = (terms,) if (terms := terms_of(wanted.licence)) else ()
        logger.info("Weights %s: %s at revision %s", name, wanted.repository, revision.commit)
        path = paths[0].parent if wanted.is_folder else paths[0]
        return OfficialWeights(path, revision.commit, notes)

    def _resolve(self, wanted: WeightSet, name: str) -> "_Revision":
        repository = wanted.repository
        if repository in self._revisions:
            return self._revisions[repository]
        cached = cached_revision(self.settings.cache_folder, wanted)
        if self.settings.offline:
            if cached is None:
                raise SystemFault(
                    f"The weights {name} ({repository}) are not in {self.settings.cache_folder} and "
                    "HF_HUB_OFFLINE forbids downloading them. Start the worker once with a network, or "
                    "give it a folder with them."
                )
            revision = _Revision(cached, {}, {})
        else:
            revision = self._ask_hub(wanted, cached)
        self._revisions[repository] = revision
        return revision

    def _ask_hub(self, wanted: WeightSet, cached: str | None) -> "_Revision":
        from huggingface_hub import HfApi
        from huggingface_hub.errors import RevisionNotFoundError

        repository = wanted.repository
        try:
            info = HfApi(endpoint=self.settings.endpoint, token=False).model_info(
                repository,
                revision=wanted.revision,
                files_metadata=True,
                timeout=self.settings.timeout_s,
            )
        except RevisionNotFoundError as error:
            raise UserError(
                f"{repository} has no revision {wanted.revision} at {self.settings.endpoint}, and no other "
                "one is known to be good. Choose another base model, or give the worker a folder with it."
            ) from error
        except Exception as error:
            # Whatever went wrong on the way, a copy of an earlier day is as good.
            if cached is not None:
                logger.warning(
                    "The hub did not answer (%s); %s at %s is in the cache", error, repository, cached
                )
                return _Revision(cached, {}, {})
            raise SystemFault(
                f"{self.settings.endpoint} did not answer for {repository}: {clause(error)}. "
                "Check the network, or give the worker a folder that has the weights."
            ) from error
        if not info.sha:
            raise SystemFault(f"{self.settings.endpoint} names no commit for {repository}")
        large = {file.rfilename: file.lfs for file in info.siblings or () if file.lfs}
        return _Revision(
            info.sha,
            {path: lfs.sha256 for path, lfs in large.items()},
            {path: lfs.size for path, lfs in large.items()},
        )

    def _download(self, repository: str, path: str, revision: "_Revision") -> Path:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            return Path(
                hf_hub_download(
                    repository,
                    path,
                    revision=revision.commit,
                    cache_dir=self.settings.cache_folder,
                    endpoint=self.settings.endpoint,
                    local_files_only=self.settings.offline,
                    token=False,
                    etag_timeout=self.settings.timeout_s,
                )
            )
        except LocalEntryNotFoundError as error:
            raise SystemFault(
                f"{path} of {repository} at {revision.commit} is not in {self.settings.cache_folder} and "
                f"could not be downloaded from {self.settings.endpoint}. Check the network, or give the "
                "worker a folder with it."
            ) from error
        except EntryNotFoundError as error:
            if path.endswith(SAFE_SUFFIX):
                raise UserError(
                    f"{repository} has no {path} at revision {revision.commit}, and weights in other formats "
                    "can run code when they are read. Choose another base model, for example "
                    "facebook/w2v-bert-2.0, or give the worker a folder with safetensors of this one."
                ) from error
            raise SystemFault(f"{repository} has no file {path} at revision {revision.commit}") from error
        except Exception as error:  # the client library lets its transport's own errors through
            raise SystemFault(f"{path} of {repository} could not be downloaded: {error}") from error

    def _check_room(self, wanted: WeightSet, revision: "_Revision") -> None:
        folder = self.settings.cache_folder
        folder.mkdir(parents=True, exist_ok=True)
        missing = [
            revision.size_bytes.get(file.path, 0)
            for file in wanted.files
            if not (snapshot(folder, wanted.repository, revision.commit) / file.path).exists()
        ]
        free = shutil.disk_usage(folder).free
        if sum(missing) > free:
            raise ResourceError(
                f"{wanted.repository} needs {sum(missing) / 1e6:.0f} MB in {folder}, "
                f"which has {free / 1e6:.0f} MB free"
            )


@dataclass(frozen=True)
class _Revision:
    commit: str
    sha256: Mapping[str, str]
    size_bytes: Mapping[str, int]


def _remarks(wanted: WeightSet, paths: list[Path], digests: list[str]) -> list[str]:
    """The terms of an operator's weights, and sentences about files that differ from those published."""
    notes = [terms] if (terms := terms_of(wanted.licence)) else []
    for file, path, digest in zip(wanted.files, paths, digests, strict=True):
        if file.sha256 and digest != file.sha256:
            notes.append(f"{_unlike(wanted, file, path, digest)} It is used as it is.")
    return notes


def _unlike(wanted: WeightSet, file: ExpectedFile, path: Path, digest: str) -> str:
    return (
        f"{file.path} of {wanted.repository} is not the file known so far: {path.stat().st_size} bytes, "
        f"sha256 {digest}; expected {file.size_bytes} bytes, sha256 {file.sha256}."
    )


def _first_file(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
