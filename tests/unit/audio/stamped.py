"""Files whose packets have other time stamps than their encoder gave them."""

from collections.abc import Callable
from pathlib import Path

import av

Move = Callable[[float], float | None]  # from a packet's time in seconds to another one; None leaves it out
CONTAINERS = {"webm": "webm", "mka": "matroska", "ogg": "ogg", "m4a": "ipod", "mp4": "mp4"}


def restamped(source: Path, path: Path, move: Move, options: dict[str, str] | None = None) -> Path:
    """Copy the packets of a recording into the container that `path` is named after, at moved times."""
    kind = CONTAINERS[path.suffix[1:]]
    with av.open(str(source)) as old, av.open(str(path), "w", format=kind, options=options or {}) as new:
        template = old.streams.audio[0]
        stream = new.add_stream_from_template(template)
        for packet in old.demux(template):
            if packet.pts is None or packet.time_base is None:
                continue
            moved = move(float(packet.pts * packet.time_base))
            if moved is None:
                continue
            packet.stream = stream
            packet.pts = packet.dts = round(moved / packet.time_base)
            new.mux_one(packet)
    return path
