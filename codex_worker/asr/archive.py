"""Archives of older workers (`asr_model.pth.tar`), read without trusting a byte of them."""

import gzip
import json
import logging
import tarfile
import zlib
from pathlib import Path
from typing import IO, Self, cast

from safetensors import SafetensorError, safe_open

from codex_worker.asr.checkpoint import TranscriberCheckpoint, network_with
from codex_worker.asr.networks.build import config_from, frontend_of
from codex_worker.asr.vocabulary import Vocabulary, is_table_of_numbers
from codex_worker.errors import DataError, clause

logger = logging.getLogger(__name__)

_MIB = 1 << 20
# The only members that are read, with the most bytes that a real one has.
KNOWN_FILES = {
    "config.json": _MIB,
    "vocab.json": 4 * _MIB,
    "tokenizer_config.json": _MIB,
    "added_tokens.json": _MIB,
    "model.safetensors": 6 * 1024 * _MIB,
}
_MAX_ARCHIVE_BYTES = 8 * 1024 * _MIB  # of all members, unpacked
# Weights hardly shrink when they are packed. What grows more than this is made up, and is not unpacked.
_MAX_GROWTH = 4
_SMALL_BYTES = 64 * _MIB
_MAX_MEMBERS = 1000
_MAX_NAME_BYTES = 64 * 1024  # of the parts of an archive that only describe a member
_DESCRIPTIONS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}
_GZIP = b"\x1f\x8b"


def read_archive(path: Path, folder: Path) -> TranscriberCheckpoint:
    """The transcriber in an older worker's archive; its known files are copied to `folder`.

    Nothing is extracted by the path that it has in the archive, and `training_args.bin`, a pickle, is never
    opened. Raises DataError for members that point elsewhere, for sizes that no model has, and for damage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    notes = _copy_known_files(path, folder)
    for name in ("config.json", "vocab.json", "model.safetensors"):
        if not (folder / name).exists():
            raise DataError(
                f"The archive {path.name} has no {name}; it is no transcriber of an older worker."
            )
    vocabulary = _vocabulary(folder)
    config = config_from(_json(folder / "config.json"))
    # The older worker left this to its trainer; CTC's blank is the padding symbol.
    config.pad_token_id = vocabulary.blank_id
    config.ctc_zero_infinity = True
    config.ctc_loss_reduction = "mean"
    if config.vocab_size != len(vocabulary):
        raise DataError(
            f"The archive {path.name} has {len(vocabulary)} letters but a network for {config.vocab_size}."
        )
    try:
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            model = network_with(config, file, path.name)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"The weights in the archive {path.name} are damaged ({clause(error)}).") from error
    if vocabulary.spaces_are_unknown:
        notes.append("the model was trained with spaces as unknown letters; its unknowns are read as spaces")
    for note in notes:
        logger.info("%s: %s", path.name, note)
    metadata = {"source": "archive of an older worker"}
    return TranscriberCheckpoint(model, vocabulary, frontend_of(config), None, metadata, tuple(notes))


def _copy_known_files(path: Path, folder: Path) -> list[str]:
    """Copy members whose names are known, flat and regular; say what is passed over."""
    notes: list[str] = []
    most_bytes = min(_MAX_ARCHIVE_BYTES, _MAX_GROWTH * path.stat().st_size + _SMALL_BYTES)
    total = 0
    try:
        with (
            _opened(path) as stream,
            tarfile.open(fileobj=stream, mode="r|", tarinfo=_ShortlyDescribed) as archive,
        ):
            for count, member in enumerate(archive):
                if count >= _MAX_MEMBERS:
                    raise DataError(f"The archive {path.name} holds too many files to be a model.")
                # What it says of itself is what is read of it, and so this stands before anything is written.
                total += max(0, member.size)
                if total > most_bytes:
                    raise DataError(
                        f"The archive {path.name} unpacks to more than any model needs "
                        f"({total:,} bytes of {path.stat().st_size:,}); refused."
                    )
                _copy_member(archive, member, folder, path.name, notes)
    # tarfile leads made-up numbers and names into errors of many kinds.
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, ArithmeticError) as error:
        raise DataError(
            f"The archive {path.name} is damaged ({clause(error)}); choose another checkpoint or train again."
        ) from error
    return notes


def _opened(path: Path) -> IO[bytes]:
    """The archive's bytes, unpacked as they are read."""
    with path.open("rb") as file:
        is_packed = file.read(2) == _GZIP
    return cast(IO[bytes], gzip.open(path)) if is_packed else path.open("rb")


class _ShortlyDescribed(tarfile.TarInfo):
    """A member whose long name or attributes, which tarfile reads at once, are no longer than real ones."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Reads one header of 512 bytes. Raises ValueError for one that is made up."""
        member = super().frombuf(buf, encoding, errors)
        if member.type in _DESCRIPTIONS and not 0 <= member.size <= _MAX_NAME_BYTES:
            raise ValueError(f"a name of {member.size:,} bytes")
        if member.type == tarfile.GNUTYPE_SPARSE:
            raise ValueError("a file with holes, of which no model is made")
        return member


def _copy_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, archive_name: str, notes: list[str]
) -> None:
    name = member.name.removeprefix("./")
    if name in {"", "."} and member.isdir():
        return
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or ".." in parts:
        raise DataError(
            f"The archive {archive_name} holds a path that leaves its folder ({name!r:.200}); refused."
        )
    if not (member.isreg() or member.isdir()):
        raise DataError(f"The archive {archive_name} holds a link or device ({name!r:.200}); refused.")
    if name.endswith(".tm"):
        notes.append(
            f"{name} (a corrector of an older worker, CatBoost) is skipped; train again to get a new one"
        )
        return
    limit = KNOWN_FILES.get(name)
    if limit is None or not member.isreg():
        return
    if member.size > limit:
        raise DataError(
            f"{name} in the archive {archive_name} has {member.size:,} bytes; {limit:,} is the limit."
        )
    source = archive.extractfile(member)
    if source is None:
        raise DataError(f"{name} in the archive {archive_name} cannot be read.")
    with (folder / name).open("wb") as target:
        while block := source.read(_MIB):
            target.write(block)


def _vocabulary(folder: Path) -> Vocabulary:
    vocab = _json(folder / "vocab.json")
    added = _json(folder / "added_tokens.json") if (folder / "added_tokens.json").exists() else {}
    if is_table_of_numbers(vocab) and isinstance(added, dict):
        # The tokenizer adds sentence marks behind the letters; the network has no outputs for them.
        size = _json(folder / "config.json")
        outputs = size.get("vocab_size") if isinstance(size, dict) else None
        known = set(vocab.values())
        vocab |= {
            token: i
            for token, i in added.items()
            if type(i) is int and i not in known and isinstance(outputs, int) and i < outputs
        }
    settings_path = folder / "tokenizer_config.json"
    settings = _json(settings_path) if settings_path.exists() else {}
    return Vocabulary.from_hugging_face(vocab, settings if isinstance(settings, dict) else {})


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path.name} in the archive cannot be read ({clause(error)}).") from error
