"""What a GPU multiplies in its hardware decides how both models train and compute; bf16 is never emulated."""

from types import SimpleNamespace

import pytest
import torch

from codex_worker.asr.precision import fastest_precision
from codex_worker.asr.recipe import choose_recipe
from codex_worker.child.gpu_share import take_at_most
from codex_worker.contract.options import TrainingOptions
from codex_worker.stabletts.recipe import plan
from codex_worker.training.machine import Machine, this_machine
from codex_worker.vits.recipe import VITS

GIB = 2**30
HOUR = [345] * 900
CARDS = {
    "GTX 1080": ((6, 1), 8 * GIB, "fp32"),
    "P100": ((6, 0), 16 * GIB, "fp32"),
    "V100": ((7, 0), 32 * GIB, "fp16"),
    "T4": ((7, 5), 15 * GIB, "fp16"),
    "A100": ((8, 0), 80 * GIB, "bf16"),
    "A10": ((8, 6), 24 * GIB, "bf16"),
    "H100": ((9, 0), 80 * GIB, "bf16"),
    "B200": ((10, 0), 180 * GIB, "bf16"),
}


@pytest.fixture(params=list(CARDS.values()), ids=list(CARDS))
def card(request, monkeypatch):
    """A GPU of that kind, as torch tells of it; as of every one, that bf16 can be had, if emulated."""
    capability, memory, precision = request.param
    properties = SimpleNamespace(total_memory=memory, major=capability[0], minor=capability[1])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device=None: properties)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: including_emulation or capability[0] >= 8,
    )
    return memory, precision


def test_a_card_computes_in_what_it_multiplies_in_its_hardware(card):
    memory, precision = card
    machine = this_machine()
    assert (machine.device, machine.memory_bytes, machine.precision) == ("cuda", memory, precision)
    assert machine.has_bf16 == (precision == "bf16")
    assert fastest_precision(torch.device("cuda")) == precision


def test_all_recipes_follow_it(card):
    _, precision = card
    machine = this_machine()
    transcriber = choose_recipe(1.0, 600, machine=machine)
    # A card that has bf16 may keep the weights themselves in it.
    assert transcriber.precision.removesuffix("_weights") == precision
    assert choose_recipe(1.0, 600, preset="tiny", machine=machine).precision == "fp32"
    voice = plan(TrainingOptions(), HOUR, start="official", machine=machine)
    assert voice.training.precision == precision
    other = plan(TrainingOptions(), HOUR, start="official", machine=machine, method=VITS)
    assert other.training.precision == "fp32", "as it is published"


@pytest.mark.parametrize(("part", "share"), [(0.25, 0.25), (1, 1), (2, 1)])
def test_a_job_plans_with_its_share_of_a_card_that_others_use_as_well(card, monkeypatch, part, share):
    memory, _ = card
    shares: dict[int, float] = {}

    def set_share(share: float, device: int) -> None:
        assert 0 <= share <= 1, "torch raises ValueError"
        shares[device] = share

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: bool(shares))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", set_share)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: shares[device])
    take_at_most(int(part * memory))
    assert this_machine().memory_bytes == int(share * memory)


def test_a_processor_trains_in_fp32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    take_at_most(0)  # there is nothing to share
    assert this_machine() == Machine() and Machine().precision == "fp32"


def test_half_precision_of_either_kind_takes_half_the_memory():
    def checkpoints(machine):
        return choose_recipe(1.0, 600, machine=machine).gradient_checkpointing

    found = [
        checkpoints(Machine("cuda", 48 * 10**9, *kinds))
        for kinds in ((True, False), (False, True), (False, False))
    ]
    assert found == [False, False, True]


def test_a_collapse_in_fp16_starts_again_in_fp32_with_less_memory():
    safer = choose_recipe(1.0, 600, machine=Machine("cuda", 32 * GIB, has_fp16=True)).safer()
    assert safer.precision == "fp32" and safer.gradient_checkpointing
