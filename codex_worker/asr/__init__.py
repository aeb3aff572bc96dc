"""The transcriber: Wav2Vec2-BERT with a CTC head, from data to text."""

from patches import torchaudio

# transformers imports torchaudio where it finds one, so the patch comes before any module of this package.
torchaudio.apply()
