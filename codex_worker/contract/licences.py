"""The licences of published weights, and what they mean for whoever makes a model from them.

A model that is made from the weights of others stands under their terms, and so do its children: each of them
says under which licence the first of its ancestors was published.
"""

from collections.abc import Mapping

from codex_worker.contract.plain_text import plain_line
from codex_worker.errors import UserError

MIT, APACHE, NON_COMMERCIAL = "MIT", "Apache-2.0", "CC-BY-NC-4.0"  # by their SPDX names
OWN = "none"  # from random weights: nobody else has a say
_LONGEST = 60

# As the model cards of the hub say it; Omnilingual ASR also in its repository's LICENSE.
LICENCES: Mapping[str, str] = {
    "KdaiP/StableTTS1.1": MIT,
    "facebook/w2v-bert-2.0": MIT,
    "facebook/wav2vec2-base": APACHE,
    "facebook/wav2vec2-large-xlsr-53": APACHE,
    "facebook/wav2vec2-xls-r-300m": APACHE,
    "facebook/wav2vec2-xls-r-1b": APACHE,
    "facebook/mms-300m": NON_COMMERCIAL,
    "facebook/mms-1b": NON_COMMERCIAL,
    "hf-audio/omniasr-ctc-300m-v2": APACHE,
    "hf-audio/omniasr-ctc-1b-v2": APACHE,
}
"""By the repository that the weights are published in."""
_MMS_VOICES = "facebook/mms-tts-"  # one for each of a thousand languages, all of one licence


def published_licence(repository: str) -> str:
    """The licence of the weights in a repository that this worker knows."""
    return NON_COMMERCIAL if repository.startswith(_MMS_VOICES) else LICENCES[repository]


def licence_of(metadata: Mapping[str, str]) -> str | None:
    """The licence that a checkpoint's metadata tell of; None where they tell nothing.

    A checkpoint from before licences were noted is known by the published weights that it started from.
    """
    if said := plain_line(metadata.get("licence", "")).strip():
        return said[:_LONGEST]
    for key in ("started_from", "base", "official_revision"):
        start = metadata.get(key, "").partition("@")[0]
        if start == "random weights":
            return OWN
        if start in LICENCES:
            return LICENCES[start]
    return None


def forbids_commercial_use(licence: str | None) -> bool:
    """Whether a licence is one of Creative Commons that excludes commercial use, however it is written."""
    parts = (licence or "").lower().replace("_", "-").replace(" ", "-").split("-")
    return "nc" in parts or "noncommercial" in "".join(parts)


def terms_of(licence: str | None) -> str:
    """What whoever uses a model has to know of its licence, as a sentence; empty where there is nothing."""
    if not forbids_commercial_use(licence):
        return ""
    return (
        f"It is made from weights under {_spoken(licence)}: neither it nor a model that is made from it may "
        "be used commercially."
    )


def refuse_non_commercial(licence: str | None, what: str) -> None:
    """Raises UserError where a job that is for commercial use (`model.commercial`) would use `what`."""
    if forbids_commercial_use(licence):
        raise UserError(
            f"The manifest says model.commercial, and {what} is under {_spoken(licence)}, which forbids "
            "commercial use. Choose another model to start from, or leave model.commercial out."
        )


def _spoken(licence: str | None) -> str:
    return "CC BY-NC 4.0" if licence == NON_COMMERCIAL else str(licence)
