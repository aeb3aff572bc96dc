"""From a verse's text to the ids that the network reads; recorded by name and version in checkpoints."""
