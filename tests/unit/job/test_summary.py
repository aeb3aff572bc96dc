"""The sentence that a translator reads of a job."""

import pytest

from codex_worker.job.channel import BadMessage, LastWord
from codex_worker.job.summary import Fact, Summary, What, sentence_of, summary_of, with_saved


@pytest.mark.parametrize(
    ("path", "cells", "said"),
    [
        (None, 0, "It ended."),
        ("gpu_jobs/m.safetensors", 0, "It ended. Saved: the model gpu_jobs/m.safetensors."),
        (None, 1, "It ended. Saved: 1 cell."),
        ("m.safetensors", 5, "It ended. Saved: 5 cells and the model m.safetensors."),
    ],
)
def test_a_job_that_did_not_finish_says_what_is_saved(path, cells, said):
    assert with_saved("It ended.", path, cells) == said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Done."),
        ({"epochs": 5}, "Done: 5 epochs trained."),
        ({"asked": 16, "written": 16}, "Done: 16 cells written."),
        ({"epochs": 1, "asked": 1, "written": 1}, "Done: 1 epoch trained, 1 cell written."),
        (
            {"asked": 16, "written": 0, "facts": [Fact(what=What.NOTHING_HEARD, count=16)]},
            "Done: 0 of 16 cells written; 16 recordings, nothing was heard in any of them.",
        ),
        (
            {"asked": 1, "written": 0, "facts": [Fact(what=What.NOTHING_HEARD)]},
            "Done: 0 of 1 cells written; 1 recording, nothing was heard in it.",
        ),
        (
            {"asked": 0, "written": 0, "facts": [Fact(what=What.ALL_RECORDED, count=9)]},
            "Done: 0 cells written; every verse with text has a recording already: "
            "name verses to record them anew.",
        ),
        (
            {"epochs": 3, "facts": [Fact(what=What.NO_CORRECTOR, example="8 readings are too few")]},
            "Done: 3 epochs trained; no corrector: 8 readings are too few.",
        ),
        (
            {"epochs": 3, "facts": [Fact(what=What.TRAINING_LIST, count=7, names=tuple("abcdefg"))]},
            "Done: 3 epochs trained; 7 entries of the training list name no cell: a, b, c, d, e and 2 more.",
        ),
    ],
)
def test_a_finished_job_says_what_it_did_and_why_it_was_not_more(fields, said):
    assert sentence_of(Summary(**fields)) == said


def test_the_weightiest_fact_comes_first_whoever_counted_it_first():
    facts = [Fact(what=what, count=2) for what in reversed(What)]
    lines = Summary(facts=tuple(facts)).lines
    assert lines[0] == "nothing was heard in 2 recordings" and lines[-1] == "2 skipped"


@pytest.mark.parametrize("word", ["word ", "w" * 70 + " ", "x", "ላ"])
def test_a_long_sentence_is_cut_to_300_characters_and_keeps_what_weighs_most(word):
    facts = tuple(Fact(what=what, count=2, example=word * 200) for what in What)
    summary = Summary(asked=9, written=1, facts=facts)
    said = sentence_of(summary)
    assert len(said) <= 300 and said.endswith("…")
    assert said.startswith("Done: 1 of 9 cells written; nothing was heard in 2 recordings")
    whole = f"Done: 1 of 9 cells written; {'; '.join(summary.lines)}"
    assert whole.startswith(said[:-1])
    if " " in word:
        assert not whole[len(said) - 1].isalnum(), "it is cut within a word"


def test_what_a_project_calls_its_cells_cannot_break_the_line():
    fact = Fact(what=What.NOT_SPOKEN, example="MRK\n1:1\x1b[31m\u202e: too   long")
    assert fact.said == "1 verse could not be spoken (MRK 1:1 [31m : too long)"


def test_the_supervisor_may_count_again_what_is_in_the_project():
    summary = Summary(asked=16, written=16).at_head(written=14, changed_by_people=2)
    assert sentence_of(summary) == "Done: 14 of 16 cells written; 2 changed by people meanwhile."
    assert summary.at_head(written=14, changed_by_people=0).facts == summary.facts


def test_a_result_without_facts_is_told_by_its_counts():
    result = {"epochs_completed": True, "cells_written": 3, "cells_failed": 2, "cells_skipped": -1}
    assert sentence_of(summary_of(result)) == "Done: 3 cells written; 2 failed."


def test_a_summary_crosses_the_channel_as_it_was_said():
    fact = Fact(what=What.INFERENCE_LIST, count=1, names=("GEN.1.1",))
    word = LastWord({"success": True}, summary=Summary(asked=3, written=2, facts=(fact,)))
    assert LastWord.of_message(word.to_message()) == word


@pytest.mark.parametrize(
    "summary",
    [
        [],
        "x",
        {"written": -1},
        {"written": True},
        {"written": 10**12},
        {"facts": [{"what": "strange"}]},
        {"facts": [{"what": "failed", "names": 5}]},
        {"facts": [{"what": "failed"}] * 101},
        {"surprise": 1},
    ],
)
def test_a_summary_without_sense_is_refused(summary):
    with pytest.raises(BadMessage):
        LastWord.of_message({"event": "result", "result": {}, "summary": summary})
