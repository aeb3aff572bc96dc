"""StableTTS voices: training, speaking, and both in one job."""
