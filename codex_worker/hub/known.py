"""The weights that a worker may use, whatever a manifest says.

Each is pinned to a commit, and a file whose sha256 is known is used only where it is that file; what no
commit is known of comes from the folder of the worker's operator alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from codex_worker.contract.licences import published_licence
from codex_worker.contract.values import MMS_CODE
from codex_worker.errors import UserError


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
_MMS_PREFIX = "mms-tts-"
_MMS_FILES = tuple(
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
    return name.startswith(_MMS_PREFIX) and MMS_CODE.fullmatch(name.removeprefix(_MMS_PREFIX)) is not None


def known_name(name: str) -> str:
    """The key in WEIGHTS of a name or of a repository that has one entry. Raises UserError for others."""
    if name in WEIGHTS:
        return name
    of_repository = [key for key, wanted in WEIGHTS.items() if wanted.repository == name]
    if len(of_repository) == 1:
        return of_repository[0]
    listed = ", ".join(f"{key} ({wanted.repository})" for key, wanted in WEIGHTS.items())
    raise UserError(
        f"The weights {name!r} are not on this worker's list: {listed}. Choose one of these, or none."
    )


def mms_voice(name: str) -> WeightSet:
    """The files of a voice of MMS, of which no commit is known."""
    return WeightSet(f"facebook/{name}", _MMS_FILES, None)
