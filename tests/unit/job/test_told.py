"""What the lists of a job and its cells come to is counted, with the entries that mean nothing."""

import pytest

from codex_worker.codex.choose import cells_for_training, cells_to_speak, cells_to_transcribe
from codex_worker.contract.options import read_options
from codex_worker.data.project import Project
from codex_worker.errors import DataError, UserError
from codex_worker.job.memory import MemoryScanner, job_in
from codex_worker.job.summary import Summary, What, sentence_of
from handlers.steps import cells_to_train_on
from handlers.told import facts_of_choice, facts_of_training, naming_unmatched
from tests.support.notebooks import notebook, recorded_cell, written_cell

CELLS = (recorded_cell("MRK 1:1", "kata"), recorded_cell("MRK 1:2"), written_cell("MRK 1:3", "kata"))
SIGNS = (written_cell("MRK 2:1", "…"), written_cell("MRK 2:2", "?!"))
NOWHERE = [f"GEN.1.{verse}" for verse in range(1, 8)]


def project_of(tmp_path, *cells):
    files = {"files/target/MRK.codex": notebook(*cells)}
    return Project(MemoryScanner(files, job_in(tmp_path / "job")))


def chosen(tmp_path, rule, cells=CELLS, **lists):
    options = read_options(
        {"inference": lists}, job_type="tts", mode="inference", model_type="stabletts"
    ).inference
    return project_of(tmp_path, *cells).choose(rule, options)


@pytest.mark.parametrize(
    ("rule", "cells", "lists", "said"),
    [
        (cells_to_speak, CELLS, {}, []),
        (cells_to_speak, CELLS[:1], {}, ["every verse with text has a recording already"]),
        (cells_to_transcribe, CELLS[:1], {}, ["every recording has a text already"]),
        (
            cells_to_speak,
            (*CELLS, *SIGNS),
            {},
            ["0 of 1 cells written; 2 cells hold no letters: nothing to say (MRK 2:1)"],
        ),
        (
            cells_to_speak,
            (CELLS[0], SIGNS[0]),
            {},
            ["every verse with text has a recording already", "1 cell holds no letters: nothing to say"],
        ),
        (cells_to_speak, SIGNS, {}, ["2 cells hold no letters: nothing to say"]),
        (
            cells_to_speak,
            SIGNS,
            {"include_verses": ["MRK 2:2"]},
            ["1 cell holds no letters: nothing to say (MRK 2:2)"],
        ),
        (cells_to_speak, CELLS[1:2], {}, ["1 cell could not be worked on (MRK 1:2: no text)"]),
        (cells_to_transcribe, CELLS[2:], {}, ["1 cell could not be worked on (MRK 1:3: no recording)"]),
        (
            cells_to_speak,
            CELLS,
            {"include_verses": ["MRK 1:2", "MRK 1:3", "GEN.1.1"]},
            ["1 cell could not be worked on (MRK 1:2: no text)", "names no cell: GEN.1.1"],
        ),
        (cells_to_speak, CELLS, {"exclude_verses": ["MRK 1:3"]}, ["1 cell is excluded by the list"]),
        (
            cells_to_speak,
            CELLS,
            {"exclude_verses": NOWHERE},
            ["GEN.1.1, GEN.1.2, GEN.1.3, GEN.1.4, GEN.1.5 and 2 more"],
        ),
        (
            cells_to_speak,
            CELLS,
            {"include_verses": NOWHERE},
            ["7 entries of the inference list name no cell"],
        ),
    ],
)
def test_why_fewer_cells_are_worked_on_is_said(tmp_path, rule, cells, lists, said):
    found = chosen(tmp_path, rule, cells, **lists)
    facts = facts_of_choice(found, What.ALL_RECORDED if rule is cells_to_speak else What.ALL_WRITTEN)
    sentence = sentence_of(Summary(asked=len(found.chosen), written=0, facts=tuple(facts)))
    assert all(part in sentence for part in said), sentence
    assert said or sentence == "Done: 0 of 1 cells written."


def test_a_list_of_training_that_names_no_cell_is_named_in_the_error(tmp_path):
    config = {"training": {"include_verses": NOWHERE}}
    job = job_in(tmp_path / "job", config, mode="training")
    with pytest.raises(UserError, match=r"GEN\.1\.1, .*GEN\.1\.5 and 2 more name no cell of this project"):
        cells_to_train_on(job, project_of(tmp_path, *CELLS))


def test_what_is_not_learnt_from_is_counted(tmp_path):
    config = {"training": {"include_verses": ["MRK 1", "GEN.1.1"]}}
    job = job_in(tmp_path / "job", config, mode="training")
    cells = cells_to_train_on(job, project_of(tmp_path, *CELLS))
    lines = Summary(facts=tuple(facts_of_training(cells, [], ["MRK 1:1: it is silent"]))).lines
    assert lines == [
        "1 entry of the training list names no cell: GEN.1.1",
        "1 recording was not learnt from (MRK 1:1: it is silent)",
        "2 verses of those to learn from could not be used (MRK 1:2: no text)",
    ]
    with (
        pytest.raises(DataError, match=r"Nothing\. In the job's list of verses, GEN\.1\.1 names no cell"),
        naming_unmatched(cells),
    ):
        raise DataError("Nothing.")


def test_training_and_inference_count_their_own_lists(tmp_path):
    cells = project_of(tmp_path, *CELLS).choose(cells_for_training, job_in(tmp_path / "j").options.training)
    assert cells.unmatched == () and cells.unmatched_sentence == ""
