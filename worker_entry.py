"""The worker's command line: `python worker_entry.py --help`. `codex-worker work` is the same."""

import sys

from codex_worker.cli.work import main

if __name__ == "__main__":
    sys.exit(main())
