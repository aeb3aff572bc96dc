"""Official weights from the Hugging Face hub: fetched once, checked, kept, and found again without a network.

Only the repositories listed here are ever asked for, whatever a manifest says. Each is pinned to a commit,
and a file whose sha256 is known is used only where it is that file; what no commit is known of comes from the
folder of the worker's operator alone. The commit is recorded in every checkpoint made from them.
"""

import hashlib
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codex_worker.contract.licences import published_licence, terms_of
from codex_worker.contract.values import MMS_CODE
from codex_worker.errors import DataError, ResourceError, SystemFault, UserError, clause
from codex_worker.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExpectedFile:
    """A file of a repository, with size and sha256 where they were published elsewhere as well."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class WeightSet:
    """Weights under one name: some files of one repository at one revision."""

    repository: str
    files: tuple[ExpectedFile, ...]
    # A commit, or the branch where every file has a known sha256; None: only an operator's folder has them.
    revision: str | None = "main"

    @property
    def licence(self) -> str:
        """The licence that they are published under."""
        return published_licence(self.repository)

    @property
    def is_folder(self) -> bool:
        """Whether the weights are used as a folder (a Hugging Face model) or as a single file."""
        return len(self.files) > 1


# Weights in other formats than safetensors can run code when they are read, so they are not asked for.
SAFE_SUFFIX = ".safetensors"
TRANSFORMERS_FILES = (
    ExpectedFile("config.json"),
    ExpectedFile("preprocessor_config.json"),
    ExpectedFile(f"model{SAFE_SUFFIX}"),
)
# What is read of a network that writes letters: also its own letters.
READER_FILES = (
    ExpectedFile("config.json"),
    ExpectedFile(f"model{SAFE_SUFFIX}"),
    ExpectedFile("tokenizer.json"),
)
# The last commit of September 2024, as the hub's page and installers that pin it have it.
_STABLETTS_COMMIT = "ce2a21a5fad05fc46573b084320e721da72caf95"
MMS_PREFIX = "mms-tts-"
MMS_FILES = tuple(
    ExpectedFile(path)
    for path in ("config.json", "vocab.json", "tokenizer_config.json", f"model{SAFE_SUFFIX}")
)


def _base_model(repository: str, commit: str) -> WeightSet:
    return WeightSet(repository, TRANSFORMERS_FILES, commit)


def _of_an_operator(repository: str) -> WeightSet:
    """Weights of which no commit is known that could be pinned."""
    return WeightSet(repository, READER_FILES, None)


WEIGHTS: Mapping[str, WeightSet] = {
    "stabletts": WeightSet(
        "KdaiP/StableTTS1.1",
        (
            ExpectedFile(
                "StableTTS/checkpoint_0.pt",
                126_657_600,
                "b041bea13241b402bbfcdbfffd14381774be1179bae78e99ebd505d6d89f9367",
            ),
        ),
        _STABLETTS_COMMIT,
    ),
    "vocos": WeightSet(
        "KdaiP/StableTTS1.1",
        (
            ExpectedFile(
                "vocoders/vocos.pt",
                56_666_508,
                "0cfbc25b8ac9e2994867af215b4cb5577cf60a52556c3bd1156b6954d0e9db98",
            ),
        ),
        _STABLETTS_COMMIT,
    ),
    "w2v-bert-2.0": WeightSet(
        "facebook/w2v-bert-2.0",
        (
            ExpectedFile(
                "config.json", 1_874, "f5572bd5998b68182e9c328a43127ed21fed687f6910497136b91a4e3b0e3675"
            ),
            ExpectedFile(
                "preprocessor_config.json",
                275,
                "8e6281aad64f97e40534135a59dcc5d33571efae376f2a25adf5551951897ab4",
            ),
            ExpectedFile(
                f"model{SAFE_SUFFIX}",
                2_322_063_736,
                "eb890c9660ed6e3414b6812e27257b8ce5454365d5490d3ad581ea60b93be043",
            ),
        ),
        revision="da985ba0987f70aaeb84a80f2851cfac8c697a7b",
    ),
    "wav2vec2-base": _base_model("facebook/wav2vec2-base", "0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8"),
    "wav2vec2-large-xlsr-53": _base_model(
        "facebook/wav2vec2-large-xlsr-53", "c3f9d884181a224a6ac87bf8885c84d1cff3384f"
    ),
    "wav2vec2-xls-r-300m": _base_model(
        "facebook/wav2vec2-xls-r-300m", "1a640f32ac3e39899438a2931f9924c02f080a54"
    ),
    "wav2vec2-xls-r-1b": _base_model(
        "facebook/wav2vec2-xls-r-1b", "35eaea9a0ed0f97592277d79208e40ab8917d1e3"
    ),
    "mms-300m": _base_model("facebook/mms-300m", "4ee317ce793c53dbc041fc4376c7558292dd38dc"),
    "mms-1b": _base_model("facebook/mms-1b", "99aa7c40c50aa514c81cfa705ae05f9a10f42fc1"),
    "omniasr-ctc-300m-v2": _of_an_operator("hf-audio/omniasr-ctc-300m-v2"),
    "omniasr-ctc-1b-v2": _of_an_operator("hf-audio/omniasr-ctc-1b-v2"),
}


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
        known = _known_name(name)
        if known not in self._fetched:
            self._fetched[known] = self._local(WEIGHTS[known]) or self._from_hub(known, WEIGHTS[known])
            for note in self._fetched[known].notes:
                logger.warning(note)
        return self._fetched[known]

    def is_here(self, name: str) -> bool:
        """Whether all files of these weights are on this machine; `fetch` looks at what is in them."""
        wanted, folder = WEIGHTS[_known_name(name)], self.settings.local_folder
        for base in (folder / wanted.repository, folder) if folder is not None else ():
            if all(_first_file(base / f.path, base / Path(f.path).name) for f in wanted.files):
                return True
        revision = _cached_revision(self.settings.cache_folder, wanted)
        if revision is None:
            return False
        snapshot = _snapshot(self.settings.cache_folder, wanted.repository, revision)
        return all((snapshot / file.path).exists() for file in wanted.files)

    def _mms_voice(self, name: str) -> OfficialWeights:
        wanted, folder = WeightSet(f"facebook/{name}", MMS_FILES, None), self.settings.local_folder
        if name not in self._fetched:
            # Only in a folder of its own: the names of its files are those of any other model.
            found = None if folder is None else self._local(wanted, (folder / wanted.repository,))
            if found is None:
                files = ", ".join(file.path for file in MMS_FILES)
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
            promised = revision.sha256.get(file.path) or _cached_etag(path)
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
        cached = _cached_revision(self.settings.cache_folder, wanted)
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
            if not (_snapshot(folder, wanted.repository, revision.commit) / file.path).exists()
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


def only_of_an_operator(name: str) -> str:
    """Why weights are not fetched of which no commit is pinned, and what to do, as sentences."""
    wanted = WEIGHTS[name]
    listed = ", ".join(file.path for file in wanted.files)
    return (
        f"The weights {name} are not fetched from the hub, because this worker knows no commit of "
        f"{wanted.repository} that it could keep to. Whoever runs the worker can put {listed} into the "
        f"folder {wanted.repository} below a folder for weights (CODEX_WEIGHTS_FOLDER). Or choose another "
        "base model, for example facebook/w2v-bert-2.0."
    )


def is_mms_voice(name: str) -> bool:
    """Whether this is the name of a voice of MMS, `mms-tts-` and a code."""
    return name.startswith(MMS_PREFIX) and MMS_CODE.fullmatch(name.removeprefix(MMS_PREFIX)) is not None


def _known_name(name: str) -> str:
    if name in WEIGHTS:
        return name
    of_repository = [key for key, wanted in WEIGHTS.items() if wanted.repository == name]
    if len(of_repository) == 1:
        return of_repository[0]
    listed = ", ".join(f"{key} ({wanted.repository})" for key, wanted in WEIGHTS.items())
    raise UserError(
        f"The weights {name!r} are not on this worker's list: {listed}. Choose one of these, or none."
    )


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


def _snapshot(cache_folder: Path, repository: str, commit: str) -> Path:
    return cache_folder / f"models--{repository.replace('/', '--')}" / "snapshots" / commit


def _cached_revision(cache_folder: Path, wanted: WeightSet) -> str | None:
    """The pinned commit if it is there, else what `main` meant when the cache was last filled, or any."""
    if wanted.revision is None:
        return None
    if wanted.revision != "main":
        there = _snapshot(cache_folder, wanted.repository, wanted.revision).is_dir()
        return wanted.revision if there else None
    folder = cache_folder / f"models--{wanted.repository.replace('/', '--')}"
    try:
        return (folder / "refs" / "main").read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        snapshots = sorted((folder / "snapshots").glob("*"), key=lambda path: path.stat().st_mtime)
        return snapshots[-1].name if snapshots else None


def _cached_etag(path: Path) -> str | None:
    """The sha256 that the hub gave when it was asked: the cache names large files by it."""
    name = path.resolve().name
    return name if len(name) == 64 and set(name) <= set("0123456789abcdef") else None


def _first_file(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
