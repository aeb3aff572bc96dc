"""A whole job with every default learns to read real people from eighteen minutes of them.

The recordings are Debian's voice prompts in English and Russian (`make real`); where they are not to be had,
these tests are skipped.
"""

import pytest

from codex_worker.text.error_rate import character_error_rate
from codex_worker.text.normalise import recipe_for
from sample.real_speech.truth import Role
from tests.support.real_speech import LearntProject

pytestmark = pytest.mark.acceptance

WRONG_AT_MOST = 0.45  # of the letters of recordings that the training never heard


def error_rate(learnt: LearntProject) -> float:
    """Of the letters that are said in the recordings without text."""
    texts = [cell.text for cell in learnt.truth.with_role(Role.TRAINING)]
    normal = recipe_for(texts, languages=[learnt.truth.language])
    unheard, readings = learnt.truth.with_role(Role.UNHEARD), learnt.readings()
    return character_error_rate(
        [normal.apply(cell.said) for cell in unheard], [readings[cell.cell]["text"] for cell in unheard]
    )


def test_the_letters_of_recordings_without_text_are_read(learnt):
    assert learnt.asr.response["state"] == "completed", learnt.asr.log[-4000:]
    rate = error_rate(learnt)
    print(f"\n{learnt.truth.language}: character error rate {rate:.3f}")
    assert rate <= WRONG_AT_MOST


def test_the_error_rate_that_a_job_gives_is_like_that_of_the_cells_that_it_reads(learnt):
    given = learnt.asr.response["result"]["metrics"]["val_cer"]
    assert given == pytest.approx(error_rate(learnt), abs=0.15)
