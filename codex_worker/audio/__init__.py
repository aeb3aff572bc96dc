"""Recordings as arrays: decode, encode, resample, trim, loudness. Knows neither torch nor projects."""
