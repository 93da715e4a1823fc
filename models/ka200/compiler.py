"""From weights to a folder that the stage `ka200` runs: through Lynxi's compiler, or without it.

Lynxi's ``lyngor`` and its ``libcustom_ops.so`` come with the chip's driver; neither is published.
What is called of them is what the public sample of LynxiTech/BIDL calls (``lynadapter``).
"""

import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from models.card import read_card
from models.errors import ModelError
from models.interchange.step import digest
from models.ka200.chip_module import ChipModule
from models.ka200.compiled import (
    COMPILED,
    NETWORK,
    WEIGHTS,
    Compiled,
    check_network,
    write_compiled,
)
from models.ka200.operators import OPERATORS
from models.ka200.preflight import Preflight
from models.weights import load

__all__ = ["compile_weights", "open_lyngor"]

_LEVEL = 3  # of optimisation


def compile_weights(
    weights: Path, folder: Path, report: Preflight, lyngor: Any = None, replace: bool = False
) -> Compiled:
    """Compile the step of a network; on a failure nothing is left behind.

    Args:
        weights: A safetensors file with a card.
        folder: Where to.
        report: Of its network, with the batch, the input's type and layout and the mean as wanted.
        lyngor: The compiler, from `open_lyngor`; without it the folder is for the emulator.
        replace: Whether an older result in `folder` is removed first.

    Raises:
        ModelError: The weights cannot be used, the network cannot run on the chip, the folder is
            there, or the compiler fails.
    """
    if report.problems:
        raise ModelError(f"{weights}: cannot be compiled: {'; '.join(report.problems)}")
    network = load(weights)
    compiled = Compiled(
        card=read_card(weights),
        weights_sha256=digest(weights),
        input_shape=network.input_shape,
        features=report.outputs,
        batch=report.input_shape[0],
        input_type=report.input_type,
        layout=report.layout,
        mean_steps=report.steps,
    )
    _make(folder, replace)
    try:
        shutil.copyfile(weights, folder / WEIGHTS)
        if lyngor is not None:
            _build(
                lyngor, ChipModule(network, report.steps, layout=report.layout), compiled, folder
            )
        write_compiled(compiled, folder)  # last: what is not finished is none
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ModelError(f"{folder}: cannot be written ({error}); choose another place") from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return compiled


def open_lyngor(operators: Path | None = None) -> Any:
    """Return Lynxi's compiler, with the operators that it knows in ``torch.ops.custom``.

    Called before anything else that is for the chip: there can be only one set of operators, and
    those for the emulator are made where there are none.

    Args:
        operators: Lynxi's ``libcustom_ops.so``; None: lyngor brings them itself.

    Raises:
        ModelError: One of the two is not there.
    """
    try:
        lyngor = import_module("lyngor")
    except ImportError as error:
        raise ModelError(
            f"compiling for ka200 needs Lynxi's compiler, the Python package lyngor ({error}); it"
            " comes with the driver of the KA200; without it --emulator makes what the emulator"
            " runs"
        ) from None
    if operators is not None:
        try:
            torch.ops.load_library(operators)  # type: ignore[no-untyped-call]
        except OSError as error:
            raise ModelError(
                f"--operators: {operators} cannot be loaded ({error}); it must be Lynxi's"
                " libcustom_ops.so, built for this torch"
            ) from None
    missing = [name for name in OPERATORS if not hasattr(torch.ops.custom, name)]
    if missing:
        raise ModelError(
            f"lyngor needs the operators {', '.join(missing)} in torch.ops.custom; name Lynxi's"
            " libcustom_ops.so, which comes with the driver: --operators PATH"
        )
    return lyngor


def _build(lyngor: Any, module: ChipModule, compiled: Compiled, folder: Path) -> None:
    """Let Lynxi's compiler make ``Net_0``.

    Raises:
        ModelError: It fails, or what it makes is not for the batch that was asked for.
    """
    channels, height, width = compiled.input_shape
    shape = (1, channels, height, width)
    if compiled.layout == "nhwc":
        shape = (1, height, width, channels)
    many = {} if compiled.batch == 1 else {"run_batch": compiled.batch}
    try:
        model = lyngor.DLModel()
        model.load(
            module.eval(), "Pytorch", inputs_dict={"data_0": shape}, in_type=compiled.input_type
        )
        builder = lyngor.Builder(target="apu", is_map=True)
        version = 1 if many else 0
        builder.build(
            model.mod, model.params, _LEVEL, out_path=str(folder), version=version, **many
        )
    except Exception as error:  # whatever it raises: it is not ours, and nobody lists it
        said = " ".join(str(error).split()) or "nothing"
        raise ModelError(
            f"{compiled.card.network}: lyngor could not compile it: {type(error).__name__}: {said};"
            " what it printed tells more"
        ) from error
    if not (folder / NETWORK).is_dir():
        raise ModelError(
            f"{compiled.card.network}: lyngor made no {NETWORK} and raised no error; what it"
            " printed tells more"
        )
    batch = check_network(folder / NETWORK)
    if batch != compiled.batch:
        raise ModelError(
            f"{compiled.card.network}: lyngor compiled it for a batch of {batch}, asked was"
            f" {compiled.batch}; choose another batch"
        )


def _make(folder: Path, replace: bool) -> None:
    """Make the folder; an old one is removed only where a compilation made it.

    Raises:
        ModelError: It is there, or cannot be made.
    """
    if folder.exists() and not replace:
        raise ModelError(f"{folder}: exists already; remove it or give --replace")
    if folder.exists() and not (folder / COMPILED).is_file():
        raise ModelError(
            f"{folder}: --replace removes only what `pipeline compile` made, and this has no"
            f" {COMPILED}; choose another place"
        )
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be made ({error}); choose another place") from None
