"""`python -m codex_worker.child.probe [walls]`: can this machine compute? One JSON line says so.

It runs in the environment of a job's process, loads what a job would load, and multiplies behind a job's
walls: a driver that is there, and a library that loads, prove nothing yet.
"""

import json
import sys
from typing import Any

from codex_worker.child.walls import Walls, raise_walls

SIZE = 512
# Of the largest number in the product; rounding in float32, also where the GPU rounds to TF32, stays below.
TOLERANCE = 1e-2


def examine(walls: Walls | None = None) -> dict[str, Any]:
    """What was found: device, name, memory in bytes, capability; `error` says what went wrong."""
    found: dict[str, Any] = {"device": "cpu"}
    try:
        import torch

        found["torch"] = str(torch.__version__)
    except Exception as error:  # a broken driver or library raises whatever it likes; it is what we ask for
        return found | {"error": f"torch cannot be loaded: {_said(error)}"}
    try:
        if walls is not None:
            raise_walls(walls)
        if torch.cuda.is_available():
            found |= _gpu(torch)
        found["agrees"] = _agrees(torch, found["device"])
    except Exception as error:  # as above
        return found | {"error": f"it cannot compute: {_said(error)}"}
    return found


def _gpu(torch: Any) -> dict[str, Any]:
    about = torch.cuda.get_device_properties(0)
    return {
        "device": "cuda",
        "name": str(about.name),
        "memory_bytes": int(about.total_memory),
        "free_bytes": int(torch.cuda.mem_get_info(0)[0]),
        "capability": f"{about.major}.{about.minor}",
        "uuid": str(getattr(about, "uuid", "")),
    }


def _agrees(torch: Any, device: str) -> bool:
    """Whether a product (SIZE x SIZE) is what the processor makes of it in double precision."""
    numbers = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    right = numbers.double() @ numbers.double()
    made = (numbers.to(device) @ numbers.to(device)).double().cpu()
    return bool((made - right).abs().max() <= TOLERANCE * right.abs().max())


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(examine(Walls.of_text(sys.argv[1]) if sys.argv[1:] else None)) + "\n")
