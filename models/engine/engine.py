"""The engine: a network of `models.engine.chain` stepped without torch, on the processor."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.card import ModelCard, read_card
from models.engine.chain import CHAINS, Chain, Stage, why_not
from models.engine.convolution import Geometry, plain_convolution
from models.engine.head import Classifier, read_maps
from models.engine.layer import Layer
from models.engine.membranes import ACTIVATIONS, CONSTANTS, EMITS
from models.engine.program import Program, Room
from models.engine.statistics import COUNTS, Meter
from models.engine.tensors import read_tensors, tensor_of
from models.engine.tuning import break_even
from models.errors import ModelError
from models.lif import Lif

__all__ = ["Engine", "EngineState"]

_BATCH_NORM_EPS = 1e-5


class EngineState(NamedTuple):
    """Membranes of all layers, float32 (batch, neurons); stepped in place."""

    membranes: NDArray[np.float32]

    def copy(self) -> "EngineState":
        """Return a state that goes its own way."""
        return EngineState(self.membranes.copy())


class Engine:
    """A network as event-driven kernels; what it puts out is what the torch network does.

    It works only where inputs are active: an event or a spike adds a row of weights to the
    currents of the neurons that it reaches; what the normalisation of the input adds everywhere,
    borders included, is added as one map that was made once. Where so much is active that all
    products together are faster, it takes all of them: the sums are equal to the bit. Membranes
    are float32; they differ from torch's by the order of sums alone.

    Args:
        card: Of the weights.
        tensors: The weights by their names, of any floating dtype.
        cores: How many step a layer of a single sample together; the numbers are the same. It pays
            where they have nothing else to do, and costs much where they have.

    Attributes:
        input_shape: (channels, height, width) of a step.
        layers: What is stepped, in order.
        program: What steps them.
        names: Their names.

    Raises:
        ModelError: The network is no chain, or a tensor is missing or of another shape.
    """

    def __init__(
        self, card: ModelCard, tensors: Mapping[str, NDArray[Any]], cores: int = 1
    ) -> None:
        reason = why_not(card)
        if reason is not None:
            raise ModelError(f"{reason}; use torch")
        options = card.options
        chain = CHAINS[card.network](options)
        self.card, self._tensors = card, tensors
        height, width = options["size"]
        self.input_shape = (options["input_channels"], height, width)
        try:
            self._lif = Lif(
                mode=options["mode"], sharing=options["sharing"], **(options.get("lif") or {})
            )
        except TypeError as error:
            raise ModelError(f"{card.network}: lif cannot be used: {error}") from None
        scale, shift = self._input_scale(chain)
        self.names = tuple(stage.name for stage in chain.stages)
        layers: list[Layer] = []
        size = (height, width, self.input_shape[0])
        for stage in chain.stages:
            layers.append(self._layer(stage, size, None if layers else shift))
            size = layers[-1].out_size
        lif = self._lif
        output = EMITS.index(lif.emit), ACTIVATIONS.index(lif.activation)
        self.program = Program(layers, lif.mode == "spike", output, scale)
        self.layers = self.program.layers
        rows, columns, channels = size
        self.features = rows * columns * channels
        self._to_channel_first = (rows * columns, channels)
        self.classifier = Classifier(
            read_maps(chain, tensors, card.network, options["classes"], self.features)
        )
        self._room = self.program.room(cores)
        self._rooms = list[Room]()
        self._pool: ThreadPoolExecutor | None = None
        self._meter = Meter(self.program)

    @classmethod
    def load(cls, path: str | Path, cores: int = 1) -> "Engine":
        """Read a weights file.

        Raises:
            ModelError: The file cannot be used, or its network is no chain.
        """
        card = read_card(path)
        return cls(card, read_tensors(path), cores)

    def tune(self) -> None:
        """Measure, for each layer, from how many active inputs on all products are faster."""
        for number, layer in enumerate(self.layers):
            self.program.limit(number, break_even(layer, self.program.spikes))

    def initial_state(self, batch: int = 1) -> EngineState:
        """Return every membrane at rest."""
        return EngineState(np.zeros((batch, self.program.neurons), np.float32))

    def step(self, x: NDArray[Any], state: EngineState) -> tuple[NDArray[np.float32], EngineState]:
        """Advance one time step.

        Args:
            x: Frames (batch, channels, height, width), any real dtype.
            state: Left by the step before; it is stepped in place.

        Returns:
            The outputs (batch, features), or (batch, classes) with ``head = "per_step"``, and
            the state.

        Raises:
            ModelError: `x` has another shape than the network was built for.
        """
        outputs, state = self.forward(x[:, None], state)
        return outputs[:, 0], state

    def no_counts(self) -> NDArray[np.int64]:
        """Return room for what `forward` counts, (layers, `models.engine.statistics.COUNTS`)."""
        return np.zeros((len(self.layers), len(COUNTS)), np.int64)

    def forward(
        self,
        x: NDArray[Any],
        state: EngineState | None = None,
        threads: int = 1,
        counts: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], EngineState]:
        """Advance over a stretch of time.

        Args:
            x: Frames (batch, time, channels, height, width), any real dtype.
            state: Where to start from, stepped in place; None starts new recordings.
            threads: Samples of the batch that are stepped at a time.
            counts: Synaptic operations and spikes are added to it, see `no_counts`; None counts
                nothing.

        Returns:
            The outputs of each step, (batch, time, features or classes), and the state.

        Raises:
            ModelError: `x` has another shape than the network was built for.
        """
        if x.ndim != 5 or x.shape[1] == 0 or x.shape[2:] != self.input_shape:
            raise ModelError(
                f"{self.card.network} takes (batch, time, "
                f"{', '.join(map(str, self.input_shape))}) with at least one step, got {x.shape}"
            )
        state = self.initial_state(len(x)) if state is None else state
        if len(state.membranes) != len(x):
            raise ModelError(
                f"{self.card.network}: the state must be of {len(x)} samples as the frames are, "
                f"it is of {len(state.membranes)}"
            )
        features = np.empty((*x.shape[:2], self.features), np.float32)
        parts = [range(n, len(x), threads) for n in range(max(1, min(threads, len(x))))]
        counted = [self.no_counts() for _ in parts]  # of each thread

        def work(part: int, room: Room) -> None:
            into = None if counts is None else counted[part]
            for sample in parts[part]:
                self._run(x[sample], state.membranes[sample], room, features[sample], into)

        if len(parts) == 1:
            work(0, self._room)
        else:
            rooms = [self.program.room() for _ in parts]
            with ThreadPoolExecutor(len(parts)) as pool:
                list(pool.map(work, range(len(parts)), rooms))
        if counts is not None:
            counts += np.sum(counted, 0)
        if self.card.options["head"] == "per_step":
            return self.classifier.logits(features), state
        return features, state

    def step_each(
        self,
        x: NDArray[Any],
        states: Sequence[EngineState],
        threads: int = 1,
        counts: Sequence[NDArray[np.int64] | None] = (),
    ) -> NDArray[np.float32]:
        """Advance several streams by one time step; each gives what it gives alone.

        Args:
            x: A frame of each, (streams, channels, height, width), any real dtype.
            states: Of one sample each, stepped in place.
            threads: Streams that are stepped at a time.
            counts: For each stream what `forward` counts; empty counts nothing.

        Returns:
            The outputs, (streams, features), or (streams, classes) with ``head = "per_step"``.

        Raises:
            ModelError: `x` has another shape than the network was built for.
        """
        if x.shape[1:] != self.input_shape:
            raise ModelError(f"{self.card.network} takes {self.input_shape}, got {x.shape[1:]}")
        features = np.empty((len(x), 1, self.features), np.float32)
        threads = max(1, min(threads, len(x)))

        def work(first: int, room: Room) -> None:
            for k in range(first, len(x), threads):
                into = counts[k] if counts else None
                self._run(x[k : k + 1], states[k].membranes[0], room, features[k], into)

        if threads == 1:
            work(0, self._room)
        else:
            while len(self._rooms) < threads:
                self._rooms.append(self.program.room())
            self._pool = self._pool or ThreadPoolExecutor()
            list(self._pool.map(work, range(threads), self._rooms))
        if self.card.options["head"] == "per_step":
            return self.classifier.logits(features)[:, 0]
        return features[:, 0]

    def to_arrays(self, state: EngineState) -> list[NDArray[np.float32]]:
        """Return a copy of the state as the torch network has it, (batch, channels, ...)."""
        arrays = []
        for number, layer in enumerate(self.layers):
            g, v = layer.geometry, self.program.membranes_of(number, state.membranes)
            first = np.array(v.transpose(0, 2, 1), order="C")
            wide = layer.is_map
            arrays.append(
                first.reshape(-1, g.outputs, g.out_height, g.out_width) if wide else first[..., 0]
            )
        return arrays

    def from_arrays(self, arrays: Sequence[NDArray[Any]]) -> EngineState:
        """Return the state that the torch network has as these arrays.

        Raises:
            ModelError: There are more or fewer, or one has another shape.
        """
        shapes = [each.shape[1:] for each in self.to_arrays(self.initial_state(1))]
        if [each.shape[1:] for each in arrays] != shapes:
            raise ModelError(
                f"{self.card.network}: membranes must be of {shapes} a sample, "
                f"got {[each.shape[1:] for each in arrays]}"
            )
        state = self.initial_state(len(arrays[0]))
        for number, (layer, each) in enumerate(zip(self.layers, arrays, strict=True)):
            flat = each.reshape(len(each), layer.geometry.outputs, layer.positions)
            self.program.membranes_of(number, state.membranes)[:] = flat.transpose(0, 2, 1)
        return state

    def _run(
        self,
        x: NDArray[Any],
        membranes: NDArray[np.float32],
        room: Room,
        features: NDArray[np.float32],
        counts: NDArray[np.int64] | None,
    ) -> None:
        """Step one sample through its frames (time, channels, height, width)."""
        for frame, out in zip(x, features, strict=True):
            y = self.program.step(frame, membranes, room)
            if counts is not None:
                self._meter.add(room, counts)
            out.reshape(self._to_channel_first[::-1])[:] = y.reshape(self._to_channel_first).T

    def _tensor(self, name: str, shape: Sequence[int]) -> NDArray[np.float32]:
        return tensor_of(self._tensors, name, shape, self.card.network)

    def _constant(self, stage: Stage, which: str) -> NDArray[np.float32]:
        """Return a constant of the neurons, one value or one a channel."""
        name, many = f"{stage.name}.{which}", self._lif.sharing == "channel"
        if name not in self._tensors:  # it was not trained
            return np.array([getattr(self._lif, which)], np.float32)
        value = self._tensors[name].reshape(-1)
        return tensor_of({name: value}, name, (stage.outputs if many else 1,), self.card.network)

    def _norm(self, name: str, channels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return BatchNorm in evaluation as scale and shift."""
        weight, bias, mean, var = (
            self._tensor(f"{name}.{part}", (channels,))
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = weight / np.sqrt(var + np.float32(_BATCH_NORM_EPS))
        return scale, bias - mean * scale

    def _input_scale(
        self, chain: Chain
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """Return what the input is multiplied by and shifted by, channel by channel."""
        channels, options = self.input_shape[0], self.card.options
        if chain.norm is None and "mean" not in options:
            return None, None
        mean, std = options.get("mean", [0.0] * channels), options.get("std", [1.0] * channels)
        scale = 1 / np.array(std, np.float64)
        shift = -np.array(mean, np.float64) * scale
        if chain.norm is not None:
            norm_scale, norm_shift = self._norm(chain.norm, channels)
            scale, shift = scale * norm_scale, shift * norm_scale + norm_shift
        return scale.astype(np.float32), shift.astype(np.float32)

    def _layer(
        self, stage: Stage, size: tuple[int, int, int], shift: NDArray[np.float32] | None
    ) -> Layer:
        """Put a layer together; `shift` is what its input is more everywhere than what is given."""
        height, width, inputs = size
        kernel = (stage.kernel, stage.kernel) if stage.kernel else (height, width)
        geometry = Geometry.of(size, stage.outputs, kernel, stage.stride, stage.padding)
        name = f"{stage.name}.{stage.product}"
        if stage.kernel:
            weight = self._tensor(f"{name}.weight", (stage.outputs, inputs, *kernel))
        else:
            flat = self._tensor(f"{name}.weight", (stage.outputs, inputs * height * width))
            weight = flat.reshape(stage.outputs, inputs, *kernel)
        drive: NDArray[Any] = self._tensor(f"{name}.bias", (stage.outputs,))[None]
        if shift is not None:
            everywhere = np.broadcast_to(shift, (height, width, inputs))
            drive = drive + plain_convolution(everywhere, weight, geometry)
        scale, offset = self._norm(f"{stage.name}.norm", stage.outputs)
        neurons = [self._constant(stage, each) for each in CONSTANTS[2:]]
        constants = [np.broadcast_to(each, stage.outputs) for each in (scale, offset, *neurons)]
        return Layer(
            geometry,
            weight,
            drive,
            np.array(constants, np.float32),
            pool=stage.pool,
            is_map=bool(stage.kernel),
        )
