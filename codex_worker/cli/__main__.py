"""`python -m codex_worker.cli`: the same as `codex-worker`."""

import sys

from codex_worker.cli.main import main

sys.exit(main())
