"""How older jobs and the official weights read text: optional romanisation, then English pronunciation.

Every quirk is kept, because a checkpoint that learnt with them needs them when it speaks: words outside the
CMU dictionary stay spelt and get an asterisk, accents are removed, numbers become English words. `c` and `q`
have no symbol: version 1 of the reading, that of older jobs, drops them from words that are spelt, and
version 2 writes them with others. The libraries are loaded when the first text is read.
"""

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from codex_worker.errors import UserError
from codex_worker.stabletts.frontend.ascii_letters import to_ascii
from codex_worker.stabletts.frontend.encoding import Encoding, without_bare_signs
from codex_worker.stabletts.frontend.spelling import spelt
from codex_worker.stabletts.symbols import official_ids, official_symbols

Romanise = Callable[[str, str | None], str]

_TITLES = {
    "mrs": "misess",
    "mr": "mister",
    "dr": "doctor",
    "st": "saint",
    "co": "company",
    "jr": "junior",
    "maj": "major",
    "gen": "general",
    "drs": "doctors",
    "rev": "reverend",
    "lt": "lieutenant",
    "hon": "honorable",
    "sgt": "sergeant",
    "capt": "captain",
    "esq": "esquire",
    "ltd": "limited",
    "col": "colonel",
    "ft": "fort",
}
_TITLE = re.compile(rf"\b({'|'.join(sorted(_TITLES, key=len, reverse=True))})\.")
_LONGEST_NUMBER = 36  # inflect has no names beyond; longer ones are read digit by digit
_VOWELS = "aeiouæɑɔəɛɪʊ"
_BROAD_TO_NARROW = str.maketrans({"r": "ɹ", "ʤ": "dʒ", "ʧ": "tʃ"})


@dataclass(frozen=True)
class CompatFrontend:
    """The English path of StableTTS 1.1, with or without uroman in front of it.

    `romanise(text, language_code)` can be handed in; by default uroman is loaded when it is first needed.
    Version 1 is for checkpoints that were trained with it.
    """

    use_uroman: bool = False
    uroman_language: str | None = None
    romanise: Romanise | None = field(default=None, compare=False, repr=False)
    version: int = 2

    name = "compat"

    @property
    def symbols(self) -> tuple[str, ...]:
        """The official alphabet."""
        return official_symbols()

    def state(self) -> dict[str, Any]:
        """Whether, and for which language, text is romanised first."""
        return {"language": "english", "use_uroman": self.use_uroman, "uroman_language": self.uroman_language}

    def encode(self, text: str) -> Encoding:
        """Read one text; version 1 as an older job would."""
        if self.use_uroman:
            text = (self.romanise or _uroman)(text, self.uroman_language)
        phones, unread = _pronounce(text, self._spell)
        ids = official_ids()
        respelt = [
            letter for letter in text if letter.isalpha() and not letter.isascii() and letter not in unread
        ]
        encoding = Encoding(
            phones=phones,
            ids=tuple(ids[phone] for phone in phones if phone in ids),
            dropped=tuple(phone for phone in phones if phone not in ids),
            unread=tuple(unread),
            substituted=tuple(respelt),
        )
        return without_bare_signs(encoding)

    def _spell(self, word: str) -> str:
        """A word that has no pronunciation."""
        return word if self.version == 1 else spelt(word, romanised=self.use_uroman)


def refuse_other_languages(language: str) -> None:
    """Only the English path exists here; raises UserError for the others by name."""
    if language in {"chinese", "japanese"}:
        raise UserError(
            f"model.language: {language} is not supported: its pronunciation tables are not part of this "
            "worker. Leave it out and set model.frontend: characters to learn the project's own letters."
        )
    if language != "english":
        raise UserError(
            f"model.language: {language!r} is not a reading this worker knows. It chooses pronunciation "
            "rules, not the project's language: leave it out, or write english, which is how older jobs read "
            "any language."
        )


def english_words(words: Iterable[str]) -> set[str]:
    """Those of the lower-case words whose spelling the English path would replace by a pronunciation."""
    return set(words) & _dictionary().keys()


def _pronounce(text: str, spell: Callable[[str], str]) -> tuple[str, list[str]]:
    """Phones of a text, and the characters that vanish on the way there.

    `spell` writes the words that have no pronunciation.
    """
    from eng_to_ipa import preserve_punc

    unread = [character for character in text if not character.isspace() and not to_ascii(character).strip()]
    written = _expand_numbers(_TITLE.sub(lambda found: _TITLES[found[1]], to_ascii(text).lower()))
    tokens = preserve_punc(written)
    for token, kept in zip(written.split(), tokens, strict=True):
        unread.extend((Counter(token) - Counter("".join(kept))).elements())
    phones = " ".join(
        "".join((before, _pronounce_word(word, spell(word)), after)) for before, word, after in tokens
    )
    phones = " ".join(_with_dark_l(word) for word in phones.split()).translate(_BROAD_TO_NARROW)
    return phones.replace("...", "…"), unread


def _with_dark_l(word: str) -> str:
    """The first `l` behind a word's last vowel is a dark one."""
    last_vowel = max(word.rfind(vowel) for vowel in _VOWELS)
    at = word.find("l", last_vowel + 1)
    return word if at < 0 else f"{word[:at]}ɫ{word[at + 1 :]}"


@lru_cache(maxsize=100_000)
def _pronounce_word(word: str, as_spelt: str) -> str:
    """The last of a word's pronunciations in order; its spelling with an asterisk when it has none."""
    from eng_to_ipa import cmu_to_ipa

    entries = _dictionary().get(word, [f"__IGNORE__{as_spelt}"])
    return str(cmu_to_ipa([entries], stress_marking="both")[0][-1])


@cache
def _dictionary() -> dict[str, list[str]]:
    """The CMU dictionary that eng_to_ipa carries; read once, because it has no index to look words up by."""
    import eng_to_ipa

    path = Path(eng_to_ipa.__file__).parent / "resources" / "CMU_dict.db"
    entries: dict[str, list[str]] = {}
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        for word, phonemes in database.execute("SELECT word, phonemes FROM dictionary"):
            entries.setdefault(word, []).append(phonemes)
    return entries


def _expand_numbers(text: str) -> str:
    text = re.sub(r"[0-9][0-9,]+[0-9]", lambda found: found[0].replace(",", ""), text)
    text = re.sub(r"\$([0-9.,]*[0-9]+)", lambda found: _dollars(found[1]), text)
    text = re.sub(r"[0-9]+\.[0-9]+", lambda found: found[0].replace(".", " point "), text)
    text = re.sub(r"[0-9]+(?:st|nd|rd|th)", lambda found: _number_words()(found[0]), text)
    return re.sub(r"[0-9]+", lambda found: _cardinal(found[0]), text)


def _dollars(amount: str) -> str:
    whole, _, cents = amount.partition(".")
    if "." in cents or not f"{whole}{cents}".isdigit():
        return f"{amount} dollars"
    parts = [
        f"{int(count)} {unit}{'' if int(count) == 1 else 's'}"
        for count, unit in ((whole, "dollar"), (cents, "cent"))
        if count and int(count)
    ]
    return ", ".join(parts) or "zero dollars"


def _cardinal(digits: str) -> str:
    """Numbers between 1000 and 3000 are read as years, the others in full."""
    words = _number_words()
    number = int(digits)
    if not 1000 < number < 3000:
        return words(digits, andword="", group=1 if len(digits) > _LONGEST_NUMBER else 0)
    if number == 2000:
        return "two thousand"
    if 2000 < number < 2010:
        return f"two thousand {words(number % 100)}"
    if number % 100 == 0:
        return f"{words(number // 100)} hundred"
    return words(number, andword="", zero="oh", group=2).replace(", ", " ")


@cache
def _number_words() -> Callable[..., str]:
    import inflect

    return inflect.engine().number_to_words


def _uroman(text: str, language_code: str | None) -> str:
    from codex_worker.text.romanise import romanise

    return romanise(text, language_code)
