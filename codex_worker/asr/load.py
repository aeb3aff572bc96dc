"""A transcriber from a file, whoever made it."""

from pathlib import Path

from codex_worker.asr.archive import read_archive
from codex_worker.asr.checkpoint import TranscriberCheckpoint, read_safetensors

_GZIP = b"\x1f\x8b"
_TAR_PLACE, _TAR = 257, b"ustar"


def load_checkpoint(path: Path, *, unpack_folder: Path | None = None) -> TranscriberCheckpoint:
    """Read a transcriber: a file of ours, or an archive of an older worker (unpacked below `unpack_folder`).

    Raises DataError for what is damaged or no transcriber.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(_GZIP) or start.startswith(_TAR, _TAR_PLACE):
        return read_archive(path, unpack_folder or path.parent / f"{path.name}.unpacked")
    return read_safetensors(path)
