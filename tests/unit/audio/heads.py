"""Files of samples whose heads state any length: what recorders write that do not know it yet."""

import struct
from collections.abc import Callable

RATE = 16_000
Build = Callable[[bytes, int, bytes], bytes]  # samples (16 bits, little-endian), stated length, chunks behind


def _format() -> bytes:
    return struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)


def _swapped(samples: bytes) -> bytes:
    return struct.pack(f">{len(samples) // 2}h", *struct.unpack(f"<{len(samples) // 2}h", samples))


def _within(number: int, bits: int) -> int:
    return max(0, min(number, (1 << bits) - 1))


def wav(samples: bytes, stated: int, behind: bytes = b"", whole: int | None = None) -> bytes:
    """A WAV file; its whole length fits the stated one unless `whole` is given."""
    whole = _within(stated + 36 + len(behind) if whole is None else whole, 32)
    head = b"RIFF" + struct.pack("<I", whole) + b"WAVE" + _format()
    return head + b"data" + struct.pack("<I", _within(stated, 32)) + samples + behind


def rf64(samples: bytes, stated: int, behind: bytes = b"", name: bytes = b"RF64") -> bytes:
    stated = stated if stated < 1 << 63 else -1
    whole = stated + 72 if stated >= 0 else -1
    sizes = struct.pack("<4sIqqqI", b"ds64", 28, whole, stated, stated // 2 if stated >= 0 else -1, 0)
    head = name + b"\xff" * 4 + b"WAVE" + sizes + _format()
    return head + b"data" + b"\xff" * 4 + samples + behind


def bw64(samples: bytes, stated: int, behind: bytes = b"") -> bytes:
    return rf64(samples, stated, behind, b"BW64")


def w64(samples: bytes, stated: int, behind: bytes = b"") -> bytes:
    tail = bytes.fromhex("f3acd3118cd100c04f8edb8a")
    stated = stated if stated < 1 << 62 else (1 << 62)
    head = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000") + struct.pack("<q", stated + 104)
    head += b"wave" + tail + b"fmt " + tail + struct.pack("<q", 40) + _format()[8:]
    return head + b"data" + tail + struct.pack("<q", stated + 24) + samples + behind


def _aiff(samples: bytes, stated: int, behind: bytes, frames: int, extra: bytes, kind: bytes) -> bytes:
    rate = struct.pack(">HQ", 16383 + 13, RATE << (63 - 13))
    common = struct.pack(">HIH", 1, _within(frames, 32), 16) + rate + extra
    head = b"FORM" + struct.pack(">I", _within(stated + 46, 32)) + kind
    head += b"COMM" + struct.pack(">I", len(common)) + common
    return head + b"SSND" + struct.pack(">III", _within(stated + 8, 32), 0, 0) + _swapped(samples) + behind


def aiff(samples: bytes, stated: int, behind: bytes = b"") -> bytes:
    return _aiff(samples, stated, behind, stated // 2, b"", b"AIFF")


def aifc(samples: bytes, stated: int, behind: bytes = b"") -> bytes:
    return _aiff(samples, stated, behind, stated // 2, b"NONE\x00\x00", b"AIFC")


def caf(samples: bytes, stated: int, behind: bytes = b"") -> bytes:
    description = struct.pack(">d4sIIIII", RATE, b"lpcm", 2, 2, 1, 1, 16)
    head = b"caff" + struct.pack(">HH", 1, 0) + b"desc" + struct.pack(">q", 32) + description
    length = -1 if stated >= 1 << 62 or stated < 0 else stated + 4
    return head + b"data" + struct.pack(">qI", length, 0) + samples + behind


def au(samples: bytes, stated: int, behind: bytes = b"") -> bytes:
    return struct.pack(">4sIIIII", b".snd", 24, _within(stated, 32), 3, RATE, 1) + _swapped(samples)


KINDS: dict[str, Build] = {
    "wav": wav,
    "rf64": rf64,
    "bw64": bw64,
    "w64": w64,
    "aiff": aiff,
    "aifc": aifc,
    "caf": caf,
    "au": au,
}


def chunk(kind: str, name: bytes, content: bytes) -> bytes:
    """A chunk as a file of this kind holds it."""
    if kind in {"aiff", "aifc"}:
        return name + struct.pack(">I", len(content)) + content + b"\0" * (len(content) % 2)
    if kind == "caf":
        return name + struct.pack(">q", len(content)) + content
    if kind == "w64":
        tail = bytes.fromhex("f3acd3118cd100c04f8edb8a")
        return name + tail + struct.pack("<q", len(content) + 24) + content + b"\0" * (-len(content) % 8)
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
