"""The training report: what was trained on what, how it went, and pictures of it."""

import json
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.training.data import Examples
from models.training.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from models.training.trainer import TrainingResult

__all__ = ["draw_rates", "write_report"]

_PACKAGES = ("event-pipeline", "torch", "lightning", "numpy")
_MOST_NUMBERS = 20
"""Classes up to which the confusion matrix shows its numbers and all names."""


def write_report(
    folder: Path,
    result: "TrainingResult",
    recipe: Recipe,
    parts: Mapping[str, Examples],
    data: str,
    processes: int = 1,
) -> None:
    """Write ``summary.json``, ``curves.png``, ``confusion.png`` and ``firing_rates.png``.

    Args:
        folder: Where to; made if need be.
        result: What training gave.
        recipe: What was asked for.
        parts: Part's name -> its examples.
        data: Fingerprint of the data.
        processes: How many trained together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summary = summarise(result, recipe, parts, data, processes)
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    _draw_curves(folder / "curves.png", result)
    confusion, part = (
        (result.confusion, "validation") if result.test is None else (result.test, "test")
    )
    _draw_confusion(folder / "confusion.png", confusion, result.card.classes, part)
    draw_rates(folder / "firing_rates.png", result.firing_rates)


def summarise(
    result: "TrainingResult",
    recipe: Recipe,
    parts: Mapping[str, Examples],
    data: str,
    processes: int = 1,
) -> dict[str, Any]:
    """Return everything that one needs to do it again and to compare, as JSON values."""
    import torch

    confusions = {"validation": result.confusion}
    if result.test is not None:
        confusions["test"] = result.test
    return {
        "network": result.card.network,
        "classes": list(result.card.classes),
        "accuracy": {
            part: float(np.trace(confusion) / confusion.sum())
            for part, confusion in confusions.items()
        },
        "confusion": {part: confusion.tolist() for part, confusion in confusions.items()},
        "firing_rates": result.firing_rates,
        "warnings": list(result.warnings),
        "seconds": sum(epoch.seconds for epoch in result.history),
        "epochs": msgspec.to_builtins(result.history),
        "parts": {
            part: {
                "examples": len(examples),
                "groups": len(np.unique(examples.groups)),
                "of_class": np.bincount(examples.labels, minlength=len(examples.classes)).tolist(),
            }
            for part, examples in parts.items()
        },
        "seeds": {"data": recipe.data.seed, "training": recipe.training.seed},
        "data": data,
        "recipe": recipe.model_dump(mode="json"),
        "machine": {
            "processor": platform.machine(),
            "system": platform.system(),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            "threads": torch.get_num_threads(),
            "processes": processes,
        },
        "versions": {"python": sys.version.split()[0]} | _versions(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _axes(width: float, height: float, count: int = 1) -> "tuple[Any, list[Axes]]":
    """Return a figure that needs no screen, and its axes side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, count, number + 1) for number in range(count)]


def _draw_curves(path: Path, result: "TrainingResult") -> None:
    figure, (loss, right) = _axes(10, 4, 2)
    epochs = [epoch.number for epoch in result.history]
    loss.plot(epochs, [epoch.loss for epoch in result.history], label="training", marker=".")
    loss.plot(epochs, [epoch.validation_loss for epoch in result.history], label="validation")
    loss.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    training = [100 * epoch.training_accuracy for epoch in result.history]
    right.plot(epochs, training, label="training, during the epoch", marker=".")
    right.plot(epochs, [100 * epoch.accuracy for epoch in result.history], label="validation")
    right.set(xlabel="epoch", ylabel="right, %", ylim=(0, 101))
    for axes in (loss, right):
        axes.legend()
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _draw_confusion(
    path: Path, confusion: NDArray[np.int64], classes: tuple[str, ...], part: str
) -> None:
    count = len(classes)
    side = min(4 + 0.35 * count, 14)
    figure, (axes,) = _axes(side + 1, side)
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axes.set(xlabel="predicted", ylabel="shown", title=f"{part}: examples of each class")
    if count <= _MOST_NUMBERS:
        axes.set_xticks(range(count), classes, rotation=90)
        axes.set_yticks(range(count), classes)
        for row, column in zip(*np.nonzero(confusion), strict=True):
            axes.text(
                column,
                row,
                str(confusion[row, column]),
                ha="center",
                va="center",
                color="white" if shares[row, column] > 0.5 else "black",
            )
    figure.savefig(path, dpi=120)


def draw_rates(path: Path, rates: Mapping[str, float]) -> None:
    """Draw a bar a layer, with its number behind it.

    Args:
        path: The picture to write.
        rates: Layer -> mean share of its neurons above threshold in a step, 0 to 1.
    """
    figure, (axes,) = _axes(7, 1.5 + 0.3 * len(rates))
    layers = list(rates)
    bars = axes.barh(layers, [100 * rates[layer] for layer in layers])
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.spines[["top", "right"]].set_visible(False)  # a line through the numbers
    axes.invert_yaxis()
    axes.set(xlabel="neurons above threshold in a step, %", xlim=(0, 100))
    figure.savefig(path, dpi=120)
