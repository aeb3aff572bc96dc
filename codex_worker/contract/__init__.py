"""The files that jobs are made of, as types: manifest, response, attempt, end, lease, metrics. No input or output."""
