"""What supervisor and child share: the interface of handlers, the channel, the ends."""
