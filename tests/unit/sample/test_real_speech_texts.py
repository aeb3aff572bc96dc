"""The texts of the prompts become what a translator would type, and only what is heard."""

import numpy as np
import pytest

from sample.real_speech.corpus import read_prompts, tidy
from sample.real_speech.languages import LANGUAGES
from sample.real_speech.verses import roles
from tests.support.prompts import write_g722, write_list

ENGLISH, FRENCH, RUSSIAN = (LANGUAGES[code] for code in ("en", "fr", "ru"))
SECOND = np.full(16_000, 0.1, np.float32)


@pytest.mark.parametrize(
    ("listed", "language", "text"),
    [
        ("Thank you.", ENGLISH, "Thank you."),
        ("  Two   spaces.  And more ", ENGLISH, "Two spaces. And more"),
        ("press 0 for help", ENGLISH, "press zero for help"),
        ("Press 1 , or 2.", ENGLISH, "Press one, or two."),
        ("Нажмите 1 для", RUSSIAN, "Нажмите один для"),
        ("Tapez 9!", FRENCH, "Tapez neuf!"),
        ("the extension is ...", ENGLISH, "the extension is"),
        ("... using your keypad", ENGLISH, "using your keypad"),
        ("dash [-]", ENGLISH, "dash"),
        ("Say it (after a beep) twice", ENGLISH, "Say it twice"),
        ("<beep ascending>", ENGLISH, ""),
        ("Do they belong together?.", ENGLISH, "Do they belong together?"),
        ("key: said", ENGLISH, "said"),
        ("28.8 kilobit and 1234", ENGLISH, "28.8 kilobit and 1234"),
        ("I'll hang up", ENGLISH, "I'll hang up"),
    ],
)
def test_a_listed_text_is_tidied(listed, language, text):
    assert tidy(listed, "key", language) == text


@pytest.mark.parametrize(
    ("key", "text", "language", "used"),
    [
        ("vm-login", "Enter your mailbox.", ENGLISH, True),
        ("vm-login", "Введите номер", RUSSIAN, True),
        ("vm-first", "первoe", RUSSIAN, False),  # with two Latin letters
        ("vm-login", "Введите mailbox", RUSSIAN, False),
        ("sœur", "Ma sœur", FRENCH, True),
        ("demo", "dial 500", ENGLISH, False),
        ("dictate/enter", "followed by #", ENGLISH, False),
        ("menu", "включить / выключить", RUSSIAN, False),
        ("beep", "beep", ENGLISH, False),
        ("silence/3", "three seconds of silence", ENGLISH, False),
        ("spy-sip", "sip", ENGLISH, False),
        ("letters/at", "[@]", ENGLISH, False),
        ("quotes", "Статус «важно» убран", RUSSIAN, True),
    ],
)
def test_a_prompt_is_used_where_its_text_says_what_is_heard(tmp_path, key, text, language, used):
    write_list(tmp_path, language, {key: text})
    write_g722(tmp_path / f"usr/share/asterisk/sounds/{language.code}_XX_f_Somebody/{key}.g722", SECOND)
    assert [prompt.key for prompt in read_prompts(tmp_path, language)] == [key] * used


def test_prompts_without_a_recording_or_of_no_verses_length_are_left_out(tmp_path):
    sounds = tmp_path / "usr/share/asterisk/sounds/en_XX_f_Somebody"
    write_list(tmp_path, ENGLISH, dict.fromkeys(("whole", "gone", "click", "long"), "Said."))
    write_g722(sounds / "whole.g722", SECOND)
    write_g722(sounds / "click.g722", SECOND[:3000])
    write_g722(sounds / "long.g722", np.tile(SECOND, 31))
    (prompt,) = read_prompts(tmp_path, ENGLISH)
    assert prompt.key == "whole"
    assert prompt.duration_s == pytest.approx(1, abs=0.01)
    assert prompt.samples().size == pytest.approx(16_000, abs=200)


def test_packages_without_recordings_are_said(tmp_path):
    write_list(tmp_path, ENGLISH, {})
    with pytest.raises(FileNotFoundError, match="no recordings of English"):
        read_prompts(tmp_path, ENGLISH)


def test_nothing_that_is_held_back_is_said_by_another_prompt(tmp_path):
    sounds = tmp_path / "usr/share/asterisk/sounds/en_XX_f_Somebody"
    texts = {f"p-{number}": f"Sentence {chr(97 + number % 26) * 9} again." for number in range(52)}
    write_list(tmp_path, ENGLISH, texts)
    for key in texts:
        write_g722(sounds / f"{key}.g722", SECOND[:8000])
    prompts = read_prompts(tmp_path, ENGLISH)
    assert len(prompts) == 52
    assert set(roles(prompts).values()) == {"text and recording"}, "each of them is said twice"
    assert len(set(roles(prompts[:26]).values())) == 3
