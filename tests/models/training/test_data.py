"""Labelled frames: what is refused, and what is given out."""

from typing import Any

import numpy as np
import pytest

from models import ModelError
from models.training.data import Examples, LabelledFrames


def labelled(**changes: Any) -> LabelledFrames:
    facts: dict[str, Any] = {
        "frames": np.arange(5 * 4 * 2 * 3 * 6, dtype=np.uint16).reshape(5, 4, 2, 3, 6),
        "labels": np.array([0, 1, 1, 0, 1]),
        "groups": np.zeros(5, np.int64),
        "classes": ("a", "b"),
        "sensor_size": (3, 6),
        "window_us": 1000,
    }
    return LabelledFrames(**facts | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": np.zeros((5, 4, 2, 3, 6))}, "integers or float32, got .* of float64"),
        ({"frames": np.zeros((5, 3, 6), np.uint8)}, r"got \(5, 3, 6\) of uint8"),
        ({"labels": np.array([0, 1])}, r"got 5 examples, \(2,\) labels"),
        ({"classes": ("a",)}, "labels must be 0 to 0, got 0 to 1"),
        ({"labels": np.array([0, 1, -1, 0, 1])}, "labels must be 0 to 1, got -1 to 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        labelled(**changes)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32])
def test_an_example_is_a_copy(dtype: type) -> None:
    examples: Examples = labelled(frames=np.ones((5, 4, 2, 3, 6), dtype))
    assert len(examples) == 5
    example = examples.example(3)
    assert (example.shape, example.dtype) == ((4, 2, 3, 6), dtype)
    example[:] = 0
    assert examples.example(3).all()
