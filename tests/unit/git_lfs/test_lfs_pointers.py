import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.errors import DataError
from codex_worker.git.lfs.pointer import Pointer, parse_pointer, pointer_for

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


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(content):
    parse_pointer(b"version https://git-lfs.github.com/spec/v1\n" + content)


def test_a_pointer_that_could_leave_its_folder_is_refused():
    with pytest.raises(DataError, match="not a SHA-256"):
        Pointer("../../../../etc/passwd", 1)


def test_a_pointer_to_a_file_names_its_bytes(tmp_path):
    path = tmp_path / "recording.webm"
    path.write_bytes(b"abc")
    pointer = pointer_for(path)
    assert pointer == Pointer("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)
