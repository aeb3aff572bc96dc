"""Samples to mel spectrograms and back."""

import math

import pytest
import torch

from codex_worker.errors import DataError
from codex_worker.stabletts.configuration import MelSettings, VocosSettings
from codex_worker.stabletts.griffin_lim import GriffinLim
from codex_worker.stabletts.mel import LogMel, slaney_filterbank
from codex_worker.stabletts.vocos import Vocos
from patches import torchaudio as torchaudio_patch


def test_the_filterbank_is_that_of_torchaudio():
    expected = torchaudio_patch.load().functional.melscale_fbanks(
        1025, 0.0, 22_050.0, 128, 44_100, norm="slaney", mel_scale="slaney"
    )
    torch.testing.assert_close(slaney_filterbank(MelSettings()), expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize(("samples", "frames"), [(769, 1), (1023, 1), (1024, 2), (44_100, 86)])
def test_a_mel_spectrogram_has_a_frame_for_each_whole_hop(samples, frames):
    assert LogMel(MelSettings())(torch.zeros(2, samples)).shape == (2, 128, frames)


def test_audio_too_short_for_a_frame_is_refused_with_its_length():
    with pytest.raises(DataError, match="768 samples"):
        LogMel(MelSettings())(torch.zeros(1, 768))


def test_vocos_gives_the_same_samples_alone_and_in_a_batch(vocos, golden):
    mel = golden["vocos.in_mel"]
    together = vocos(mel, [64, 40])
    alone = vocos(mel[1:, :, :40], [40])
    torch.testing.assert_close(together[1, : 40 * 512], alone[0], atol=1e-5, rtol=0)
    assert not together[1, 40 * 512 :].any()


def test_vocos_speaks_one_frame():
    assert Vocos(VocosSettings(dim=16, intermediate_dim=16, num_layers=1))(
        torch.zeros(1, 128, 1), [1]
    ).shape == (1, 512)


def test_griffin_lim_gives_the_tone_back_in_its_place():
    settings = MelSettings()
    time = torch.arange(44_032) / 44_100
    tone = torch.where((time > 0.4) & (time < 0.6), torch.sin(2 * math.pi * 1000 * time), 0.0)
    torch.manual_seed(0)
    samples = GriffinLim(settings)(LogMel(settings)(tone[None]))
    assert samples.shape == (1, 44_032)
    energy = samples[0].square()
    inside = (time > 0.38) & (time < 0.62)
    assert energy[inside].sum() > 0.95 * energy.sum()
    peak_hz = torch.fft.rfft(samples[0]).abs().argmax() * 44_100 / 44_032
    assert abs(float(peak_hz) - 1000) < 40
