"""Reading ahead: another thread reads, and nothing else is different."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.sources.ahead import read_ahead


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


@settings(max_examples=50)
@given(items=st.lists(st.integers() | st.none()), most=st.integers(1, 4))
def test_items_come_as_they_are_and_in_order(items: list[int | None], most: int) -> None:
    assert list(read_ahead(iter(items), most)) == items
    assert threads() == []


def test_an_error_comes_behind_what_was_read_before_it() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise ValueError("damaged")

    got: list[int] = []
    with pytest.raises(ValueError, match="damaged"):
        got.extend(read_ahead(items(), 8))
    assert got == [0, 1, 2]
    assert threads() == []


def test_it_reads_no_further_ahead_than_it_may() -> None:
    read, blocked = list[int](), threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            if number == 7:
                blocked.set()
            yield number

    flow = read_ahead(items(), 3)
    assert [next(flow) for _ in range(4)] == [0, 1, 2, 3]
    assert blocked.wait(10)  # three are ready, and one more is in the thread's hand
    flow.close()
    assert read == [*range(8)]


def test_its_thread_ends_before_what_it_reads_from_is_closed() -> None:
    flow = read_ahead(iter(range(100)), 2)
    assert [next(flow) for _ in range(3)] == [0, 1, 2]
    assert len(threads()) == 1
    flow.close()
    assert threads() == []


def test_a_few_items_need_no_thread() -> None:
    flow = read_ahead(iter(range(2)), 2)
    assert [next(flow), next(flow)] == [0, 1]
    assert threads() == []


def test_other_threads_work_while_the_caller_does() -> None:
    """The third item is read only when the caller, who has the second, says so."""
    worked = threading.Event()

    def items() -> Iterator[int]:
        yield from (1, 2)
        assert worked.wait(10)
        yield 3

    flow = read_ahead(items(), 1)
    assert [next(flow), next(flow)] == [1, 2]
    worked.set()
    assert list(flow) == [3]
