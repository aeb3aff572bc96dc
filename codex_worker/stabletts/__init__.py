"""StableTTS: from text and recordings to a voice, and from a voice and text to speech."""
