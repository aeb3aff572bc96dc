"""What a collapse is and what has not been learnt, from numbers alone and in whole runs."""

from dataclasses import replace

import pytest

from codex_worker.asr import train as training
from codex_worker.asr.corpus import Split
from codex_worker.asr.ctc_task import CtcTask
from codex_worker.asr.learning import (
    UNREAD_CER,
    NotLearnt,
    Reading,
    has_collapsed,
    require_differing_texts,
    unread_rate,
)
from codex_worker.errors import UserError
from tests.support.made_plans import Remembers, plan_over_noise
from tests.support.spoken import Unwatched

NAN = float("nan")


def readings(*pairs, every=100):
    return [Reading(every * (place + 1), loss, cer) for place, (loss, cer) in enumerate(pairs)]


# Held-out loss and error rate of real English speech, 18 minutes, read by a small network of random layers.
PLATEAU = [(4.3, 1.0), (3.41, 1.0), (3.25, 0.986), (3.2, 0.98), (3.1, 0.949), (2.9, 0.859), (2.5, 0.733)]
GOOD_THEN_BAD = [(0.9, 0.4), (3.1, 1.0), (3.1, 1.0), (3.1, 0.99)]


@pytest.mark.parametrize(
    ("seen", "collapsed"),
    [
        ([], False),
        ([(3.0, 1.0)], False),
        (PLATEAU, False),
        ([(3.0, 1.0)] * 60, False),  # it learns nothing: said at the end, and no cure for a restart
        ([(NAN, 1.0)], True),
        ([(0.5, 0.3), (NAN, 1.0)], True),
        ([(float("inf"), 1.0)], True),
        (GOOD_THEN_BAD, True),
        (GOOD_THEN_BAD[:3], False),  # two bad readings may be an accident
        ([(0.9, 0.4), (3.3, 1.0), (2.9, 1.0), (2.4, 0.95)], False),  # its loss falls: it is on the way back
        ([(0.9, 0.4), (3.1, 1.0), (3.1, 0.7), (3.1, 1.0), (3.1, 1.0)], False),
        ([(2.0, 0.7), (3.1, 1.0), (3.1, 1.0), (3.1, 1.0)], False),  # it never read well
        ([(0.2, 0.05), (0.6, 0.2), (0.9, 0.5)], False),  # worse, but it reads
    ],
)
def test_a_collapse_is_numbers_that_are_none_or_reading_that_is_lost_and_stays_so(seen, collapsed):
    assert has_collapsed(readings(*seen)) is collapsed


def test_bad_readings_within_a_few_updates_are_no_collapse_yet():
    assert not has_collapsed(readings(*GOOD_THEN_BAD, every=3))


VERSES = [
    f"{one} {two} {three}" for one in ("god", "men") for two in ("saw", "made") for three in ("us", "it")
]


@pytest.mark.parametrize(
    ("texts", "lowest", "highest"),
    [
        (
            [f"{word * 3} {word[::-1]}" for word in ("abc", "defgh", "ij", "klmno", "pqr")],
            UNREAD_CER,
            UNREAD_CER,
        ),
        (["in the beginning"] * 95 + VERSES[:5], 0.0, 0.1),  # always writing the same is right then
        (VERSES, 0.2, 0.7),
    ],
)
def test_who_reads_no_better_than_by_guessing_has_not_learnt(texts, lowest, highest):
    assert lowest <= unread_rate(texts) <= highest


@pytest.mark.parametrize(
    "texts", [["amen"] * 30, ["in the beginning"] * 2, ["ha", "ha ha", "ha ha ha"], ["神"] * 3]
)
def test_recordings_that_all_say_the_same_are_refused_with_what_to_do(texts):
    with pytest.raises(
        UserError, match=f"All {len(texts)} recordings say the same.*Record verses that differ"
    ):
        require_differing_texts(texts)
    require_differing_texts([*texts, "something else"])


def rates(monkeypatch, of_epoch):
    """Readings by epoch, counted from 1; the loss falls where it is not said. No network works for it."""

    def losses(self, batch):
        return {"total": next(self.model.parameters()).sum() * 0.0}

    def validate(self):
        said = of_epoch(self._epoch + 1)
        cer, loss = said if isinstance(said, tuple) else (said, 3.0 - 0.01 * self._epoch)
        return {"val_cer": cer, "val_total_loss": loss}

    monkeypatch.setattr(CtcTask, "losses", losses)
    monkeypatch.setattr(CtcTask, "validate", validate)


@pytest.mark.parametrize(
    ("epochs", "of_epoch", "said"),
    [
        (1, lambda epoch: 1.07, "about 100 of 100 letters are wrong, of 2 recordings that it had not heard"),
        (20, lambda epoch: 0.98, "about 98 of 100 .* still getting better: give it more epochs"),
        (20, lambda epoch: (1.0, 3.0), "say their texts, in the language"),
        (20, lambda epoch: 0.72 if epoch == 1 else 0.9, "about 90 of 100"),  # luck before the warm-up's end
    ],
)
def test_a_training_that_has_not_learnt_to_read_fails_at_its_end_with_what_to_do(
    tmp_path, monkeypatch, epochs, of_epoch, said
):
    rates(monkeypatch, of_epoch)
    progress = Remembers()
    with pytest.raises(NotLearnt, match=said) as raised:
        training.train(plan_over_noise(tmp_path, manifest={"epochs": epochs}), tmp_path / "run", progress)
    assert "has not learnt to read" in str(raised.value)
    assert len(progress.rows) == epochs, "it was not begun anew"
    assert not any("safer" in message for message in progress.messages)


def test_noise_teaches_nobody_to_read_not_even_by_the_recordings_trained_on(tmp_path):
    plan = plan_over_noise(tmp_path, manifest={"epochs": 5})
    plan = replace(plan, data=Split(plan.data.train, plan.data.train))
    with pytest.raises(NotLearnt, match="even of those it learnt from"):
        training.train(plan, tmp_path / "run", Unwatched())


def test_one_sentence_repeated_is_refused_before_any_training(tmp_path):
    progress = Remembers()
    with pytest.raises(UserError, match="say the same"):
        training.train(plan_over_noise(tmp_path, texts=("in the beginning",) * 3), tmp_path / "run", progress)
    assert not progress.rows


def test_an_early_lucky_reading_and_a_long_plateau_end_no_training(tmp_path, monkeypatch):
    def of_epoch(epoch):
        return 0.97 if epoch == 1 else 1.0 if epoch < 67 else max(0.2, 1.0 - 0.05 * (epoch - 66))

    rates(monkeypatch, of_epoch)
    plan = plan_over_noise(tmp_path, manifest={"epochs": 90, "early_stopping_patience": 5})
    trained = training.train(plan, tmp_path / "run", Unwatched())
    assert trained.metrics["val_cer"] == 0.2
    assert trained.outcome.epochs_completed == 90


def test_patience_counts_from_the_first_reading_that_is_words(tmp_path, monkeypatch):
    rates(monkeypatch, lambda epoch: 1.0 if epoch < 40 else 0.45)
    plan = plan_over_noise(tmp_path, manifest={"epochs": 60, "early_stopping_patience": 5})
    monkeypatch.setattr(training, "unread_rate", lambda texts: 0.5)
    trained = training.train(plan, tmp_path / "run", Unwatched())
    assert trained.outcome.ended == "finished", (
        "equal readings are taken as better: more training reads better"
    )
    rates(monkeypatch, lambda epoch: 1.0 if epoch < 40 else 0.4 + 0.001 * epoch)
    trained = training.train(plan, tmp_path / "again", Unwatched())
    assert (trained.outcome.ended, trained.outcome.epochs_completed) == ("early", 45)


def test_a_model_that_reads_from_its_start_may_be_best_before_it_is_warm(tmp_path, monkeypatch):
    rates(monkeypatch, lambda epoch: 0.1 * epoch)
    trained = training.train(plan_over_noise(tmp_path, manifest={"epochs": 4}), tmp_path / "run", Unwatched())
    assert trained.outcome.best_epoch == 1
