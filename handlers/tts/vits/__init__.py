"""VITS voices, of a project or published by MMS."""
