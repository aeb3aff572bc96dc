"""The files that jobs are made of, as types: manifest, response, attempt, end, lease. No input or output."""
