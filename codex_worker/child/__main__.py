"""`python -m codex_worker.child <read fd> <write fd> <walls>`: started by the supervisor only."""

import sys

from codex_worker.child.keeper import keep

keep(int(number) for number in sys.argv[1:3])

# After the keeper, which is to stay small.
from codex_worker.child.main import main  # noqa: E402

main(sys.argv[1:])
