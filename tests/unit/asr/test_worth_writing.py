import pytest

from codex_worker.asr.held_out_rate import HeldOutRate
from codex_worker.asr.transcribe import Transcript
from codex_worker.asr.worth_writing import LOOKED_AT, Doubt, WritingGate

WELL, BADLY, UNKNOWN, HANDFUL = (
    HeldOutRate(0.1, 40),
    HeldOutRate(0.6, 40),
    HeldOutRate(None, None),
    HeldOutRate(0.1, 2),
)


def readings(count, confidence):
    return [
        Transcript(str(place), "text", confidence, is_uncertain=confidence < 0.6) for place in range(count)
    ]


def written(gate, heard):
    """How many results were let go after each reading, and in all."""
    counts = [len(gate.take(one, one.key)) for one in heard]
    return counts, sum(counts) + len(gate.finish())


@pytest.mark.parametrize(
    ("rate", "can_tell", "heard", "all_written", "doubt"),
    [
        (WELL, False, readings(3, 0.1), True, None),  # the rate is known, the readings need not say it
        (WELL, True, readings(3, 0.1), False, Doubt.TOO_UNSURE),  # recordings unlike all that it learnt from
        (WELL, True, readings(3, 0.9), True, None),
        (WELL, True, readings(3, 0.5), True, None),
        (BADLY, False, readings(3, 0.99), False, Doubt.TOO_WRONG),
        (BADLY, True, readings(3, 0.99), False, Doubt.TOO_WRONG),
        (UNKNOWN, False, readings(3, 0.9), True, None),
        (UNKNOWN, False, readings(3, 0.1), False, Doubt.TOO_UNSURE),
        (UNKNOWN, False, readings(9, 0.1) + readings(1, 0.9), False, Doubt.TOO_UNSURE),
        (UNKNOWN, False, readings(8, 0.1) + readings(2, 0.9), True, None),
        (HANDFUL, False, readings(3, 0.1), False, Doubt.TOO_UNSURE),
        (HANDFUL, False, readings(3, 0.9), True, None),
        (WELL, True, [], True, None),
        (UNKNOWN, False, [], True, None),
    ],
)
def test_gibberish_is_withheld_by_what_is_known_of_the_transcriber(rate, can_tell, heard, all_written, doubt):
    gate: WritingGate[str] = WritingGate(rate, can_tell=can_tell)
    _, total = written(gate, heard)
    assert total == (len(heard) if all_written else 0)
    assert gate.doubt is doubt
    assert list(gate.withheld) == ([] if all_written else [one.key for one in heard])


@pytest.mark.parametrize(("rate", "can_tell"), [(UNKNOWN, False), (WELL, True)])
def test_results_wait_only_until_enough_readings_were_looked_at(rate, can_tell):
    counts, total = written(WritingGate(rate, can_tell=can_tell), readings(LOOKED_AT + 3, 0.9))
    assert counts == [0] * (LOOKED_AT - 1) + [LOOKED_AT, 1, 1, 1]
    assert total == LOOKED_AT + 3


def test_a_bad_beginning_does_not_condemn_readings_that_are_sure():
    heard = readings(LOOKED_AT, 0.1) + readings(LOOKED_AT, 0.9)
    counts, total = written(WritingGate(UNKNOWN, can_tell=False), heard)
    assert not any(counts[:LOOKED_AT])
    assert total == len(heard)


def test_a_firm_rate_below_the_bound_lets_each_result_go_at_once():
    assert written(WritingGate(WELL, can_tell=False), readings(3, 0.1))[0] == [1, 1, 1]
