"""A project of real people's speech, made of the voice prompts that Debian packages."""
