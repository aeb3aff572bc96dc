"""Codex notebooks: cells, references, text, recordings, patches to one cell. Neither disk nor network."""
