"""`python -m codex_worker.child <read fd> <write fd>`: started by the supervisor only."""

import sys

from codex_worker.child.main import main

main(sys.argv[1:])
