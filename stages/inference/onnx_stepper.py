"""What steps a network without torch: ONNX Runtime, by the file of one step."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError

__all__ = ["OnnxStepper", "onnx_of"]


class OnnxStepper:
    """One step as ONNX, run by ONNX Runtime on the processor.

    Args:
        weights: A safetensors file with a model card; beside it `onnx_of` it, which `pipeline
            models export` made of it.
        threads: Processor cores for one step.

    Raises:
        ConfigError: The package or the file is not there, or the file was made of other weights.
    """

    def __init__(self, weights: Path, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise ConfigError(
                'engine = "onnx" needs the package onnxruntime; install event-pipeline[interop]'
            ) from None
        path, options = onnx_of(weights), onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # it has one type of error for each of its own codes
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"{path}: cannot be loaded ({reason}); {_again(weights)}") from None
        with weights.open("rb") as file:
            made_of = hashlib.file_digest(file, "sha256").hexdigest()
        told = self._session.get_modelmeta().custom_metadata_map
        if told.get("weights_sha256") != made_of:
            raise ConfigError(f"{path}: must be of {weights}, but is not; {_again(weights)}")
        frame, *memories = self._session.get_inputs()
        self.input_shape = tuple(frame.shape[1:])
        self._dtype = _ONNX_TYPES[frame.type]
        self._rest = {
            memory.name: np.zeros((1, *memory.shape[1:]), _ONNX_TYPES[memory.type])
            for memory in memories
        }
        # One step, so that the first window waits for nothing.
        self.step(np.zeros((1, *self.input_shape), np.uint8), self.rest())

    def rest(self) -> Any:
        """Return every membrane at rest."""
        return tuple(self._rest.values())

    def step(
        self,
        frames: NDArray[Any],
        membranes: Any,
        counts: NDArray[np.int64] | None = None,
        watched: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        """Advance over frames; the membranes given are not written to."""
        inputs, outputs = frames.astype(self._dtype), []
        for k in range(len(frames)):
            memories = dict(zip(self._rest, membranes, strict=True))
            output, *after = self._session.run(None, {"frame": inputs[k : k + 1], **memories})
            outputs.append(output)
            membranes = tuple(after)
        return np.concatenate(outputs), membranes

    def step_together(
        self,
        frames: NDArray[Any],
        membranes: Sequence[Any],
        counts: Sequence[NDArray[np.int64] | None],
    ) -> tuple[NDArray[np.float32], list[Any]]:
        """Advance several streams by a frame each, one after the other."""
        found = [self.step(frame[None], own) for frame, own in zip(frames, membranes, strict=True)]
        return np.concatenate([output for output, _ in found]), [after for _, after in found]

    def gauges(self, membranes: Any) -> dict[str, float]:
        """Return mean membranes."""
        named = zip(self._rest, membranes, strict=True)
        return {f"membrane: {name}": float(each.mean()) for name, each in named}

    def arrays(self, membranes: Any) -> list[NDArray[Any]]:
        """Return copies of the membranes."""
        return [each.copy() for each in membranes]

    def restore(self, arrays: Sequence[NDArray[Any]]) -> Any:
        """Return the membranes that `arrays` gave."""
        return tuple(each.copy() for each in arrays)


_ONNX_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def onnx_of(weights: Path) -> Path:
    """Return where the ONNX of a weights file lies: beside it, with another ending."""
    return weights.with_suffix(".onnx")


def _again(weights: Path) -> str:
    return f"make it: pipeline models export {weights} --to onnx"
