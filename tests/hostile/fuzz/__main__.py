"""`python -m tests.hostile.fuzz --inputs 200000 --seed 1`: reads made-up inputs, and counts them by kind."""

import argparse
import faulthandler
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import torch

from tests.hostile.fuzz.kinds import all_kinds
from tests.hostile.fuzz.runner import fuzz

# Of a reader that never comes back to Python, where no error can be raised in it.
STUCK_S = 300


def main() -> int:
    """0 where everything ended in a result or a sentence."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--only", type=int, metavar="INDEX", help="one input, to look at")
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    indexes = range(chosen.inputs) if chosen.only is None else [chosen.only]
    with tempfile.TemporaryDirectory() as folder:
        kinds = all_kinds(Path(folder))
        faulthandler.dump_traceback_later(STUCK_S + chosen.inputs / 10, exit=True)
        tally = fuzz(kinds, indexes, chosen.seed, Path(folder), print)
        faulthandler.cancel_dump_traceback_later()
    print("\n".join(tally.lines(kinds)))
    return 1 if tally.unclean else 0


if __name__ == "__main__":
    sys.exit(main())
