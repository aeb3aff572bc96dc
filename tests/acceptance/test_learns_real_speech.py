"""A whole job with every default learns to read real people from eighteen minutes of them.

The recordings are Debian's voice prompts in English and Russian (`make real`); where they are not to be had,
these tests are skipped.
"""

import pytest

from codex_worker.text.error_rate import character_error_rate
from codex_worker.text.normalise import recipe_for
from sample.real_speech.truth import Role
from tests.support.real_speech import WorkedProject

pytestmark = pytest.mark.acceptance

WRONG_AT_MOST = 0.45  # of the letters of recordings that the training never heard


def error_rate(worked: WorkedProject) -> float:
    """Of the letters that are said in the recordings without text."""
    texts = [cell.text for cell in worked.truth.with_role(Role.TRAINING)]
    normal = recipe_for(texts, languages=[worked.truth.language])
    unheard, readings = worked.truth.with_role(Role.UNHEARD), worked.readings()
    return character_error_rate(
        [normal.apply(cell.said) for cell in unheard], [readings[cell.cell]["text"] for cell in unheard]
    )


def test_the_letters_of_recordings_without_text_are_read(worked):
    assert worked.asr.response["state"] == "completed", worked.asr.log[-4000:]
    rate = error_rate(worked)
    print(f"\n{worked.truth.language}: character error rate {rate:.3f}")
    assert rate <= WRONG_AT_MOST


def test_the_error_rate_that_a_job_gives_is_like_that_of_the_cells_that_it_reads(worked):
    given = worked.asr.response["result"]["metrics"]["val_cer"]
    assert given == pytest.approx(error_rate(worked), abs=0.15)
