"""What a job does: one module per job type, model and mode, found by its place in this package."""
