"""Residual LIF-18: its stem, and the sizes of its membranes."""

import pytest
import torch

import models


@pytest.mark.parametrize(
    ("size", "kernel", "sides"),
    [
        ((112, 112), 7, [56, 28, 14, 7, 4]),
        ((64, 64), 7, [32, 16, 8, 4, 2]),
        ((63, 63), 3, [63, 32, 16, 8, 4]),
        ((1, 1), 3, [1, 1, 1, 1, 1]),
    ],
)
def test_small_frames_keep_their_size_in_the_stem(
    size: tuple[int, int], kernel: int, sides: list[int]
) -> None:
    network = models.build("jester", size=size).eval()
    assert network.get_parameter("stem.conv.weight").shape == (64, 3, kernel, kernel)
    state = network.initial_state(1)
    assert [membrane.shape[-1] for membrane in state] == [
        sides[0],
        *(side for side in sides[1:] for _ in range(4)),
    ]
    with torch.no_grad():
        _, stepped = network.step(torch.ones(1, 3, *size), state)
    assert [membrane.shape for membrane in stepped] == [membrane.shape for membrane in state]
