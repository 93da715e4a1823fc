"""A small pipeline, its data and its weights, for tests of evaluation."""

from pathlib import Path
from typing import Any

from nmnist import write_digits
from weights import random_weights

from stages.evaluation.results import Result

DIGITS = tuple("0123456789")
PIPELINE = """
[run]
name = "digits"
[[stage]]
name = "camera"
use = "replay"
path = "nowhere/*.bin"
speed = 1
[[stage]]
name = "bins"
use = "time_bin"
window_us = 50_000
size = [34, 34]
[[stage]]
name = "steps"
use = "steps"
count = 4
[[stage]]
name = "network"
use = "snn"
weights = "weights.safetensors"
[[stage]]
name = "decision"
use = "aggregate"
[[stage]]
name = "screen"
use = "console"
"""
RECIPE = """
[data]
set = "nmnist"
seed = 1
validation = 0.25
test = 0.25
[[input.stage]]
use = "time_bin"
window_us = 50_000
size = [34, 34]
[network]
name = "mnist_dvs"
[network.options]
steps = 4
size = [34, 34]
[training]
epochs = 1
[card]
data = "a few simulated digits"
licence = "Apache-2.0"
"""


def write_case(folder: Path, each: int = 4, **options: Any) -> Path:
    """Write weights, recipe, so many recordings of each digit, and the pipeline; return that."""
    write_digits(folder / "data" / "nmnist", each)
    known = {"network": "mnist_dvs", "classes": DIGITS, "steps": 4, "mode": "spike"}
    random_weights(folder / "weights.safetensors", 50_000, (34, 34), **(known | options))
    (folder / "recipe.toml").write_text(RECIPE)
    path = folder / "digits.toml"
    path.write_text(PIPELINE)
    return path


def result(
    item: int, label: int, scores: list[float] | None, decisions: list[int] | None = None
) -> Result:
    """Return the result of a recording of steps of 10 ms that one process worked on for 0.5 s."""
    made = [] if scores is None else decisions or [scores.index(max(scores))]
    answers = [] if scores is None else [scores.index(max(scores)) == label]
    return Result(
        item=item,
        key=f"{label}/{item}.bin",
        label=label,
        scores=scores,
        predictions=len(answers),
        right=sum(answers),
        decisions=made,
        ends_us=[10_000 * (k + 1) for k in range(len(made))],
        events=1000,
        span_us=20_000,
        seconds=0.5,
        counts={"network": {"conv1: operations": 300, "conv1: fired": 7}},
    )
