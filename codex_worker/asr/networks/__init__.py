"""The networks of transcribers."""
