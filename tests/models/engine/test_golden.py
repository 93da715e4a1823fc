"""The engine, in float32, against what the published reference code gives in float64."""

import numpy as np
import pytest
from engines import beside, engine_of
from numpy.typing import NDArray

import models
from tests.golden_draw import event_frames, golden, image_frames, tensors

CASES = {
    "dvs_gesture": ("dvs_gesture", {}, (2, 60, 2, 40, 40)),
    "mnist_dvs_analog": ("mnist_dvs", {}, (2, 20, 2, 40, 40)),
    "mnist_dvs_spike": ("mnist_dvs", {"mode": "spike"}, (2, 20, 2, 40, 40)),
    "cifar10_dvs": ("cifar10_dvs", {}, (1, 10, 2, 128, 128)),
    "luna16cls": ("luna16cls", {}, (2, 8, 1, 32, 32)),
}


def differing(ours: NDArray[np.float32], theirs: NDArray[np.float64]) -> float:
    """Return the share of numbers that are not within 1e-4 of each other."""
    far = ~np.isclose(ours, theirs.reshape(ours.shape), rtol=1e-4, atol=1e-4)
    return float(far.mean())


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    network_name, options, shape = CASES[name]
    draw = image_frames if name == "luna16cls" else event_frames
    frames, expected = draw(name, shape), golden(name)
    network = models.from_reference(network_name, tensors(name), **options).float()
    engine = engine_of(network)
    outputs, _ = engine.forward(frames)
    found = beside(engine, network, frames[0])
    assert found.differing <= found.decisions / 1e6
    assert found.furthest < 1e-4
    assert differing(outputs.mean(1), expected["mean_over_steps"]) == 0
    last = outputs.transpose(1, 0, 2)[-60:, :, :48]
    assert differing(last, expected["last_steps_first_48"]) == 0
    logits = engine.classifier.logits(outputs.mean(1))
    assert differing(logits, expected.get("output_time_mean_then_head", expected["output"])) == 0
    if "output_time_mean_then_head" in expected:
        per_step = engine.classifier.logits(outputs).mean(1)
        assert differing(per_step, expected["output"]) == 0
