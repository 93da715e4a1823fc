"""The kernels of the engine against plain NumPy, through the program that puts them together.

Weights, inputs and membranes are small whole numbers where sums are held to the bit: in float32
these are exact in any order.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import models.engine.advance
import models.engine.tuning
from models.engine.advance import LIMIT, compile_kernels, kernel_sources
from models.engine.convolution import Geometry
from models.engine.layer import Layer
from models.engine.membranes import ACTIVATIONS, EMITS
from models.engine.program import Program, Room
from models.engine.tuning import break_even

Array = NDArray[Any]


class Case(NamedTuple):
    """A layer as plain arrays."""

    geometry: Geometry
    weights: Array
    drive: Array
    constants: Array
    pool: int


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Any sizes: channels that fill no vector, several blocks, kernels as large as the map."""
    channels = st.sampled_from([1, 2, 3, 15, 16, 17, 33])
    size = (draw(st.integers(1, 7)), draw(st.integers(1, 7)), draw(channels))
    outputs = draw(st.sampled_from([1, 2, 11, 16, 17, 32, 33, 64, 65, 130]))
    if draw(st.integers(0, 3)) == 0:
        return Geometry.of(size, outputs, size[:2])
    kernel = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    fewest = max(0, *(-(-(k - side) // 2) for k, side in zip(kernel, size, strict=False)))
    padding = draw(st.integers(0, min(kernel) - 1))
    assume(padding >= fewest)
    return Geometry.of(size, outputs, kernel, draw(st.integers(1, 3)), padding)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Case, np.random.Generator]:
    """A layer of whole numbers, and what draws its inputs."""
    g = draw(geometries())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    positions = g.out_height * g.out_width
    case = Case(
        g,
        rng.integers(-8, 9, (g.outputs, g.inputs, g.kernel_height, g.kernel_width)),
        rng.integers(-4, 5, (draw(st.sampled_from([1, positions])), g.outputs)),
        np.stack([rng.integers(low, 4, g.outputs) for low in (1, -3, -2, -2, -3, -3)]),
        draw(st.integers(1, min(3, g.out_height, g.out_width))),
    )
    return case, rng


def inputs(rng: np.random.Generator, g: Geometry, binary: bool) -> Array:
    """Draw a map at any rate of activity, the same for all pixels or each at its own."""
    shape = (g.inputs, g.height, g.width)
    rate = rng.random() if rng.integers(2) else rng.random((g.height, g.width)) ** 3
    values = 1 if binary else rng.integers(-4, 5, shape)
    return ((rng.random(shape) < rate) * values).astype(np.float32)


def membranes(rng: np.random.Generator, g: Geometry) -> Array:
    return rng.integers(-9, 10, (g.out_height * g.out_width, g.outputs)).astype(np.float32)


def layer_of(case: Case) -> Layer:
    return Layer(case.geometry, case.weights, case.drive, case.constants, case.pool)


class Stepped(NamedTuple):
    """What a step left: outputs, membranes, inputs that were active."""

    y: Array
    v: Array
    active: int

    @property
    def bits(self) -> bytes:
        return self.y.tobytes() + self.v.tobytes()


class Alone:
    """A layer of spiking neurons that is fed with spikes, or with numbers.

    Only the first layer of a program takes numbers; to feed one with spikes, a layer is put before
    it whose neurons do nothing but fire where their input is 1.
    """

    def __init__(self, case: Case, binary: bool) -> None:
        g = case.geometry
        size = (g.height, g.width, g.inputs)
        eye = np.eye(g.inputs)[..., None, None]
        constants = np.repeat([[1.0], [0], [0], [0], [0.5], [0]], g.inputs, 1)
        still = np.zeros((1, g.inputs))
        through = Layer(Geometry.of(size, g.inputs, (1, 1)), eye, still, constants)
        self._before = [through] if binary else []
        self.program = Program([*self._before, layer_of(case)], spikes=True)
        self.room = self.program.room()

    def step(self, x: Array, v: Array, limit: int = 10**9) -> Stepped:
        where = len(self._before)
        self.program.limit(where, limit)
        state = np.zeros(self.program.neurons, np.float32)
        ours = self.program.membranes_of(where, state)
        ours[:] = v
        self.program.step(x, state, self.room)
        y = self.program.map_of(where, self.room).copy()
        return Stepped(y, ours, int(self.room.active[where]))


def sums_twin(case: Case, x: Array) -> Array:
    """Convolve as the formula says it, position by position."""
    g, weights = case.geometry, case.weights
    padded = np.zeros((g.height + 2 * g.padding, g.width + 2 * g.padding, g.inputs))
    padded[g.padding :, g.padding :][: g.height, : g.width] = x.transpose(1, 2, 0)
    sums = np.zeros((g.out_height, g.out_width, g.outputs))
    for oy, ox in np.ndindex(g.out_height, g.out_width):
        rows = slice(oy * g.stride, oy * g.stride + g.kernel_height)
        columns = slice(ox * g.stride, ox * g.stride + g.kernel_width)
        sums[oy, ox] = np.einsum("yxi,oiyx->o", padded[rows, columns], weights)
    return sums.reshape(-1, g.outputs)


def neurons_twin(case: Case, sums: Array, v: Array) -> dict[str, Array]:
    """The equation of `models.neurons`."""
    scale, shift, alpha, beta, theta, v_0 = case.constants.astype(np.float32)
    u = (v + (sums + case.drive)) * scale + shift
    fire = u > theta
    reset = np.where(fire, v_0, u)
    leak = alpha * reset + beta
    return {"fire": fire, "membrane": u, "distance": u - theta, "reset": reset, "leak": leak}


def pool_twin(case: Case, y: Array) -> Array:
    """Take the largest of each square; rows and columns that fill none are left out."""
    g, side = case.geometry, case.pool
    height, width = g.out_height // side, g.out_width // side
    squares = y.reshape(g.out_height, g.out_width, g.outputs)[: height * side, : width * side]
    return squares.reshape(height, side, width, side, g.outputs).max((1, 3))


laws = settings(max_examples=60)
Drawn = tuple[Case, np.random.Generator]


@laws
@given(drawn=cases(), binary=st.booleans())
def test_spikes_and_membranes_are_those_of_the_plain_equation(drawn: Drawn, binary: bool) -> None:
    case, rng = drawn
    x, v = inputs(rng, case.geometry, binary), membranes(rng, case.geometry)
    expected = neurons_twin(case, sums_twin(case, x), v)
    before = x.copy()
    y, after, active = Alone(case, binary).step(x, v)
    assert y.dtype == np.uint8
    np.testing.assert_array_equal(y, pool_twin(case, expected["fire"]))
    np.testing.assert_array_equal(after, expected["leak"])
    np.testing.assert_array_equal(x, before)
    assert active == np.count_nonzero(x)


@laws
@given(drawn=cases(), emit=st.sampled_from(EMITS), activation=st.sampled_from(ACTIVATIONS))
def test_analog_neurons_put_out_the_membrane_that_is_asked_for(
    drawn: Drawn, emit: str, activation: str
) -> None:
    case, rng = drawn
    output = EMITS.index(emit), ACTIVATIONS.index(activation)
    program = Program([layer_of(case)], spikes=False, output=output)
    x, v = inputs(rng, case.geometry, binary=False), membranes(rng, case.geometry)
    expected = neurons_twin(case, sums_twin(case, x), v)
    room = program.room()
    program.step(x, v.reshape(-1), room)
    through = {
        "none": lambda u: u,
        "relu": lambda u: np.maximum(u, 0),
        "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
        "tanh": np.tanh,
    }[activation]
    near = {"rtol": 1e-6, "atol": 1e-9} if activation in ("sigmoid", "tanh") else {"rtol": 0.0}
    put_out = pool_twin(case, through(expected[emit].astype(np.float64)))
    np.testing.assert_allclose(program.map_of(0, room), put_out, **near)
    np.testing.assert_array_equal(v, expected["leak"])


@laws
@given(drawn=cases(), binary=st.booleans(), halves=st.booleans(), limit=st.integers(0, 300))
def test_sparse_and_dense_are_equal_to_the_bit_wherever_the_limit_is(
    drawn: Drawn, binary: bool, halves: bool, limit: int
) -> None:
    case, rng = drawn
    weights = rng.standard_normal(case.weights.shape)
    case = case._replace(
        weights=weights.astype(np.float16) if halves else weights,
        drive=rng.standard_normal(case.drive.shape),
    )
    layer, x = Alone(case, binary), inputs(rng, case.geometry, binary)
    v = rng.standard_normal(membranes(rng, case.geometry).shape)
    assert len({layer.step(x, v, now).bits for now in (-1, limit, x.size)}) == 1


@settings(max_examples=20)
@given(drawn=cases(), binary=st.booleans())
def test_what_was_stepped_before_leaves_nothing_behind(drawn: Drawn, binary: bool) -> None:
    case, rng = drawn
    layer, v = Alone(case, binary), membranes(rng, case.geometry)
    for limit in (-1, 10**9, -1, 10**9):
        x = inputs(rng, case.geometry, binary)
        assert layer.step(x, v, limit).bits == Alone(case, binary).step(x, v, limit).bits


@pytest.mark.parametrize(
    ("each_ns", "everything_ns", "inputs"),
    [(100, 51_200, 512), (100, 10_000_000, 2048), (100, 10, 128), (0, 500, 2048)],
    ids=["where both take as long", "never", "no sooner than at a sixteenth", "no time at all"],
)
@pytest.mark.parametrize("spikes", [True, False])
def test_the_break_even_is_where_both_ways_take_as_long(
    monkeypatch: pytest.MonkeyPatch, each_ns: int, everything_ns: int, inputs: int, spikes: bool
) -> None:
    """On a clock by which an active input, and all products, take what is given."""
    g = Geometry.of((8, 8, 32), 64, (3, 3), 1, 1)
    layer = Layer(g, np.zeros((64, 32, 3, 3)), np.zeros((1, 64)), np.ones((6, 64)))
    now_ns = 0

    def step(program: Program, frame: Array, v: Array, room: Room) -> None:
        nonlocal now_ns
        active = np.count_nonzero(frame)
        everything = active > program.table[0, LIMIT]
        now_ns += 1_000 + (everything_ns if everything else each_ns * active)

    monkeypatch.setattr(Program, "step", step)
    monkeypatch.setattr(models.engine.tuning, "perf_counter_ns", lambda: now_ns)
    assert break_even(layer, spikes) == inputs


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    """A copy of the engine's files."""
    folder = tmp_path / "engine"
    shutil.copytree(Path(models.engine.advance.__file__).parent, folder)
    return folder


@pytest.mark.parametrize("name", ["vectors.py", "convolution.py", "membranes.py"])
def test_a_kernel_file_that_changed_is_compiled_anew(kernels: Path, name: str) -> None:
    before = kernel_sources(kernels)
    assert before == kernel_sources(Path(models.engine.advance.__file__).parent)
    (kernels / name).write_text((kernels / name).read_text().replace("0", "1", 1))
    after = kernel_sources(kernels)
    assert cache_key(before) != cache_key(after)
    assert cache_key(before) == cache_key(before)


def cache_key(sources: str) -> Any:
    """Return what Numba looks the machine code of a function up by."""
    kernel = compile_kernels(sources)
    codegen = kernel.targetctx.codegen()
    return kernel._cache._index_key((), codegen)


def test_every_kernel_that_is_called_is_among_the_sources_of_the_key() -> None:
    folder = Path(models.engine.advance.__file__).parent
    called = {
        value.py_func.__module__
        for value in vars(models.engine.advance).values()
        if hasattr(value, "py_func")
    }
    beside = {path.stem for path in folder.glob("*.py") if "njit" in path.read_text()} - {"advance"}
    assert beside == {"convolution", "membranes"}
    assert {name.rpartition(".")[2] for name in called} - {"advance"} == beside
