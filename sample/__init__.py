"""The sample project: short recordings of simple sentences, and a Codex project that holds them."""

from codex_worker import cores

cores.settle()  # before anything here imports torch, as in a job's process
