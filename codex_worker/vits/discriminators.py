"""Those who tell made speech from real: by periods (HiFi-GAN, Kong et al. 2020, section 2.3), and as it is.

VITS has five of the first and one of the second (Kim et al. 2021, appendix B.3).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

PERIODS = (2, 3, 5, 7, 11)
_SLOPE = 0.1
_PERIOD_WIDTHS = (32, 128, 512, 1024, 1024)
_PERIOD_STRIDES = (3, 3, 3, 3, 1)
# Width, kernel, stride and groups of each convolution over samples.
_SCALE_LAYERS = (
    (16, 15, 1, 1),
    (64, 41, 4, 4),
    (256, 41, 4, 16),
    (1024, 41, 4, 64),
    (1024, 41, 4, 256),
    (1024, 5, 1, 1),
)
_TINY_SHARE = 16  # of the widths above, for the tiny network

Judged = tuple[Tensor, list[Tensor]]
"""How real each place of the samples sounds [B, ...], and what each layer made of them."""


class Discriminators(nn.Module):
    """Six judges of samples [B, 1, N]."""

    def __init__(self, *, tiny: bool = False) -> None:
        super().__init__()
        share = _TINY_SHARE if tiny else 1
        self.judges = nn.ModuleList([_ByScale(share), *(_ByPeriod(period, share) for period in PERIODS)])

    def forward(self, samples: Tensor) -> list[Judged]:
        """What each judge says, and its layers."""
        return [judge(samples) for judge in self.judges]


class _ByPeriod(nn.Module):
    """Looks at every `period`-th sample: at the regular parts of voices."""

    def __init__(self, period: int, share: int) -> None:
        super().__init__()
        self.period = period
        widths = [1, *(max(2, width // share) for width in _PERIOD_WIDTHS)]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(before, after, (5, 1), (stride, 1), (2, 0)))
            for before, after, stride in zip(widths, widths[1:], _PERIOD_STRIDES, strict=False)
        )
        self.verdict = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), 1, (1, 0)))

    def forward(self, samples: Tensor) -> Judged:
        missing = -samples.shape[-1] % self.period
        samples = F.pad(samples, (0, missing), mode="reflect")
        return _judged(samples.unflatten(-1, (-1, self.period)), self.layers, self.verdict)


class _ByScale(nn.Module):
    """Looks at all samples, with layers that see more and more of them."""

    def __init__(self, share: int) -> None:
        super().__init__()
        layers, before = [], 1
        for width, kernel, stride, groups in _SCALE_LAYERS:
            after = max(4, width // share)
            shared = max(1, min(groups // share, before, after)) if share > 1 else groups
            layers.append(weight_norm(nn.Conv1d(before, after, kernel, stride, kernel // 2, groups=shared)))
            before = after
        self.layers = nn.ModuleList(layers)
        self.verdict = weight_norm(nn.Conv1d(before, 1, 3, 1, 1))

    def forward(self, samples: Tensor) -> Judged:
        return _judged(samples, self.layers, self.verdict)


def _judged(seen: Tensor, layers: nn.ModuleList, verdict: nn.Module) -> Judged:
    features = []
    for layer in layers:
        seen = F.leaky_relu(layer(seen), _SLOPE)
        features.append(seen)
    said = verdict(seen)
    return said.flatten(1), [*features, said]


def telling_apart(real: Sequence[Judged], made: Sequence[Judged]) -> Tensor:
    """What the judges minimise: real is 1 and made is 0 (least squares, Mao et al. 2017)."""
    return torch.stack(
        [
            (1 - says).square().mean() + of_made.square().mean()
            for (says, _), (of_made, _) in zip(real, made, strict=True)
        ]
    ).sum()


def fooling(made: Sequence[Judged]) -> Tensor:
    """What the speaking network minimises: made should be taken for real."""
    return torch.stack([(1 - says).square().mean() for says, _ in made]).sum()


def feature_distance(real: Sequence[Judged], made: Sequence[Judged]) -> Tensor:
    """How differently the layers see both; twice the sum of means, as HiFi-GAN has it (equation 4)."""
    distances = [
        (one.detach() - other).abs().mean()
        for (_, of_real), (_, of_made) in zip(real, made, strict=True)
        for one, other in zip(of_real, of_made, strict=True)
    ]
    return 2 * torch.stack(distances).sum()
