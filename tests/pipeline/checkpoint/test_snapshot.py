"""Snapshots: what a stage keeps, as bytes and back, and nothing else is built of them."""

from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.checkpoint.snapshot import classes_of, pack, unpack
from pipeline.errors import CheckpointError
from pipeline.events import EVENT, events_from_columns
from pipeline.registry import BUILT_IN, load_stage


class Inner(NamedTuple):
    """Of a state."""

    name: str
    memory: Any


class Outer(msgspec.Struct):
    """A state."""

    inner: Inner
    count: int


CLASSES: dict[str, type] = {"Inner": Inner, "Outer": Outer}

plain = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
some_array = arrays.arrays(
    arrays.integer_dtypes(endianness="=") | arrays.floating_dtypes(endianness="=") | st.just(bool),
    arrays.array_shapes(min_dims=0, min_side=0, max_side=3),
)
scalars = st.sampled_from([np.float64(0.1), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True)])


def within(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(children, max_size=3)
    return (
        several
        | several.map(tuple)
        | st.dictionaries(
            st.text() | st.integers(-9, 9) | st.tuples(st.text()), children, max_size=3
        )
        | st.builds(Inner, st.text(), children)
        | st.builds(Outer, st.builds(Inner, st.text(), children), st.integers(-9, 9))
    )


states = st.recursive(plain | st.binary() | some_array | scalars, within, max_leaves=12)


def same(a: Any, b: Any) -> bool:
    """Whether two states are of the same types and to the bit of the same content."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray | np.generic):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, msgspec.Struct):
        return same(msgspec.structs.astuple(a), msgspec.structs.astuple(b))
    if isinstance(a, dict):
        return same([*a.items()], [*b.items()])
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    return repr(a) == repr(b)


@given(state=states)
def test_what_is_packed_comes_back_to_the_bit(state: Any) -> None:
    assert same(unpack(pack(state), CLASSES), state)


@given(array=some_array)
def test_arrays_can_be_written_to_and_lie_as_kernels_take_them(array: Any) -> None:
    for one in (array, array.T, array[..., ::-1] if array.ndim else array):
        back = unpack(pack(one), {})
        assert back.flags.writeable
        assert back.flags.aligned
        assert back.flags.c_contiguous
        assert back.flags.owndata or back.base.flags.owndata
        np.testing.assert_array_equal(back, one)


def test_events_keep_their_layout() -> None:
    events = events_from_columns([1, 2], [3, 4], [5, 6], [0, 1])
    back = unpack(pack(events), {})
    assert back.dtype == EVENT
    assert back.dtype.itemsize == 16
    assert back.tolist() == events.tolist()


def test_a_state_that_is_stepped_on_in_place_is_kept_as_it_was() -> None:
    state = Inner("a", np.zeros(3))
    raw = pack(state)
    state.memory[:] = 1
    assert unpack(raw, CLASSES).memory.tolist() == [0, 0, 0]


class Device:
    """No data."""


@pytest.mark.parametrize(
    "value",
    [Device(), {1, 2}, 1j, np.array([Device()]), np.zeros(1, [("a", "i4")]), Inner("a", print)],
    ids=["object", "set", "complex", "array of objects", "array of records", "function"],
)
def test_what_is_no_data_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="is no data"):
        pack(value)


class Wider(NamedTuple):
    """A later version of a state."""

    name: str
    memory: Any
    more: int


@pytest.mark.parametrize(
    ("state", "classes", "problem"),
    [
        (Inner("a", 1), {}, "Inner is none of its classes"),
        (Outer(Inner("a", 1), 2), {"Outer": Outer}, "Inner is none of its classes"),
        (Inner("a", 1), {"Inner": Wider}, "Wider has other fields now; it is of another version"),
        (
            Wider("a", 1, 2),
            {"Wider": Inner},
            "Inner has other fields now; it is of another version",
        ),
    ],
)
def test_other_classes_and_other_fields_are_refused(
    state: Any, classes: dict[str, type], problem: str
) -> None:
    with pytest.raises(CheckpointError) as refused:
        unpack(pack(state), classes)
    assert str(refused.value) == f"holds a state that cannot be read ({problem})"


@pytest.mark.parametrize(
    "told",
    [
        ["module", "os"],
        ["array", "O", [1], b"12345678"],
        ["array", "<i8", [2], b"12345678"],
        ["array", "i4,,(", [1], b"1234"],
        ["named", "Inner", ["name", "memory"]],
        ["named", "Inner"],
        ["tuple", 3],
        [[1], 2],
        [],
    ],
    ids=str,
)
def test_what_was_never_packed_is_refused(told: Any) -> None:
    with pytest.raises(CheckpointError, match="holds a state that cannot be read"):
        unpack(msgspec.msgpack.encode(told), CLASSES)


def problem_with(raw: bytes) -> str:
    """Why bytes are refused; where they are not, what would be said."""
    try:
        unpack(raw, CLASSES)
    except CheckpointError as error:
        return str(error)
    return "none: not even what cannot be read"


@given(raw=st.binary(max_size=60))
def test_no_bytes_whatever_bring_anything_but_data_or_a_refusal(raw: bytes) -> None:
    assert "cannot be read" in problem_with(raw)


@given(state=states, seed=st.integers(0, 2**32 - 1))
def test_damaged_bytes_bring_data_or_a_refusal(state: Any, seed: int) -> None:
    rng, raw = np.random.default_rng(seed), bytearray(pack(state))
    raw[rng.integers(len(raw))] ^= 1 << rng.integers(8)
    assert "cannot be read" in problem_with(bytes(raw))


def test_what_nests_too_deeply_is_refused() -> None:
    with pytest.raises(CheckpointError, match="recursion"):
        unpack(b"\x91" * 100_000 + b"\x00", {})


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_stage_says_what_its_state_may_hold(name: str) -> None:
    for kind in classes_of(load_stage(name)).values():
        assert issubclass(kind, tuple | msgspec.Struct)
