"""One training run by one process and by two: the loss of every step, weights, accuracy, time.

Usage: python -m benchmarks.training_together NAME RECIPE [ARGUMENT ...] [--plot FILE]

ARGUMENTs are those of `pipeline train`. The recipe is run by one process, by one with two threads
(another order of sums: how far rounding alone carries) and by two processes, in single precision;
by one and by two in double precision too, where rounding carries nowhere. A process has one core,
but for that with two threads. Prints a table in Markdown; `--plot` draws the differences.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Run", "main", "train"]

_KINDS = {
    "one process": ("--processes", "1"),
    "one process, two threads": ("--processes", "2"),
    "two processes": ("--processes", "2", "--devices", "2"),
}


class Run(NamedTuple):
    """What one run gave."""

    losses: list[float]
    """Of every step."""
    weights: dict[str, Any]
    """Of the best epoch, before they are rounded for the file."""
    accuracy: dict[str, float]
    """Part -> share right."""
    seconds: list[float]
    """Of every epoch, validation included."""


def train(arguments: list[str], kind: str, precision: str, folder: Path) -> Run:
    """Train once.

    Args:
        arguments: For `pipeline train`.
        kind: A name in the table above.
        precision: ``32`` or ``64``.
        folder: Where to write.
    """
    import torch
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        EventAccumulator,
    )

    out = folder / f"{kind.replace(' ', '_').replace(',', '')}_{precision}.safetensors"
    options = ["--set", f'training.precision="{precision}"', "--out", str(out), *_KINDS[kind]]
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "train"]
    subprocess.run([*command, *arguments, *options], check=True, stderr=subprocess.DEVNULL)
    kept = out.with_suffix("")
    events = EventAccumulator(str(kept / "tensorboard"), {"scalars": 0})
    events.Reload()
    summary = json.loads((kept / "report" / "summary.json").read_text())
    return Run(
        [event.value for event in events.Scalars("step/loss")],
        torch.load(kept / "best.ckpt"),
        summary["accuracy"],
        [epoch["seconds"] for epoch in summary["epochs"]],
    )


def differences(one: Run, other: Run) -> list[float]:
    """Return how far the losses are apart at each step."""
    return [abs(a - b) for a, b in zip(one.losses, other.losses, strict=True)]


def main(arguments: list[str]) -> None:
    """Train in all ways and print the table."""
    plot = None
    if "--plot" in arguments:
        at = arguments.index("--plot")
        plot = Path(arguments[at + 1])
        del arguments[at : at + 2]
    name, *arguments = arguments
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        single = {kind: train(arguments, kind, "32", folder) for kind in _KINDS}
        kinds = ("one process", "two processes")
        double = {kind: train(arguments, kind, "64", folder) for kind in kinds}
    print(f"### {name}: {len(single['one process'].losses)} steps\n")
    print("| beside one process | precision | steps within 1e-5 | largest difference of a loss |")
    print("|---|---|---|---|")
    for runs, precision in ((single, "single"), (double, "double")):
        for kind, run in list(runs.items())[1:]:
            apart = differences(runs["one process"], run)
            same = next((k for k, d in enumerate(apart) if d > 1e-5), len(apart))
            print(f"| {kind} | {precision} | the first {same} | {max(apart):.1e} |")
    print("\n| | precision | largest difference of a weight | right | s an epoch |")
    print("|---|---|---|---|---|")
    for runs, precision in ((single, "single"), (double, "double")):
        for kind, run in runs.items():
            first = runs["one process"].weights
            away = max(float((w - first[k]).abs().max()) for k, w in run.weights.items())
            right = ", ".join(f"{part} {share:.1%}" for part, share in run.accuracy.items())
            middle = sorted(run.seconds)[len(run.seconds) // 2]
            print(f"| {kind} | {precision} | {away:.1e} | {right} | {middle:.1f} |")
    if plot is not None:
        _draw(plot, name, single, double)


def _draw(path: Path, name: str, single: dict[str, Run], double: dict[str, Run]) -> None:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.hashsalt": "ddp", "svg.fonttype": "none"})
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasSVG(figure)
    curves, apart = figure.subplots(1, 2)
    for (kind, run), style in zip(single.items(), ("-", ":", "--"), strict=True):
        curves.plot(run.losses, style, label=kind)
    curves.set(xlabel="step", ylabel="loss", title=f"{name}, single precision")
    one = single["one process"]
    for kind, run in list(single.items())[1:]:
        apart.plot([d + 1e-9 for d in differences(one, run)], label=f"{kind}, single")
    gaps = differences(double["one process"], double["two processes"])
    apart.plot([d + 1e-9 for d in gaps], label="two processes, double")
    apart.set(xlabel="step", yscale="log", title="difference from one process (+ 1e-9)")
    for axes in (curves, apart):
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1:])
