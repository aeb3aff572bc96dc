import json

import pytest

from codex_worker.asr.held_out_rate import HELD_OUT_RECORDINGS, HeldOutRate


@pytest.mark.parametrize(
    ("metrics", "recordings", "cer"),
    [
        ({"val_cer": 0.2, "val_wer": 0.6}, 40, 0.2),
        ({"val_cer": 0.2}, None, 0.2),
        ({"val_cer": 0.2}, 0, None),  # those of the training itself
        ({"val_cer": 0.2, "val_cer_without_corrector": 0.2, "val_cer_with_corrector": 0.1}, 40, 0.1),
        ({"val_cer": 0.2, "val_cer_without_corrector": 0.2, "val_cer_with_corrector": 0.3}, 40, 0.2),
        ({"val_cer": 0.2, "test_cer": 0.25}, 40, 0.25),
        ({"val_cer": 0.2, "val_cer_greedy": 0.2, "val_cer_beam": 0.15}, 40, 0.2),  # the language was not kept
        ({"val_cer": "0.5"}, 40, 0.5),
        ({"val_cer": -1}, 40, None),
        ({"val_cer": True}, 40, None),
        ({"val_cer": 10**400}, 40, None),
        ({"val_cer": [0.1]}, 40, None),
        ([], 40, None),
        (None, None, None),
    ],
)
def test_the_rate_is_that_of_what_is_written_in_the_end(metrics, recordings, cer):
    assert HeldOutRate.of(metrics, recordings).cer == cer


@pytest.mark.parametrize(
    ("metrics", "cer"),
    [
        ({"val_cer": 0.6, "val_cer_greedy": 0.6, "val_cer_beam": 0.4}, 0.6),
        ({"val_cer": 0.6, "val_cer_beam": 0.4, "test_cer": 0.35, "test_cer_greedy": 0.55}, 0.55),
        ({"val_cer": 0.6, "test_cer": 0.55}, 0.55),
        ({"val_cer": 0.6, "val_cer_beam": 0.4, "val_cer_with_corrector": 0.3}, 0.6),
    ],
)
def test_a_job_that_reads_by_sound_alone_is_told_the_rate_of_that(metrics, cer):
    assert HeldOutRate.of(metrics, 40, is_greedy=True).cer == cer


@pytest.mark.parametrize(
    ("noted", "recordings"),
    [("63", 63), ("0", 0), (None, None), ("", None), ("-4", None), ("٣", None), ("9" * 5000, None)],
)
def test_a_checkpoint_notes_how_many_recordings_its_rate_is_of(noted, recordings):
    about = {"metrics": json.dumps({"val_cer": 0.2})} | (
        {} if noted is None else {HELD_OUT_RECORDINGS: noted}
    )
    rate = HeldOutRate.stored(about)
    assert (rate.recordings, rate.cer) == (recordings, None if recordings == 0 else 0.2)


@pytest.mark.parametrize("metrics", ["", "no json", "[" * 100_000, "null", "3"])
def test_metrics_that_cannot_be_meant_are_no_rate(metrics):
    assert HeldOutRate.stored({"metrics": metrics}).cer is None


@pytest.mark.parametrize(
    ("cer", "recordings", "too_wrong", "firm", "of_100"),
    [
        (0.0, 40, False, True, 0),
        (0.004, 40, False, True, 0),
        (0.5, 40, False, True, 50),
        (0.51, 40, True, True, 51),
        (1.07, 40, True, True, 100),
        (0.2, 2, False, False, 20),
        (0.2, None, False, True, 20),
        (None, 0, False, False, None),
        (None, None, False, False, None),
    ],
)
def test_what_a_rate_means(cer, recordings, too_wrong, firm, of_100):
    rate = HeldOutRate(cer, recordings)
    assert (rate.is_too_wrong, rate.is_firm, rate.wrong_of_100) == (too_wrong, firm, of_100)
