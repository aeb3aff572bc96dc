"""How a job runs: the supervisor that holds the token, the child that computes, and the line between them."""
