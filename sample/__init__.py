"""The sample project: short recordings of simple sentences, and a Codex project that holds them."""
