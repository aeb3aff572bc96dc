"""The parts of the job queue: reading a commit's jobs, owning one, watching others, keeping files true."""
