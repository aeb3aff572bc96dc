"""Changes to features while training: SpecAugment (Park et al. 2019), drawn from a seeded generator."""

import numpy as np

from codex_worker.asr.features import MEL_BINS
from codex_worker.asr.recipe_settings import Augmentation


def mask_features(
    features: np.ndarray, augmentation: Augmentation, seconds_per_row: float, generator: np.random.Generator
) -> np.ndarray:
    """A copy of `[rows, channels]` or `[rows]` with masked stretches and mel bands set to 0, their mean."""
    if augmentation.time_mask_share <= 0 and augmentation.band_masks <= 0:
        return features
    masked = features.copy()
    rows = len(masked)
    longest = max(1, round(augmentation.time_mask_s / seconds_per_row))
    shortest = max(1, round(augmentation.shortest_time_mask_s / seconds_per_row))
    budget = int(augmentation.time_mask_share * rows)
    while budget > 0:
        width = int(generator.integers(min(shortest, budget), min(longest, budget) + 1))
        start = int(generator.integers(0, rows - width + 1))
        masked[start : start + width] = 0
        budget -= width
    if masked.ndim == 2 and augmentation.band_mask_bins > 0:
        bands = masked.reshape(rows, -1, MEL_BINS)
        for _ in range(augmentation.band_masks):
            width = int(generator.integers(0, augmentation.band_mask_bins + 1))
            start = int(generator.integers(0, MEL_BINS - width + 1))
            bands[:, :, start : start + width] = 0
    return masked
