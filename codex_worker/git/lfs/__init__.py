"""Large files (Git LFS): pointers in git, a local cache of objects, and the stores they come from."""
