"""``pipeline compile``: a network for Lynxi's KA200.

Networks are `models`', the stages that read a recording are `stages`', which this package may only
load by name.
"""

import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.cli.options import Json, Replace

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["compile"]


def compile(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A weights file, .safetensors; for the report a network's name."
        ),
    ],
    target: Annotated[Literal["ka200"], typer.Option(help="The chip.")] = "ka200",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to; without it only the report is made."),
    ] = None,
    batch: Annotated[
        int, typer.Option(help="Streams at a time: 1, 2, 4, 7, 14 or 28; the stage ka200 takes 1.")
    ] = 1,
    input_type: Annotated[
        Literal["uint8", "float32"] | None,
        typer.Option("--input", help="Type of the frames on the chip; uint8, for tokens float32."),
    ] = None,
    layout: Annotated[
        Literal["nchw", "nhwc"],
        typer.Option(help="Order of a frame's axes on the chip; nhwc has channels last."),
    ] = "nchw",
    mean: Annotated[
        bool, typer.Option("--mean", help="Let the chip keep the mean of the outputs, and decide.")
    ] = False,
    emulator: Annotated[
        bool, typer.Option("--emulator", help="Make what the emulator runs; needs no SDK.")
    ] = False,
    operators: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Lynxi's libcustom_ops.so, if lyngor does not load it."),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(
            metavar="RECORDING",
            help="Run it in float16 beside the network: a recording, or a .npy of frames.",
        ),
    ] = None,
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Compile a network for a chip, and report beforehand whether it can run there.

    The report needs neither weights nor the chip's SDK. Compiling needs Lynxi's lyngor and takes
    minutes. --verify compares predictions, spikes and membranes of every layer.
    """
    from rich.console import Console

    from pipeline.errors import ConfigError

    if out is not None and verify is not None and not emulator:
        raise ConfigError(
            "--verify: runs the emulator, whose operators have the names of Lynxi's; leave --out"
            " out, or give --emulator"
        )
    library, weights = import_module("models"), Path(model)
    if model in library.NETWORKS and not weights.exists():
        if out is not None or verify is not None:
            raise ConfigError(f"MODEL: {model} is a network without weights; give a weights file")
        name, options, card = model, {}, None
    else:
        card = library.read_card(weights)
        name, options = card.network, card.options
    compiler = None if out is None else import_module("models.ka200.compiler")
    lyngor = None if compiler is None or emulator else compiler.open_lyngor(operators)
    network = library.network_class(name)
    taken = input_type or ("float32" if network.frame == "tokens" else "uint8")
    steps = (network.known_options() | options)["steps"] if mean else None
    looked = import_module("models.ka200.preflight").preflight(
        name, options, batch, taken, steps, layout
    )
    parities = []
    if verify is not None and not looked.problems:
        frames = import_module("stages.inference.binned").frames_of(card, verify)
        if taken == "uint8" and frames.max() > 255:
            raise ConfigError(
                f"--verify: {verify} has numbers up to {frames.max()}, more than a byte holds;"
                " compile with --input float32"
            )
        parities = _verify(weights, frames)
    if json:
        import msgspec

        told = {**msgspec.to_builtins(looked), "memory_bytes": looked.memory_bytes}
        print(msgspec.json.encode({"preflight": told, "parity": parities}).decode())
    else:
        console = Console(width=None if sys.stdout.isatty() else 120)
        _show_report(console, looked)
        for parity in parities:
            _show_parity(console, parity)
    if compiler is not None:
        compiler.compile_weights(weights, out, looked, lyngor, replace)
        print(f"written: {out}", file=sys.stderr)


def _verify(weights: Path, frames: Any) -> list[Any]:
    """Compare in the chip's arithmetic, and in the network's own."""
    import torch

    network = import_module("models").load(weights)
    compare = import_module("models.ka200.parity").compare
    return [compare(network, frames, kind) for kind in (torch.float16, torch.float32)]


def _show_report(console: "Console", report: Any) -> None:
    """Print the report; the worst comes last."""
    from rich import box
    from rich.table import Table

    say = _printer(console)
    if report.operators:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("operator")
        table.add_column("in a step", justify="right")
        table.add_column("axes", justify="right")
        table.add_column("known to compile")
        for one in report.operators:
            table.add_row(one.name, str(one.count), str(one.axes), "yes" if one.known else "NO")
        console.print(table)
        batch, channels, height, width = report.input_shape
        sides = (channels, height, width) if report.layout == "nchw" else (height, width, channels)
        shape = "×".join(map(str, (batch, *sides)))
        say(f"{report.network}: {shape} {report.input_type} in, {report.outputs} outputs a step")
        say(
            f"memory on the chip, about {_mb(report.memory_bytes)} MB in float16: weights"
            f" {_mb(report.weights_bytes)}, kept from step to step {_mb(report.kept_bytes)}"
            f" ({report.membranes:,} membranes a stream), largest tensor"
            f" {_mb(report.largest_bytes)}, input and output {_mb(report.buffers_bytes)}"
        )
    for remark in report.remarks:
        say(f"note: {remark}")
    for problem in report.problems:
        say(f"cannot run: {problem}")
    if not report.problems:
        known = all(operator.known for operator in report.operators)
        can = "can run" if known else "may run, the compiler must say,"
        say(f"{can} on the KA200; nothing more is known without its compiler")


def _show_parity(console: "Console", parity: Any) -> None:
    """Print a comparison, a line for each layer."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(parity.arithmetic)
    headings = ("neurons", "agree", "fired", "on chip", "differs from", "membrane", "difference")
    for heading in (*headings, "largest"):
        table.add_column(heading, justify="right")
    for layer in parity.layers:
        first = layer.first_difference
        table.add_row(
            layer.name,
            f"{layer.neurons:,}",
            f"{layer.agreement:.4%}",
            f"{layer.fired:,}",
            f"{layer.fired_on_chip:,}",
            "never" if first is None else f"step {first + 1}",
            f"{layer.membrane_rms:.3g}",
            f"{layer.difference_rms:.2g}",
            f"{layer.difference_max:.2g}",
        )
    console.print(table)
    _printer(console)(
        f"{parity.arithmetic}: {parity.agreed} of {parity.predictions} predictions agree over"
        f" {parity.steps} steps; outputs up to {parity.output_max:.3g} differ by at most"
        f" {parity.difference_max:.2g}"
    )


def _mb(count: int) -> str:
    """Return bytes in MB, to two digits at least."""
    return f"{count / 1e6:.1f}" if count >= 1_000_000 else f"{count / 1e6:.2g}"


def _printer(console: "Console") -> Any:
    return partial(console.print, highlight=False, markup=False, soft_wrap=True)
