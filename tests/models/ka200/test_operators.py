"""The chip's operators: what they compute, and what is kept from step to step."""

import pytest
import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.ka200.operators import ChipMemory, cmpandfire, load, resetwithdecay, save
from models.lif import Lif
from models.neurons import lif_step


def constants() -> list[Tensor]:
    return [torch.tensor(value) for value in (0.5, 0.125, 0.25, -0.0625)]


def test_a_step_in_the_chips_operators_is_one_of_the_neurons() -> None:
    theta, v_0, alpha, beta = constants()
    lif = Lif(theta=0.5, v_0=0.125, alpha=0.25, beta=-0.0625)
    x, v = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    fire, leak = lif_step(x, v, lif)
    with torch.no_grad():
        assert torch.equal(cmpandfire(x + v, theta), fire)
        assert torch.equal(resetwithdecay(x + v, theta, v_0, alpha, beta), leak)


def test_a_membrane_at_the_threshold_does_not_fire() -> None:
    v = torch.tensor([0.5, 0.5 + 2**-20])
    assert cmpandfire(v, torch.tensor(0.5)).tolist() == [0, 1]


def test_half_precision_stays_half_precision() -> None:
    v = torch.tensor([0.3], dtype=torch.float16)
    after = resetwithdecay(v, *constants())
    assert after.dtype == cmpandfire(v, constants()[0]).dtype == torch.float16


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 4, 5)])
def test_what_was_saved_is_loaded_until_a_reset(shape: tuple[int, ...]) -> None:
    zeros, memory = torch.zeros(shape), ChipMemory()
    value = torch.randn(shape)
    with memory.in_use():
        assert torch.equal(load(zeros, "v"), zeros)
        assert torch.equal(save(value, "v"), value)
        value_before = value.clone()
        value += 1
        assert torch.equal(load(zeros, "v"), value_before)
        assert torch.equal(load(zeros, "w"), zeros)
        memory.reset()
        assert torch.equal(load(zeros, "v"), zeros)


def test_maps_lie_in_the_chips_memory_with_channels_last() -> None:
    memory = ChipMemory()
    with memory.in_use():
        save(torch.zeros(1, 3, 4, 5), "map")
    assert memory.values["map"].shape == (1, 4, 5, 3)


def test_two_memories_know_nothing_of_each_other() -> None:
    one, other = ChipMemory(), ChipMemory()
    with one.in_use():
        save(torch.ones(1, 2), "v")
        with other.in_use():
            assert load(torch.zeros(1, 2), "v").tolist() == [[0, 0]]
        assert load(torch.zeros(1, 2), "v").tolist() == [[1, 1]]


class Sum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return save(load(torch.zeros_like(x), "sum") + x, "sum")


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_traced_module_keeps_its_memory_outside() -> None:
    memory, x = ChipMemory(), torch.ones(1, 2)
    with ChipMemory().in_use():
        traced = torch.jit.trace(Sum(), (x,), check_trace=False)
    assert "custom::load" in str(traced.graph)
    with memory.in_use():
        assert [traced(x).tolist() for _ in range(3)] == [[[1, 1]], [[2, 2]], [[3, 3]]]


def test_operators_without_a_memory_are_refused() -> None:
    with pytest.raises(ModelError, match="need a memory to work on"):
        load(torch.zeros(1, 2), "v")


def test_a_flag_is_of_one_shape() -> None:
    with ChipMemory().in_use():
        save(torch.zeros(1, 2), "v")
        with pytest.raises(ModelError, match=r"v is kept as \(1, 2\) and loaded as \(1, 3\)"):
            load(torch.zeros(1, 3), "v")
