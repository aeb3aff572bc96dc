"""What only a GitLab server knows: its projects, our token and roles; repositories themselves go by git."""
