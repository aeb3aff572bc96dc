"""Transcribers' jobs."""
