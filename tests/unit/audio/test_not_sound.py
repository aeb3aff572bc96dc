"""What stands where sound should be is named as what it is, with what to do; sound is never taken for it."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.audio.decode import decode
from codex_worker.audio.not_sound import NoSound, SpoiltPointer, refuse_what_is_no_sound
from codex_worker.data.faults import Fault, Purpose
from codex_worker.data.usable import judge
from codex_worker.errors import DataError
from tests.support.present import present

OID = "ab" * 32
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12\n"
OTHER = POINTER.replace("ab", "cd")
CONFLICT = f"<<<<<<< HEAD\n{POINTER}=======\n{OTHER}>>>>>>> main\n"

NO_SOUND = {
    "empty": (b"", "empty"),
    "blank": (b"\n \n", "empty text"),
    "web page": (b"\n<!DOCTYPE html>\n<html><title>Sign in</title></html>", "web page"),
    "web page with a mark": (b"\xef\xbb\xbf<html>404</html>", "web page"),
    "refusal in XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML"),
    "refusal in JSON": (b'{"message":"404 Project Not Found"}', "JSON"),
    "text": ("Résumé of the recording\n".encode(), "a text"),
    "text of Windows": ("In the beginning\r\n".encode("utf-16"), "a text"),
    "text that is cut within a letter": (("x" + "é" * 600).encode(), "a text"),
    "conflict": (b"<<<<<<< HEAD\nsound\n=======\nother\n>>>>>>> main\n", "text of git"),
    "place of a repository": (b"gitdir: ../.git/modules/sound\n", "text of git"),
    "playlist": (b"#EXTM3U\nhttp://example.org/a.mp3\n", "playlist"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "picture"),
    "photo": (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "picture"),
    "document": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
    "archive": (b"PK\x03\x04\x14\0\0\0", "ZIP"),
    "zeros": (b"\0" * 5000, "zeros"),
    "few zeros": (b"\0" * 7, "zeros"),
}


@pytest.mark.parametrize(("content", "words"), NO_SOUND.values(), ids=NO_SOUND.keys())
@pytest.mark.parametrize("ending", ["webm", "mp3", "wav"])
def test_what_is_no_sound_is_named_and_counted_as_that(tmp_path, content, words, ending):
    path = tmp_path / f"recording.{ending}"
    path.write_bytes(content)
    with pytest.raises(NoSound, match=words) as caught:
        decode(path, sample_rate=16_000)
    assert "record it again" in str(caught.value)
    found = present(judge(caught.value, path).against(Purpose.READING))
    assert found.fault is Fault.NO_SOUND
    assert str(tmp_path) not in found.sentence


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CONFLICT.encode(), "merge conflict"),
        (CONFLICT.replace("\n", "\r\n").encode("utf-16"), "merge conflict"),
        (POINTER[:90].encode(), "damaged"),
        (POINTER.encode(), "pointer to a pointer"),
        (POINTER.encode("utf-8-sig"), "pointer to a pointer"),
        (POINTER.encode("utf-16"), "pointer to a pointer"),
        (f"\n\n{POINTER}".encode(), "pointer to a pointer"),
        ((POINTER + " " * 2000).encode(), "damaged"),
    ],
)
def test_a_pointer_is_never_called_a_recording_that_is_cut_off(tmp_path, content, words):
    path = tmp_path / "recording.webm"
    path.write_bytes(content)
    with pytest.raises(SpoiltPointer, match=words) as caught:
        decode(path, sample_rate=16_000)
    assert "record it again" in str(caught.value) or "record again" in str(caught.value)
    assert present(judge(caught.value, path).against(Purpose.TRAINING)).fault is Fault.SPOILT_POINTER


SENTENCES = sorted((Path(__file__).parents[3] / "sample" / "recordings").iterdir())


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3", "aiff", "caf", "w64", "rf64"])
def test_sound_of_any_kind_is_not_taken_for_something_else(ending):
    written = io.BytesIO()
    for sound in (np.zeros(3000), 0.5 * np.sin(np.arange(3000) / 5), np.linspace(-1, 1, 3000)):
        written.seek(0)
        soundfile.write(written, sound, 16_000, format=ending.upper())
        refuse_what_is_no_sound(Path("x"), written.getvalue()[:1024])
        refuse_what_is_no_sound(Path("x"), written.getvalue()[:16])  # cut off, and to be called so
    refuse_what_is_no_sound(SENTENCES[0], SENTENCES[0].read_bytes()[:1024])


@given(st.binary(max_size=1024))
def test_whatever_a_file_holds_there_is_an_answer_or_a_sentence(head):
    try:
        refuse_what_is_no_sound(Path("x.webm"), head)
    except DataError as error:
        assert str(error).startswith("x.webm is ")


@given(st.binary(min_size=64, max_size=1024).map(lambda data: data + b"\x01"))
def test_bytes_that_nobody_writes_are_left_to_the_decoder(head):
    if not head.startswith((b"%PDF-", b"\x89PNG", b"PK", b"GIF8", b"\xff\xd8\xff", b"\x1f\x8b", b"SQLite")):
        refuse_what_is_no_sound(Path("x.webm"), head)
