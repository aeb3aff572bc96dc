"""Text as models see it: a recorded recipe of normalisation, romanisation, error rates. Pure functions."""
