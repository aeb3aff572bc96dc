"""From results to transactions: cells with their recordings, checkpoints, reports. The supervisor's side."""
