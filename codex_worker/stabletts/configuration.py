"""The numbers that fix a network's shape: the published sizes and a tiny twin for demos and tests."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MelSettings:
    """How samples become log-mel frames (Slaney scale, Hann window, reflected edges)."""

    sample_rate: int = 44_100
    n_fft: int = 2048  # also the window's length
    hop_length: int = 512
    n_mels: int = 128
    f_min_hz: float = 0.0
    f_max_hz: float | None = None  # None: half the sample rate

    @property
    def frames_per_second(self) -> float:
        """Mel frames in a second of audio."""
        return self.sample_rate / self.hop_length

    @property
    def edge_samples(self) -> int:
        """Samples reflected at either end, so that N samples give floor(N / hop_length) frames."""
        return (self.n_fft - self.hop_length) // 2


@dataclass(frozen=True)
class ModelSettings:
    """The sizes of a StableTTS network; the defaults are those of the published weights."""

    n_vocab: int = 401
    mel_channels: int = 128
    hidden_channels: int = 256
    filter_channels: int = 1024
    n_heads: int = 4
    n_enc_layers: int = 3
    n_dec_layers: int = 6
    kernel_size: int = 3
    p_dropout: float = 0.1
    gin_channels: int = 256
    style_channels: int = 128  # inside the reference encoder

    def __post_init__(self) -> None:
        if self.n_dec_layers % 2:
            raise ValueError(
                f"n_dec_layers is {self.n_dec_layers}: long skips pair the blocks, so it must be even"
            )
        if self.hidden_channels % (4 * self.n_heads):
            raise ValueError(
                f"hidden_channels {self.hidden_channels} / n_heads {self.n_heads} must divide by 4"
            )


@dataclass(frozen=True)
class VocosSettings:
    """The sizes of a Vocos vocoder; the defaults are those of the published weights."""

    input_channels: int = 128
    dim: int = 512
    intermediate_dim: int = 1536
    num_layers: int = 8
    n_fft: int = 2048
    hop_length: int = 512


FULL = ModelSettings()
TINY = ModelSettings(
    hidden_channels=64,
    filter_channels=128,
    n_heads=2,
    n_enc_layers=2,
    n_dec_layers=2,
    gin_channels=64,
    style_channels=32,
)
