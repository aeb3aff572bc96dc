"""One attempt at one job: the process that holds the token."""
