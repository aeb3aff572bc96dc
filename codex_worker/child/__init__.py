"""The process that computes and holds no token."""
