"""A probe trains as a job does, for its time and not longer, and compares what can be compared."""

import itertools

import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2Model

from codex_worker.asr.held_out_rate import MOST_WRONG
from codex_worker.asr.probe import PARTS, ProbeSettings, ProbeSubject, probe
from codex_worker.asr.start import FromNothing, FromWeights
from codex_worker.errors import ResourceError, UserError
from codex_worker.forecast import probed
from codex_worker.forecast.transcriber import HARDLY_READS_PERCENT
from codex_worker.text.normalise import TextRecipe
from codex_worker.training.machine import Machine
from tests.support.clock import FakeClock
from tests.support.spoken import sample_utterances

pytestmark = pytest.mark.acceptance  # whole trainings or readings: too long for every change

HOURS = 0.015  # of the recordings, about


class TickingClock(FakeClock):
    """A second passes whenever somebody looks at it."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_base(tmp_path):
    """A pre-trained body of another kind, as official weights lie in a folder: it reads samples."""
    config = Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48,
        conv_dim=[8] * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(tmp_path / "base")
    return ProbeSubject("own/small", FromWeights(tmp_path / "base", "own/small@1"), "full")


TINY = ProbeSubject("tiny", FromNothing(), "tiny")


def run_probe(tmp_path, subjects, seconds, clips=None):
    said: list[str] = []
    settings = ProbeSettings(seconds, tmp_path / "probe", TickingClock(), said.append, Machine(), workers=2)
    clips = sample_utterances("train")[:26] if clips is None else clips
    return probe(clips, subjects, settings, text_recipe=TextRecipe(), hours=HOURS), said


def test_a_race_gives_each_base_model_the_same_time_and_the_same_recordings(tmp_path, small_base):
    report, said = run_probe(tmp_path, [TINY, small_base], 10.0)
    assert [run.base for run in report.race] == ["tiny", "own/small"]
    assert [run.preset for run in report.race] == ["tiny", "full"]
    for run in report.race:
        assert run.end is not None
        assert 0 < run.updates <= 4
        assert 3 <= run.seconds <= 4
        assert run.planned_updates > run.updates
        assert run.hours < HOURS
    assert report.held_out >= 2
    assert report.race[0].hours == pytest.approx(report.race[1].hours, rel=0.05)
    assert any("Training own/small" in line for line in said)
    assert not report.parts  # nothing reads after so few updates, so parts would tell nothing
    assert any("give it more minutes" in line for line in report.lines())


class TooLarge(FromNothing):
    """A network that there is no memory for once it is to be trained."""

    def __init__(self):
        super().__init__()
        self.made = 0

    def network(self, vocabulary):
        self.made += 1
        if self.made > 1:
            raise ResourceError("cuda ran out of memory")
        return super().network(vocabulary)


def test_a_model_that_does_not_fit_leaves_the_race_to_the_others(tmp_path):
    report, _ = run_probe(tmp_path, [ProbeSubject("large", TooLarge(), "tiny"), TINY], 6.0)
    assert report.race[0].end is None
    assert "ran out of memory" in str(report.race[0])
    assert report.winner.base == "tiny"


def test_the_winner_trains_on_parts_within_each_other_where_it_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(probed, "NOT_READING_PERCENT", 1000.0)  # real reading takes minutes
    report, _ = run_probe(tmp_path, [TINY], 20.0, sample_utterances("train")[:44])
    whole = report.winner
    assert len(report.parts) == len(PARTS)
    for share, part in zip(PARTS, report.parts, strict=True):
        assert part.hours / whole.hours == pytest.approx(share, rel=0.35)
        assert part.end is not None
        assert part.updates < whole.updates
    assert all(smaller.hours < larger.hours for smaller, larger in itertools.pairwise(report.parts))
    assert report.law is not None


def test_a_forecast_calls_useless_what_is_not_written_into_cells():
    assert HARDLY_READS_PERCENT == 100 * MOST_WRONG


@pytest.mark.parametrize(("count", "said"), [(0, "there are 0"), (1, "there is 1"), (19, "there are 19")])
def test_too_few_recordings_to_probe_get_a_sentence(tmp_path, count, said):
    with pytest.raises(UserError, match=said) as refused:
        run_probe(tmp_path, [TINY], 20.0, sample_utterances("train")[:count])
    assert "without --probe" in str(refused.value)
