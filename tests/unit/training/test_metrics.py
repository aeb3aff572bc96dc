import csv
import io
import math
from itertools import pairwise

import pytest

from codex_worker.training.metrics import MAX_ROWS, MetricsTable


def parsed(table):
    return list(csv.DictReader(io.StringIO(table.render().decode())))


def test_the_csv_has_the_columns_in_order_and_blanks_for_what_is_missing():
    table = MetricsTable(["train_total_loss", "val_total_loss"])
    table.add({"epoch": 1, "train_total_loss": 2.5})
    table.add({"epoch": 2, "train_total_loss": 2.0, "val_total_loss": 1.5, "unknown": 3.0})
    assert table.render() == b"epoch,train_total_loss,val_total_loss\n1,2.500000,\n2,2.000000,1.500000\n"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_numbers_that_cannot_be_drawn_are_blank(value):
    table = MetricsTable(["val_cer"])
    table.add({"epoch": 1, "val_cer": value})
    assert table.render() == b"epoch,val_cer\n1,\n"


def test_a_table_without_rows_is_still_not_an_empty_file():
    assert MetricsTable(["val_cer"]).render() == b"epoch,val_cer\n"


def test_a_row_seen_again_updates_the_old_one():
    table = MetricsTable(["a", "b"])
    table.add({"epoch": 1, "a": 1.0})
    table.add({"epoch": 1, "b": 2.0})
    assert table.rows == [{"epoch": 1.0, "a": 1.0, "b": 2.0}]


def test_a_long_run_is_thinned_evenly_and_keeps_its_first_and_last_row():
    table = MetricsTable(["a"])
    for epoch in range(1, 5001):
        table.add({"epoch": epoch, "a": 1.0 / epoch})
    epochs = [float(row["epoch"]) for row in parsed(table)]
    assert len(epochs) == MAX_ROWS
    assert (epochs[0], epochs[-1]) == (1, 5000)
    gaps = [late - early for early, late in pairwise(epochs)]
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("every", [7, 44, 600])
def test_a_long_run_that_is_validated_now_and_then_keeps_its_validations(every):
    table = MetricsTable(["train_total_loss", "val_cer"])
    for epoch in range(1, 1779):
        row = {"epoch": epoch, "train_total_loss": 1.0}
        table.add(row | ({"val_cer": 0.5} if epoch % every == 0 or epoch == 1778 else {}))
    rows = parsed(table)
    assert len(rows) <= MAX_ROWS
    assert sum(bool(row["val_cer"]) for row in rows) >= min(1778 // every, MAX_ROWS // 2)
    assert [float(row["epoch"]) for row in rows] == sorted(float(row["epoch"]) for row in rows)
    assert rows[-1]["epoch"] == "1778"


def test_a_second_run_has_rows_of_its_own():
    table = MetricsTable(["val_cer", "run"])
    for run, epoch, rate in [(1, 1, 0.9), (1, 2, 0.4), (1, 3, 1.0), (2, 1, 0.8), (2, 2, 0.3), (1, 3, 1.0)]:
        table.add({"run": run, "epoch": epoch, "val_cer": rate})
    found = [(row["run"], row["epoch"], float(row["val_cer"])) for row in parsed(table)]
    assert found == [("1", "1", 0.9), ("1", "2", 0.4), ("1", "3", 1.0), ("2", "1", 0.8), ("2", "2", 0.3)]


def test_a_row_without_its_epoch_is_refused():
    with pytest.raises(ValueError, match="needs its epoch"):
        MetricsTable(["a"]).add({"a": 1.0})
