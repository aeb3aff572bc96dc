"""What a project's recordings are like, in a translator's words."""
