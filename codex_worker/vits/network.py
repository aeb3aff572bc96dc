"""Speaking with a VITS network: transformers' modules, put together so that nothing grows without bounds."""

import torch
from torch import Tensor
from transformers import VitsModel

from codex_worker.errors import ModelError
from codex_worker.stabletts.alignment import expand
from codex_worker.vits.configuration import frame_samples

LONGEST_SYMBOL_S = 4.0  # speech has a dozen letters a second, and blanks are symbols too
LONGEST_MEAN_S = 0.5  # over all symbols of a text; samples of more would take memory without bounds
FRAMES_AT_LEAST = 1


@torch.no_grad()
def synthesise(
    model: VitsModel, ids: Tensor, *, temperature: float = 1.0, length_scale: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Samples [N] at the network's rate for one text's ids [1, T], and how many of them each id lasts [T].

    Both are on the network's device. As `VitsModel.forward` does it (Kim et al. 2021, section 2.6), with the
    voice's own amounts of noise times `temperature`. Draws from torch's generators. Raises ModelError for
    durations that no speech has.
    """
    mask = torch.ones_like(ids)[:, :, None].to(model.dtype)
    text = model.text_encoder(ids, padding_mask=mask, attention_mask=torch.ones_like(ids))
    frames = _durations(model, text.last_hidden_state, mask, temperature, length_scale)
    total = int(frames.sum())
    mean = expand(text.prior_means, frames, total).transpose(1, 2)
    spread = expand(text.prior_log_variances, frames, total).transpose(1, 2).exp()
    prior = mean + torch.randn_like(mean) * spread * (model.noise_scale * temperature)
    latents = model.flow(prior, mask.new_ones(1, 1, total), reverse=True)
    samples: Tensor = model.decoder(latents)[0, 0]
    return samples, frames[0] * frame_samples(model.config)


def _durations(
    model: VitsModel, hidden: Tensor, mask: Tensor, temperature: float, length_scale: float
) -> Tensor:
    """Frames of each symbol, int64 [1, T]."""
    inputs, across = hidden.transpose(1, 2), mask.transpose(1, 2)
    if model.config.use_stochastic_duration_prediction:
        noise = model.noise_scale_duration * temperature
        logs = model.duration_predictor(inputs, across, reverse=True, noise_scale=noise)
    else:
        logs = model.duration_predictor(inputs, across)
    exact = torch.exp(logs) * (length_scale / model.speaking_rate)
    frames_per_second = model.config.sampling_rate / frame_samples(model.config)
    longest = LONGEST_SYMBOL_S * max(1.0, length_scale) * frames_per_second
    if not torch.isfinite(exact).all() or float(exact.max()) > longest:
        raise ModelError(
            f"the voice would hold one letter for more than {LONGEST_SYMBOL_S:g} s; train it longer"
        )
    frames = torch.ceil(exact)[:, 0].long()
    if int(frames.sum()) > longest + frames.shape[1] * longest * LONGEST_MEAN_S / LONGEST_SYMBOL_S:
        said_s = int(frames.sum()) / frames_per_second
        raise ModelError(
            f"the voice would take {said_s:.0f} s for {frames.shape[1]} letters and blanks; train it longer"
        )
    if int(frames.sum()) < FRAMES_AT_LEAST:
        frames[:, -1] = FRAMES_AT_LEAST
    return frames
