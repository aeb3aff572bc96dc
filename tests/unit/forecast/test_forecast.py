"""A forecast is a range that rests on figures, and says where it rests on none."""

import itertools
from dataclasses import replace

import pytest

from codex_worker.errors import UserError
from codex_worker.forecast.anchors import FULL, MEASURED, OBSERVED, TINY
from codex_worker.forecast.cost import ASSUMED_PRICE, TrainingWork, cost_of, price_of
from codex_worker.forecast.curves import ErrorRange
from codex_worker.forecast.project import forecast
from codex_worker.forecast.situation import Situation
from codex_worker.forecast.transcriber import expect
from codex_worker.forecast.voice import STAGES, expect_voice, stage

HOURS = (0.001, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 8, 10, 20, 33, 40, 100, 2000)
CURVES = pytest.mark.parametrize("curve", [FULL, TINY], ids=lambda curve: curve.name)


def one_reader(hours, **changes):
    return replace(Situation(round(hours * 1500) or 1, hours, (hours,), letters=26), **changes)


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (1, "8 to 15 in 100 letters wrong"),
        (5, "4 to 8 in 100 letters wrong"),
        (10, "2 to 5 in 100 letters wrong"),
        (20, "1 to 3 in 100 letters wrong"),
    ],
)
def test_hours_of_one_reader_give_what_is_published_for_them(hours, said):
    assert str(FULL.at(hours)) == said


@CURVES
def test_more_hours_never_promise_more_errors_at_either_end(curve):
    for fewer, more in itertools.pairwise(HOURS):
        assert curve.at(fewer).low >= curve.at(more).low
        assert curve.at(fewer).high >= curve.at(more).high


@CURVES
@pytest.mark.parametrize("hours", HOURS)
def test_every_range_is_one(curve, hours):
    found = curve.at(hours)
    assert 0 < found.low <= found.high <= 100


@CURVES
def test_a_range_that_goes_beyond_all_figures_says_so(curve):
    first, last = curve.anchors[0], curve.anchors[-1]
    assert "begin at" in curve.beyond(first.hours / 2)
    assert "end at" in curve.beyond(2 * last.hours)
    assert not curve.beyond((first.hours + last.hours) / 2)
    assert curve.at(last.hours * 4).high == curve.at(last.hours).high


@pytest.mark.parametrize("measured", MEASURED, ids=lambda each: each.how)
def test_the_range_for_one_speakers_minutes_holds_what_this_program_reached_with_them(measured):
    curve = {FULL.name: FULL, TINY.name: TINY}[measured.preset]
    found = expect(curve, one_reader(measured.hours)).letters_wrong
    assert found.low <= measured.percent <= found.high


@pytest.mark.parametrize("row", [each for each in OBSERVED if "spontaneous" not in each.hours])
def test_the_middle_language_of_a_published_table_is_inside_the_range_or_read_better_with_more(row):
    fewest, most = (float(part) for part in row.hours.split("-"))
    assert FULL.at(most).low <= row.median_percent <= FULL.at(fewest).high


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), float("inf")])
def test_no_hours_give_a_sentence_instead_of_a_range(hours):
    with pytest.raises(UserError, match="no recordings"):
        FULL.at(hours)


@CURVES
@pytest.mark.parametrize("hours", [0.1, 0.3, 3, 30])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hours_by_speaker": 3}, "3 voices"),
        ({"noisy_share": 0.5}, "noise in 50 %"),
        ({"repeated_share": 0.9}, "90 % of the time repeats"),
        ({"repeated_share": 0.9999, "noisy_share": 1.0}, "noise in 100 %"),
    ],
)
def test_what_may_harm_moves_the_worse_end_only_and_is_said(curve, hours, change, says):
    if "hours_by_speaker" in change:
        change = {"hours_by_speaker": (hours / 2, hours / 4, hours / 4)}
    plain, harmed = expect(curve, one_reader(hours)), expect(curve, one_reader(hours, **change))
    assert harmed.letters_wrong.low == plain.letters_wrong.low
    assert harmed.letters_wrong.high >= plain.letters_wrong.high
    assert harmed.letters_wrong.high > plain.letters_wrong.high or hours < 1 or curve is TINY
    assert any(says in line for line in harmed.rests_on)
    assert not any(says in line for line in plain.rests_on)


def test_letters_that_cannot_be_learnt_are_wrong_at_both_ends():
    plain = expect(FULL, one_reader(10)).letters_wrong
    rare = expect(FULL, one_reader(10, rare_share=0.02)).letters_wrong
    assert (rare.low, rare.high) == pytest.approx((plain.low + 2, plain.high + 2))


@pytest.mark.parametrize(("letters", "is_said"), [(26, False), (300, True)])
def test_a_script_of_many_letters_is_named_as_not_counted(letters, is_said):
    found = expect(FULL, one_reader(5, letters=letters))
    assert found.letters_wrong == expect(FULL, one_reader(5)).letters_wrong
    assert any("300 different letters" in line for line in found.not_counted) is is_said


@pytest.mark.parametrize(("words", "is_said"), [(28, True), (1, True), (800, False), (None, False)])
def test_texts_of_few_words_are_named_as_not_counted(words, is_said):
    found = expect(FULL, one_reader(5, words=words))
    assert any("different words" in line for line in found.not_counted) is is_said


@pytest.mark.parametrize(
    ("curve", "minutes", "may_not_read"),
    [(FULL, 3, True), (FULL, 30, False), (FULL, 600, False), (TINY, 18, False), (TINY, 6, True)],
)
def test_too_little_to_learn_to_read_is_told(curve, minutes, may_not_read):
    assert expect(curve, one_reader(minutes / 60)).may_not_read is may_not_read


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (ErrorRange(8, 15), "8 to 15 in 100 letters wrong"),
        (ErrorRange(0.84, 2.31), "0.8 to 2.3 in 100 letters wrong"),
        (ErrorRange(9.96, 10.2), "10 in 100 letters wrong"),
    ],
)
def test_a_range_has_no_more_digits_than_it_deserves(found, said):
    assert str(found) == said


@pytest.mark.parametrize("typed", ["-1", "nan", "inf", "2,5", "", "free", "1e9"])
def test_what_is_no_price_is_refused_with_an_example(typed):
    with pytest.raises(UserError, match=r"such as 2\.5"):
        price_of(typed)


WORK = TrainingWork(4000, 80.0, 600_000_000)


def test_money_is_hours_times_the_price_and_its_assumption_is_named():
    assumed, told = cost_of(WORK, None), cost_of(WORK, 2.5)
    assert assumed.hours == told.hours
    assert told.money == pytest.approx([2.5 * hours for hours in told.hours])
    assert assumed.money == pytest.approx([ASSUMED_PRICE * hours for hours in assumed.hours])
    assert any("assumed" in line and "--price-per-hour" in line for line in assumed.rests_on)
    assert not any("assumed" in line for line in told.rests_on)
    assert any("H200" in line for line in told.rests_on)


def test_an_own_machine_costs_nothing():
    assert cost_of(WORK, price_of("0")).money == (0.0, 0.0)


def test_a_network_of_another_size_is_named_as_not_measured():
    smaller = replace(WORK, parameters=300_000_000)
    assert cost_of(smaller, 1.0).hours < cost_of(WORK, 1.0).hours
    assert any("in proportion" in line for line in cost_of(smaller, 1.0).rests_on)
    assert not any("in proportion" in line for line in cost_of(WORK, 1.0).rests_on)


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(0.5, "too little"), (6, "first impression"), (18, "first impression"), (130, "usable"), (600, "good")],
)
def test_a_voice_is_promised_by_the_minutes_of_one_person(minutes, said):
    assert said in expect_voice(one_reader(minutes / 60)).expectation


def test_minutes_of_other_people_help_a_voice_at_best():
    alone = expect_voice(one_reader(2.5, hours_by_speaker=(0.3,) * 8 + (0.1,)))
    assert alone.expectation.startswith(stage(18).expectation)
    assert stage(150).expectation in alone.expectation
    assert "at best" in alone.expectation


def test_every_stage_of_a_voice_has_its_source_and_says_what_comes_next():
    for this, following in itertools.pairwise(STAGES):
        found = expect_voice(one_reader((this.from_minutes + 1) / 60))
        assert this.source in found.rests_on[0]
        assert following.expectation in found.rests_on[-1]


def test_nothing_is_forecast_from_nothing():
    assert forecast(Situation(0, 0.0, ())) is None


def test_the_lines_begin_with_the_answers_and_name_hours_and_money_where_asked():
    with_cost, without = forecast(one_reader(1), {"full": WORK}, 2.0), forecast(one_reader(1))
    assert with_cost and without
    said = list(with_cost.lines())
    assert "8 to 15 in 100 letters wrong" in said[1]
    assert sum("of a GPU, which cost" in line for line in said) == 1
    assert not any("of a GPU, which cost" in line for line in without.lines())
