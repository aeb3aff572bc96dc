"""VITS: a voice that learns text and sound in one network (Kim et al. 2021), as MMS-TTS publishes them."""

from patches import torchaudio

# transformers imports torchaudio where it finds one, so the patch comes before any module of this package.
torchaudio.apply()
