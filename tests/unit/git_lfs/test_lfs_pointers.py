import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.codex.pointer_text import trouble_of
from codex_worker.errors import DataError
from codex_worker.git.lfs.pointer import Pointer, parse_pointer, pointer_for
from tests.support.present import present

OID = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"


def test_a_pointer_reads_back_what_it_renders():
    pointer = Pointer(OID, 12345)
    assert (
        pointer.render()
        == f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12345\n".encode()
    )
    assert parse_pointer(pointer.render()) == pointer


@pytest.mark.parametrize(
    "content",
    [
        f"version https://git-lfs.github.com/spec/v1\r\noid sha256:{OID}\r\nsize 7\r\n",
        f"version https://git-lfs.github.com/spec/v1\nsize 7\noid sha256:{OID}",
        f"version https://hawser.github.com/spec/v1\noid sha256:{OID}\nsize 7\n",
        f"version https://git-lfs.github.com/spec/v1\next-0-zip sha256:{OID}\noid sha256:{OID}\nsize 7\n",
    ],
)
def test_pointers_that_other_programs_wrote_are_read(content):
    assert parse_pointer(content.encode()) == Pointer(OID, 7)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version ",
        b"OggS\x00\x02 audio",
        b"version \xff\xfe",
        f"version https://example.com/v9\noid sha256:{OID}\nsize 7\n".encode(),
        f"version https://git-lfs.github.com/spec/v1\noid md5:{OID}\nsize 7\n".encode(),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:../../etc/passwd\nsize 7\n",
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize -7\n".encode(),
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 9999999999999999999\n".encode(),
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\n".encode(),
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 7\n".encode() + b" " * 1024,
    ],
)
def test_other_content_is_no_pointer(content):
    assert parse_pointer(content) is None


OTHER = "cd" * 32
HEAD = "version https://git-lfs.github.com/spec/v1\n"
BODY = f"oid sha256:{OID}\nsize 7\n"
PLAIN = HEAD + BODY
OTHERS = f"oid sha256:{OTHER}\nsize 8\n"


def conflict(ours, theirs, base=None, end="\n"):
    middle = "" if base is None else f"||||||| 1a2b3c4{end}{base}"
    return f"<<<<<<< HEAD{end}{ours}{middle}======={end}{theirs}>>>>>>> origin/main{end}"


SPOILT = {
    "byte-order mark": PLAIN.encode("utf-8-sig"),
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16, the other order": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "UTF-16 without a mark": PLAIN.encode("utf-16-le"),
    "UTF-16 without a mark, the other order": PLAIN.encode("utf-16-be"),
    "UTF-32": PLAIN.encode("utf-32"),
    "blank lines": f"\n \n{HEAD}\n{BODY}\n\n".encode(),
    "mark and blank line": ("\ufeff\r\n" + PLAIN).encode(),
    "Windows line ends": PLAIN.replace("\n", "\r\n").encode(),
    "line ends of old Macs": PLAIN.replace("\n", "\r").encode(),
    "spaces at the ends": PLAIN.replace("\n", " \t\n").encode(),
    "twice the same": (PLAIN + PLAIN).encode(),
    "conflict of equal sides": conflict(PLAIN, PLAIN).encode(),
    "conflict inside, of equal sides": (HEAD + conflict(BODY, BODY)).encode(),
    "conflict of line ends": conflict(PLAIN, PLAIN.replace("\n", "\r\n")).encode(),
    "conflict of versions": (conflict(HEAD, HEAD.replace("git-lfs", "hawser")) + BODY).encode(),
    "conflict with another base": conflict(PLAIN, PLAIN, HEAD + OTHERS).encode(),
    "conflict and mark": ("\ufeff" + conflict("\ufeff" + PLAIN, PLAIN, end="\r\n")).encode(),
}


@pytest.mark.parametrize("content", SPOILT.values(), ids=SPOILT.keys())
def test_what_changes_nothing_of_a_pointers_meaning_is_read(content):
    assert parse_pointer(content) == Pointer(OID, 7)


BROKEN = {
    "conflict": conflict(PLAIN, HEAD + OTHERS),
    "conflict inside": HEAD + conflict(BODY, OTHERS),
    "conflict of sizes": HEAD + f"oid sha256:{OID}\n" + conflict("size 7\n", "size 8\n"),
    "conflict with a base": conflict(PLAIN, HEAD + OTHERS, PLAIN),
    "conflict with a deleted side": conflict(PLAIN, ""),
    "conflict whose end is lost": conflict(PLAIN, PLAIN).rpartition(">>>>>>>")[0],
    "conflict whose beginning is lost": conflict(PLAIN, PLAIN).partition("\n")[2],
    "conflict within a conflict": conflict(conflict(PLAIN, PLAIN), PLAIN),
    "marks taken out, both sides left": HEAD + BODY + OTHERS,
    "cut off": PLAIN[:80],
    "no size": HEAD + f"oid sha256:{OID}\n",
    "no oid": HEAD + "size 7\n",
    "no version": BODY,
    "version to come": PLAIN.replace("v1", "v9"),
    "something before it": f"see here: {PLAIN}",
    "a note after it": PLAIN + "Recorded by Ana.\n",
    "too long": PLAIN + " " * 2000,
    "size of words": PLAIN.replace("size 7", "size seven"),
}


@pytest.mark.parametrize("form", [str.encode, lambda text: text.encode("utf-16")], ids=["UTF-8", "UTF-16"])
@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_pointer_that_says_two_things_or_half_of_one_is_not_decided(text, form):
    content = form(text)
    assert parse_pointer(content) is None
    trouble = present(trouble_of(content))
    assert "LFS pointer" in trouble
    assert ("merge conflict" in trouble) == ("<<<<<<<" in text or ">>>>>>>" in text)


def test_the_sentence_about_a_conflict_names_both_recordings():
    trouble = present(trouble_of((HEAD + conflict(BODY, OTHERS)).encode()))
    assert OID[:12] in trouble and OTHER[:12] in trouble


@pytest.mark.parametrize(
    "content", [*SPOILT.values(), b"", b"RIFF\0\0", b"version 2 of the text", b"\xff\xfe\xff"]
)
def test_nothing_is_wrong_with_a_pointer_that_is_read_or_with_what_is_none(content):
    assert trouble_of(content) is None


SIDES = st.sampled_from([PLAIN, HEAD + OTHERS, "", HEAD, PLAIN.replace("\n", "\r\n"), "\ufeff" + PLAIN])


@given(SIDES, SIDES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]))
def test_a_conflict_is_read_only_where_both_sides_name_the_same_object(ours, theirs, encoding):
    sides = [parse_pointer(side.encode()) for side in (ours, theirs)]
    found = parse_pointer(conflict(ours, theirs).encode(encoding))
    if encoding.startswith("utf-16-"):  # without a mark a text that begins with `<` is not known for UTF-16
        assert found is None
    else:
        assert found == (sides[0] if sides[0] == sides[1] else None)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(content):
    for around in (
        content,
        HEAD.encode() + content,
        content + PLAIN.encode(),
        content + PLAIN.encode("utf-16"),
    ):
        parse_pointer(around)
        trouble_of(around)


def test_a_pointer_that_could_leave_its_folder_is_refused():
    with pytest.raises(DataError, match="not a SHA-256"):
        Pointer("../../../../etc/passwd", 1)


def test_a_pointer_to_a_file_names_its_bytes(tmp_path):
    path = tmp_path / "recording.webm"
    path.write_bytes(b"abc")
    pointer = pointer_for(path)
    assert pointer == Pointer("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)
