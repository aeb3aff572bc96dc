"""A VITS voice that speaks verses."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from transformers import VitsModel

from codex_worker.stabletts.speak import EDGE_S, WINDOW, SpeakingSettings
from codex_worker.stabletts.verses import Failed, PhraseSound, Spoken, Verse, VerseSpeaking
from codex_worker.vits.checkpoint import VitsDescription
from codex_worker.vits.network import synthesise


class VitsSpeaker:
    """A voice that is ready to speak: network and frontend on one device."""

    def __init__(self, network: VitsModel, voice: VitsDescription, *, device: str = "cpu") -> None:
        self.network = network.to(device).eval()
        self.voice = voice
        self.device = torch.device(device)

    def speak(
        self,
        verses: Iterable[Verse],
        settings: SpeakingSettings,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Spoken | Failed]:
        """Speak verses, nearly in order; each is answered once unless told to stop.

        Of the settings, those of a flow (steps, guidance, solver) mean nothing to this network.
        """
        speaking = VerseSpeaking(
            self.voice.frontend,
            self.voice.config.sampling_rate,
            lambda texts, seeds: self._synthesise(texts, seeds, settings),
            settings.batch_frames,
            EDGE_S,
            settings.length_scale,
            settings.seed,
        )
        return speaking.speak(verses, should_stop, WINDOW)

    def _synthesise(
        self, texts: Sequence[Sequence[int]], seeds: Sequence[int], settings: SpeakingSettings
    ) -> Iterator[PhraseSound]:
        """One phrase after the other: noise is drawn for a whole batch, so company would be heard."""
        devices = [self.device] if self.device.type == "cuda" else []
        for ids, seed in zip(texts, seeds, strict=True):
            network_ids = self.voice.frontend.network_ids(ids)
            read = torch.tensor([list(network_ids)], device=self.device)
            with torch.random.fork_rng(devices):
                torch.manual_seed(seed)
                samples, durations = synthesise(
                    self.network,
                    read,
                    temperature=settings.temperature,
                    length_scale=settings.length_scale,
                )
            ends = durations.cumsum(0).cpu().numpy()
            if len(network_ids) < len(ids):  # without blanks, which then last no time
                ends = np.concatenate([[0], np.repeat(ends, 2)])
            yield PhraseSound(samples.float().cpu().numpy(), ends)
