"""One time step of a network as a file for other programs: ONNX, or a program of torch.export.

Either takes a frame and the state that the step before left, and gives outputs and the new state,
every memory by its name, ``NAME`` in and ``NAME_next`` out, all zeros at first; the batch may be of
any size. Frames are float32, tokens int64. A stream keeps the state outside, as with the networks
themselves.
"""

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.network import Network

__all__ = ["digest", "export_onnx", "export_torch"]

_OPSET = 20


def digest(path: str | Path) -> str:
    """Return the SHA-256 of a weights file, by which an export knows what it was made of."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def export_onnx(network: Network[Any], path: str | Path, weights_sha256: str = "") -> None:
    """Write one step as ONNX.

    Args:
        network: In evaluation mode.
        path: The file, replaced if it exists.
        weights_sha256: `digest` of the weights; kept in the file's metadata.

    Raises:
        ModelError: A package is not installed, or the file cannot be written.
    """
    try:
        import onnx  # noqa: F401 - torch wants both, and says so in many lines
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"writing ONNX needs the package {error.name}; install event-pipeline[interop]"
        ) from None
    _look_at(path)
    program, names = _program(network)
    with _quiet():
        made = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=_OPSET,
            input_names=["frame", *names],
            output_names=["output", *(f"{name}_next" for name in names)],
            verbose=False,
        )
    assert made is not None
    made.model.metadata_props["weights_sha256"] = weights_sha256
    made.model.metadata_props["network"] = network.name
    try:
        made.save(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error}); choose another place") from None


def export_torch(network: Network[Any], path: str | Path) -> None:
    """Write one step as a program of torch.export.

    Nothing here reads such a file again: ``torch.export.load`` unpickles parts of it, so it must
    only be given files from people whom one would let run programs.

    Args:
        network: In evaluation mode.
        path: The file, ``.pt2``, replaced if it exists.

    Raises:
        ModelError: The file cannot be written.
    """
    _look_at(path)
    program, _ = _program(network)
    try:
        torch.export.save(program, path)
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{path}: cannot be written ({error}); choose another place") from None


def _look_at(path: str | Path) -> None:
    """Refuse a place that is not there before anything is made, which takes seconds."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise ModelError(f"{path}: cannot be written (no folder {folder}); choose another place")


class _Step(nn.Module):
    """One step of a network, its state as arguments.

    Args:
        network: The network; it checks nothing, as the program could not either.
    """

    def __init__(self, network: Network[Any]) -> None:
        super().__init__()
        self.network = network
        self._state: Any = type(network.initial_state(1))

    def forward(self, frame: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Advance: frame (batch, channels, height, width) and memories -> output and memories."""
        network = self.network
        features, after = network.run(network.normalise(frame.unsqueeze(1)), self._state(*state))
        outputs = network.classify(features) if network.head == "per_step" else features
        return (outputs.squeeze(1), *after)


def _program(network: Network[Any]) -> tuple[torch.export.ExportedProgram, tuple[str, ...]]:
    """Return the program of a step, and the names of the memories."""
    batch = torch.export.Dim("batch")
    state = network.initial_state(2)  # a batch of one would be taken for what never changes
    for name, memory in zip(state._fields, state, strict=True):
        if memory.any():
            raise ModelError(
                f"{network.name}: {name} does not start at 0, and a file of one step does not say"
                ' where it does; run it with engine = "torch"'
            )
    dtype = torch.int64 if network.frame == "tokens" else network.dtype
    frame = torch.zeros(2, *network.input_shape, dtype=dtype, device=network.device)
    with torch.no_grad(), _quiet():
        program = torch.export.export(
            _Step(network).eval(),
            (frame, *state),
            dynamic_shapes=({0: batch}, tuple({0: batch} for _ in state)),
        )
    return program, tuple(state._fields)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch says of its own insides while it exports."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
