"""The worker that gives small languages a voice: speech jobs from git repositories, done on a GPU."""

__version__ = "0.1.0"
