"""The loop: which projects there are, which job comes next."""
