"""Which frontend a voice gets, and why. The answer is recorded in every checkpoint."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from codex_worker.errors import DataError, UserError
from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.frontend.compat import CompatFrontend, english_words, refuse_other_languages
from codex_worker.stabletts.frontend.encoding import TextFrontend
from codex_worker.text.casing import has_casing_of_its_own

BEARABLE_LOSS = 0.005
"""`auto` keeps the official reading while it loses at most this share of the letters."""
ENGLISH_SHARE = 0.8
"""Texts with at least this share of dictionary words are taken for English."""
_TEXTS_LOOKED_AT = 2000
_VERSIONS = {"compat": (1, 2), "characters": (1, 2)}


@dataclass(frozen=True)
class FrontendRequest:
    """What a manifest asks for: `model.frontend`, `.language`, `.use_uroman`, `.uroman_lang`.

    `project_languages` are tags of the languages that the project says it translates into.
    """

    name: str = "auto"
    language: str = "english"
    use_uroman: bool | None = None
    uroman_language: str | None = None
    project_languages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in {"auto", "compat", "characters"}:
            raise UserError(f"model.frontend: {self.name!r} is not one of auto, compat, characters")
        if not has_casing_of_its_own(self.language):
            refuse_other_languages(self.language)

    @property
    def languages(self) -> tuple[str, ...]:
        """What the texts are written in: what the manifest says, where it is a language, or the project."""
        return (self.language,) if has_casing_of_its_own(self.language) else self.project_languages


@dataclass(frozen=True)
class FrontendChoice:
    """A frontend and the sentences that say why it was chosen."""

    frontend: TextFrontend
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Loss:
    """What the official alphabet would lose of some texts, in letters."""

    letters: int
    dropped: int
    respelt: int
    read_as_english: int

    @property
    def share(self) -> float:
        """Letters lost or changed, as a share of all letters: 1 at most.

        One letter can count twice: respelt at first, and what it was respelt as dropped then.
        """
        lost = self.dropped + self.respelt + self.read_as_english
        return min(1.0, lost / self.letters) if self.letters else 0.0


def choose_frontend(
    texts: Sequence[str], request: FrontendRequest, *, base: TextFrontend | None = None
) -> FrontendChoice:
    """The frontend for a new training.

    `base` is the frontend of the checkpoint that training starts from, None for the official weights or none.
    """
    if request.name == "auto" and base is not None:
        if isinstance(base, CharactersFrontend):
            grown = CharactersFrontend.learn(texts, base=base, languages=request.languages)
            added = grown.letters[len(base.letters) :]
            more = f", with {len(added)} new letters: {' '.join(added)}" if added else ""
            return FrontendChoice(grown, (f"text frontend characters, as in the base checkpoint{more}",))
        return FrontendChoice(base, (f"text frontend {base.name}, as in the base checkpoint",))
    if request.name == "characters":
        own = base if isinstance(base, CharactersFrontend) else None
        return _characters(texts, "as model.frontend asks", request, base=own)
    if request.name == "compat":
        return FrontendChoice(_compat(request, texts), ("text frontend compat, as model.frontend asks",))
    if request.use_uroman:
        return FrontendChoice(
            _compat(request, texts), ("text frontend compat, as model.use_uroman asks for Latin letters",)
        )
    loss = measure_loss(texts)
    if loss.share <= BEARABLE_LOSS:
        reason = f"the official alphabet loses {loss.share:.1%} of the letters"
        return FrontendChoice(_compat(request, texts), (f"text frontend compat: {reason}",))
    return _characters(
        texts,
        f"the official alphabet would lose or change {loss.share:.1%} of {loss.letters} letters "
        f"({loss.dropped} dropped, {loss.respelt} without their marks or script, "
        f"{loss.read_as_english} in words read as English)",
        request,
    )


def legacy_frontend(texts: Sequence[str], request: FrontendRequest) -> FrontendChoice:
    """The frontend of an older job's checkpoint, which records none.

    Older jobs romanised when the first text was mostly not in Latin script, unless the manifest spoke.
    Training and use of a checkpoint decided this separately, so `model.use_uroman` is the sure way.
    """
    if request.name == "characters":
        raise UserError(
            "model.frontend: characters cannot be used with this checkpoint: an older worker trained it and "
            "read text the compat way. Leave model.frontend out, or train a new voice from it first."
        )
    frontend = replace(_compat(request, texts), version=1)
    how = "with" if frontend.use_uroman else "without"
    source = "as model.use_uroman says" if request.use_uroman is not None else "detected from the first text"
    return FrontendChoice(
        frontend, (f"an older checkpoint: text frontend compat, {how} romanisation ({source})",)
    )


def restore_frontend(name: str, version: int, state: Mapping[str, Any]) -> TextFrontend:
    """The frontend that a checkpoint records; raises DataError when this worker does not know it."""
    if version not in _VERSIONS.get(name, ()):
        raise DataError(
            f"the checkpoint reads text with frontend {name!r:.80} version {version!s:.20}, which this "
            "worker does not know: a newer worker made it, and is needed to use it"
        )
    if name == "characters":
        return CharactersFrontend.from_state(dict(state), version)
    use_uroman, language = state.get("use_uroman"), state.get("uroman_language")
    if not isinstance(use_uroman, bool) or not (language is None or isinstance(language, str)):
        raise DataError("the checkpoint's text frontend 'compat' has no valid state")
    return CompatFrontend(use_uroman=use_uroman, uroman_language=language, version=version)


def measure_loss(texts: Iterable[str]) -> Loss:
    """Letters that the compat frontend would drop, strip or replace, over at most 2000 texts.

    A `c` that is written as a `k` is lost as well, but in names among English words, where it is one.
    """
    looked_at = list(texts)[:_TEXTS_LOOKED_AT]
    words = [word for text in looked_at for word in _words(text)]
    known = english_words(words)
    english = [word for word in words if word in known]
    is_english = bool(words) and len(english) / len(words) >= ENGLISH_SHARE
    frontend = CompatFrontend() if is_english else CompatFrontend(version=1)
    encodings = [frontend.encode(text) for text in looked_at]
    return Loss(
        letters=sum(character.isalpha() for text in looked_at for character in text),
        dropped=sum(symbol.isalpha() for encoding in encodings for symbol in encoding.dropped),
        respelt=sum(
            character.isalpha() or bool(unicodedata.combining(character))
            for encoding in encodings
            for character in encoding.substituted + encoding.unread
        ),
        read_as_english=0 if is_english else sum(len(word) for word in english),
    )


def mostly_not_latin(text: str) -> bool:
    """More than half of the letters have names without LATIN, as older jobs decided."""
    letters = [character for character in text if character.isalpha()]
    foreign = sum("LATIN" not in unicodedata.name(character, "") for character in letters)
    return foreign > len(letters) / 2


def _compat(request: FrontendRequest, texts: Sequence[str]) -> CompatFrontend:
    use_uroman = request.use_uroman
    if use_uroman is None:
        use_uroman = mostly_not_latin(next((text for text in texts if text.strip()), ""))
    return CompatFrontend(use_uroman=use_uroman, uroman_language=request.uroman_language)


def _characters(
    texts: Sequence[str],
    reason: str,
    request: FrontendRequest,
    *,
    base: CharactersFrontend | None = None,
) -> FrontendChoice:
    frontend = CharactersFrontend.learn(texts, base=base, languages=request.languages)
    form = (
        "composed (NFC)" if frontend.composed else "decomposed (NFD), because some composed letters are rare"
    )
    lines = [f"text frontend characters: {reason}; letters are {form}"]
    if frontend.letters:
        lines.append(
            f"{len(frontend.letters)} letters are new to the official weights: {' '.join(frontend.letters)}"
        )
    lines.append(
        f"apostrophes and hyphens are ' and -, however typed; marks that are letters: {frontend.marks}"
    )
    rare = frontend.rare_letters(texts)
    if rare:
        listed = ", ".join(f"{symbol} ({count})" for symbol, count in list(rare.items())[:30])
        lines.append(f"{len(rare)} symbols are heard too seldom to be learnt well: {listed}")
    return FrontendChoice(frontend, tuple(lines))


def _words(text: str) -> list[str]:
    """Words of plain ASCII letters: only these can be read as English without losing anything visible."""
    stripped = (word.strip(".,;:!?\"'()[]“”‘’").lower() for word in text.split())
    return [word for word in stripped if word.isascii() and word.isalpha()]
