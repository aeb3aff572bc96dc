"""Wav2Vec2-BERT: train a transcriber, read recordings with it, or both."""
