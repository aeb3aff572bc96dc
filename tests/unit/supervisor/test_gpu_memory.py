"""What is learnt of a card from NVML, whatever driver, container and the operator's choice are."""

import pynvml
import pytest

from codex_worker.supervisor.gpu_memory import Card, CardTrouble
from tests.support.nvml import GIB, FakeCard, FakeNvml

FIRST = FakeCard("GPU-aaaaaaaa-1111-2222-3333-444444444444", "first")
SECOND = FakeCard("GPU-bbbbbbbb-1111-2222-3333-444444444444", "second")
PART = FakeCard("MIG-cccccccc-1111-2222-3333-444444444444", "a part", 5 * GIB)
SPLIT = FakeCard("GPU-dddddddd-1111-2222-3333-444444444444", "split", parts=[None, PART])


@pytest.mark.parametrize(
    ("cards", "visible", "seen", "name"),
    [
        ([FIRST, SECOND], None, "", "first"),
        ([FIRST, SECOND], "1", "", "second"),
        ([FIRST, SECOND], "1,0", "", "second"),
        ([FIRST, SECOND], " 1 , 0", "", "second"),
        ([FIRST, SECOND], SECOND.uuid, "", "second"),
        ([FIRST, SECOND], "GPU-bbbb", "", "second"),
        ([FIRST, SECOND], "GPU-eeee", "", None),
        # Torch's first card need not be the driver's: it takes the fastest.
        ([FIRST, SECOND], None, SECOND.uuid.removeprefix("GPU-"), "second"),
        ([FIRST, SECOND], "0", SECOND.uuid.removeprefix("GPU-"), "second"),
        ([FIRST, SECOND], None, "an identity that NVML doesn't know", "first"),
        # It may use none of them: a torch without CUDA.
        ([FIRST, SECOND], None, None, None),
        ([FIRST, SECOND], "2", "", None),
        ([FIRST, SECOND], "-1", "", None),
        ([FIRST, SECOND], "", "", None),
        ([FIRST, SECOND], "NoDevFiles", "", None),
        ([], None, "", None),
        ([SPLIT], None, "", "a part"),
        ([SPLIT], "0", "", "a part"),
        ([SPLIT], PART.uuid, "", "a part"),
        ([SPLIT], None, PART.uuid.removeprefix("MIG-"), "a part"),
        ([FIRST, SPLIT], "MIG-cccc", "", "a part"),
    ],
)
def test_the_card_is_the_one_that_a_jobs_process_sees_first(cards, visible, seen, name):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    card = Card(environment, FakeNvml(*cards))
    card.found(seen)
    memory = card.look()
    assert (memory and memory.name) == name


@pytest.mark.parametrize(
    ("card", "free_gib", "holders"),
    [
        (FakeCard(), 16, {}),
        (FakeCard(driver=GIB // 2), 15.5, {}),
        (FakeCard(resident={7: 3 * GIB, 8: GIB}), 12, {7: 3 * GIB, 8: GIB}),
        (FakeCard(resident={7: 3 * GIB}, graphics={7: 3 * GIB, 9: GIB}), 12, {7: 3 * GIB, 9: GIB}),
        # A container sees nobody, and the card is full all the same.
        (FakeCard(hidden=10 * GIB), 6, {}),
        # WSL lists processes and not what they hold.
        (FakeCard(resident={7: None}, hidden=10 * GIB), 6, None),
        (FakeCard(resident={7: GIB}, errors={"compute": pynvml.NVML_ERROR_NOT_SUPPORTED}), 15, None),
        (FakeCard(resident={7: GIB}, errors={"compute": pynvml.NVML_ERROR_NO_PERMISSION}), 15, None),
        (FakeCard(resident={7: GIB}, errors={"compute": pynvml.NVML_ERROR_FUNCTION_NOT_FOUND}), 15, None),
        (FakeCard(resident={7: GIB}, errors={"mps": pynvml.NVML_ERROR_FUNCTION_NOT_FOUND}), 15, {7: GIB}),
        (FakeCard(resident={7: GIB}, errors={"graphics": pynvml.NVML_ERROR_NOT_SUPPORTED}), 15, {7: GIB}),
    ],
)
def test_free_is_what_driver_and_processes_leave(card, free_gib, holders):
    memory = Card({}, FakeNvml(card)).look()
    assert memory is not None
    assert memory.free_bytes == free_gib * GIB and memory.holders == holders


def test_what_processes_hold_counts_where_the_driver_says_that_more_is_free():
    card = FakeCard(resident={7: 3 * GIB}, hidden=-2 * GIB)
    memory = Card({}, FakeNvml(card)).look()
    assert memory is not None and memory.free_bytes == 13 * GIB


@pytest.mark.parametrize(
    "nvml",
    [
        FakeNvml(error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND),
        FakeNvml(error=pynvml.NVML_ERROR_DRIVER_NOT_LOADED),
        FakeNvml(FakeCard(errors={"memory": pynvml.NVML_ERROR_NOT_SUPPORTED})),
    ],
)
def test_without_a_driver_and_on_cards_that_do_not_tell_there_is_nothing_to_wait_for(nvml):
    card = Card({}, nvml)
    assert card.look() is None and card.look() is None


@pytest.mark.parametrize(
    "error",
    [
        pynvml.NVML_ERROR_GPU_IS_LOST,
        pynvml.NVML_ERROR_UNKNOWN,
        pynvml.NVML_ERROR_TIMEOUT,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
        pynvml.NVML_ERROR_RESET_REQUIRED,
    ],
)
@pytest.mark.parametrize("where", ["init", "memory", "compute", "mig"])
def test_a_card_that_is_lost_is_said_and_found_again_when_it_is_back(error, where):
    fake = FakeCard(errors={} if where == "init" else {where: error})
    card = Card({}, nvml := FakeNvml(fake, error=error if where == "init" else None))
    for _ in range(2):
        with pytest.raises(CardTrouble, match="cannot be asked how much of its memory is free"):
            card.look()
    nvml.error = None
    fake.errors.clear()
    assert card.look() is not None


def test_the_real_library_answers_on_this_machine_or_is_not_there():
    memory = Card({}).look()
    assert memory is None or 0 <= memory.free_bytes <= memory.total_bytes
