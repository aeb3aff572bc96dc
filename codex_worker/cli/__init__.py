"""Commands of `codex-worker`, one module for each group; each imports what it needs when it runs."""
