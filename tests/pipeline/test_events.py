"""Events: one record, AEDAT 4's own, in every array."""

import dv_processing as dv
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import EVENT, empty_events, events_from_columns


def test_the_record_is_that_of_aedat4() -> None:
    assert EVENT.names == ("t", "x", "y", "p")
    assert EVENT.itemsize == 16
    assert EVENT.fields is not None
    layout = {name: (field[0].str, field[1]) for name, field in EVENT.fields.items()}
    assert layout == {"t": ("<i8", 0), "x": ("<i2", 8), "y": ("<i2", 10), "p": ("|i1", 12)}


def test_an_array_of_dv_processing_is_viewed_and_not_copied() -> None:
    store = dv.EventStore()
    store.push_back(2**40, 639, 479, True)
    store.push_back(2**40 + 1, 0, 0, False)
    theirs = store.numpy()
    ours = theirs.view(EVENT)
    assert ours.tolist() == [(2**40, 639, 479, 1), (2**40 + 1, 0, 0, 0)]
    assert np.shares_memory(ours, theirs)


def test_no_events_are_an_empty_array() -> None:
    assert empty_events().shape == (0,)
    assert empty_events().dtype == EVENT
    assert empty_events(3).tobytes() == bytes(48)


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.integers(-(2**15), 2**15 - 1),
            st.integers(-(2**15), 2**15 - 1),
            st.booleans(),
        )
    )
)
def test_columns_come_back_as_they_went_in(rows: list[tuple[int, int, int, bool]]) -> None:
    t, x, y, p = ([row[k] for row in rows] for k in range(4))
    events = events_from_columns(np.array(t, dtype=np.int64), x, y, p)
    assert events.tolist() == rows


def test_any_polarity_but_zero_is_on() -> None:
    assert events_from_columns([1, 2, 3], [0] * 3, [0] * 3, [-1, 0, 1])["p"].tolist() == [1, 0, 1]


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of one length, got \[2, 2, 1, 2\]"):
        events_from_columns([1, 2], [0, 0], [0], [1, 1])
