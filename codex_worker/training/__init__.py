"""What both trainers share: batches by length, the schedule, the loop, resume and metrics."""
