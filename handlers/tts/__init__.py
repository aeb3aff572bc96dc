"""Jobs about voices."""
