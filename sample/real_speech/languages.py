"""The languages that the prompts are spoken in, whose they are, and what their texts are written with."""

import re
from dataclasses import dataclass

from sample.project_files import Tongue


@dataclass(frozen=True)
class Licence:
    """What the packages' ``copyright`` file says of a language's recordings and texts."""

    name: str
    url: str


BY_SA = Licence("CC BY-SA 3.0", "https://creativecommons.org/licenses/by-sa/3.0/")
BY = Licence("CC BY 3.0", "https://creativecommons.org/licenses/by/3.0/")

LATIN = "A-Za-zÀ-ÖØ-öø-ÿ"
CYRILLIC = "А-Яа-яЁё"


@dataclass(frozen=True)
class Language:
    """One language of the packages: one professional speaker, and a list of what is said."""

    code: str
    """As the packages are named."""
    tongue: Tongue
    speaker: str
    """Whom the packages' ``copyright`` file names."""
    licence: Licence
    digits: tuple[str, ...]
    """The words for 0 to 9: the lists have figures where words are said."""
    letters: str = LATIN
    """A regular expression's class. Texts with other letters do not say what is heard."""

    @property
    def packages(self) -> tuple[str, str]:
        """The package of the texts, and that of the recordings (G.722, 16 kHz)."""
        return f"asterisk-core-sounds-{self.code}", f"asterisk-core-sounds-{self.code}-g722"

    @property
    def credit(self) -> str:
        """What has to be said wherever the recordings go."""
        return (
            f"{self.tongue.name} voice prompts of Asterisk, spoken by {self.speaker}, {self.licence.name} "
            f"({self.licence.url}); changed: put into a Codex project, encoded anew, some spoilt on purpose."
        )

    def writes(self, text: str) -> bool:
        """Whether a text has letters, and all of them are the language's own."""
        letters = [letter for letter in text if letter.isalnum()]
        own = re.compile(f"[{self.letters}]")
        return bool(letters) and all(own.match(letter) for letter in letters)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LANGUAGES = {
    language.code: language
    for language in (
        Language(
            "en",
            Tongue("eng", "English"),
            "Allison Smith",
            BY_SA,
            _words("zero one two three four five six seven eight nine"),
        ),
        Language(
            "es",
            Tongue("spa", "Spanish"),
            "Allison Smith",
            BY_SA,
            _words("cero uno dos tres cuatro cinco seis siete ocho nueve"),
        ),
        Language(
            "fr",
            Tongue("fra", "French"),
            "June Wallack",
            BY_SA,
            _words("zéro un deux trois quatre cinq six sept huit neuf"),
            LATIN + "Œœ",
        ),
        Language(
            "it",
            Tongue("ita", "Italian"),
            "Carlo Flora",
            BY,
            _words("zero uno due tre quattro cinque sei sette otto nove"),
        ),
        Language(
            "ru",
            Tongue("rus", "Russian"),
            "a speaker of ivrvoice.ru (provided by Maxim Topal)",
            BY,
            _words("ноль один два три четыре пять шесть семь восемь девять"),
            CYRILLIC,
        ),
    )
}
