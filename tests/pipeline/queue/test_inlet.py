"""Merging: the order of messages comes from what they hold and never from when they arrive."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
import zmq
from doubles import (
    ListSink,
    ListSource,
    NoOptions,
    end_recording,
    end_stream,
    events,
    kinds,
    predictions,
    scores,
    start,
)
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from pipeline.messages import (
    Barrier,
    Clock,
    Frames,
    Message,
    Predictions,
    Reset,
    Retime,
    Start,
    Windows,
    control,
    data,
    decode,
)
from pipeline.ports import PredictionsPort
from pipeline.queue.inlet import Inlet
from pipeline.queue.receiver import Receiver
from pipeline.queue.sender import Sender
from pipeline.report import QueueCount
from pipeline.run.loop import drive_source, drive_transform
from pipeline.run.playback import Playback
from pipeline.stage import Account, Together, Transform


class Script:
    """A receiver whose messages are there when the script of the test lets them be."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.name = "queue"
        self.socket = object()
        self.left = list(messages)
        self.messages = self.units = self.dealt = 0

    def receive(self, timeout_ms: int | None = None) -> Message | None:
        self.messages += bool(self.left)
        return self.left.pop(0) if self.left else None

    def count(self) -> QueueCount:
        return QueueCount(self.name, self.messages, self.units)

    def deal(self) -> None:
        self.dealt += 1


def as_receivers(scripts: Sequence[Script]) -> Any:
    return scripts


@contextmanager
def faked(
    scripts: Sequence[Script], arrivals: Sequence[int], asked: list[int | None] | None = None
) -> Iterator[None]:
    """Let messages arrive in an order: each number chooses among those that may come."""
    order = iter(arrivals)

    class Poller:
        def __init__(self) -> None:
            self.heard: list[object] = []

        def register(self, socket: object, flags: int) -> None:
            self.heard.append(socket)

        def poll(self, timeout_ms: int | None = None) -> list[tuple[object, int]]:
            if asked is not None:
                asked.append(timeout_ms)
            speaking = [one for one in scripts if one.left and one.socket in self.heard]
            if timeout_ms is not None and not speaking:
                return []
            assert speaking, "waits for messages that will never come"
            return [(speaking[next(order, 0) % len(speaking)].socket, zmq.POLLIN)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zmq, "Poller", Poller)
        yield


def merging(
    scripts: Sequence[Script],
    arrivals: Sequence[int],
    origins: Sequence[frozenset[str]] = (),
    pending: Any = None,
) -> Iterator[tuple[Message, Inlet]]:
    """Merge, the messages arriving in an order: see `faked`."""
    with faked(scripts, arrivals):
        inlet = Inlet(as_receivers(scripts), origins, pending)
        for message in inlet.messages():
            yield message, inlet


def merged(scripts: Sequence[Script], arrivals: Sequence[int]) -> list[Message]:
    return [message for message, _ in merging(scripts, arrivals)]


times = st.lists(st.integers(0, 30), max_size=8).map(sorted)


@st.composite
def cut(draw: st.DrawFn, by: str, recordings: list[list[int]]) -> list[Message]:
    """The stream of one input: its predictions cut into messages at will."""
    messages = []
    for epoch, ends in enumerate(recordings):
        messages.append(start(epoch=epoch))
        at = sorted(draw(st.lists(st.integers(0, len(ends)), max_size=3)))
        for begin, end in zip([0, *at], [*at, len(ends)], strict=True):
            messages.append(predictions(ends[begin:end], by))
        messages.append(end_recording(epoch=epoch))
    return [*messages, end_stream()]


def expected(inputs: list[list[list[int]]]) -> list[list[tuple[str, float]]]:
    """For each recording the rows of all inputs that have it, by time and then by input."""
    return [
        [
            (str(k), float(end))
            for end, k in sorted(
                (end, k)
                for k, recordings in enumerate(inputs)
                if epoch < len(recordings)
                for end in recordings[epoch]
            )
        ]
        for epoch in range(max(map(len, inputs)))
    ]


@given(
    st.lists(st.lists(times, max_size=3), min_size=2, max_size=3),
    st.lists(st.integers(0, 5), max_size=60),
    st.data(),
)
def test_merging_depends_on_neither_arrival_nor_cut(
    inputs: list[list[list[int]]], arrivals: list[int], choose: st.DataObject
) -> None:
    streams = [choose.draw(cut(str(k), recordings)) for k, recordings in enumerate(inputs)]
    scripts = [Script(messages) for messages in streams]
    found = merged(scripts, arrivals)
    parts: list[list[Message]] = []
    for message in found:
        if isinstance(message.header, Start):
            parts.append([])
        elif isinstance(message.header, Predictions):
            parts[-1].append(message)
    assert [scores(part) for part in parts] == expected(inputs)
    controls = [kind for kind in kinds(found) if kind != "Predictions"]
    assert controls == [*["Start", "EndRecording"] * max(map(len, inputs)), "EndStream"]
    assert [script.dealt for script in scripts] == [len(messages) for messages in streams]


def frames_ending(stream: str, ends_us: Sequence[int], first: int = 0) -> Message:
    """Windows of 10 µs, one pixel each, which holds the time at which its window ends."""
    windows = Windows(first, ends_us[0] - 10, 10, 10, (None,) * len(ends_us))
    array = np.array(ends_us, np.uint8).reshape(-1, 1, 1, 1)
    return data(
        Frames,
        array,
        stream=stream,
        t_first_us=ends_us[0] - 10,
        t_last_us=ends_us[-1],
        windows=windows,
    )


def camera(stream: str, offset_us: int, counts: Sequence[int]) -> list[Message]:
    """A recording of windows every 10 µs, so many in each message."""
    messages, first = [], 0
    for count in counts:
        ends_us = [offset_us + 10 * (first + k + 1) for k in range(count)]
        messages.append(frames_ending(stream, ends_us, first))
        first += count
    return [start(stream), *messages, end_recording(stream), end_stream(stream)]


def turns(
    scripts: Sequence[Script], arrivals: Sequence[int], together: Together | None, live: str = ""
) -> list[list[tuple[str, int]]]:
    """The turns of data, as stream and end of each window, and of control messages the kind."""
    names = [frozenset({script.left[0].header.stream}) for script in scripts]
    with faked(scripts, arrivals):
        inlet = Inlet(as_receivers(scripts), names, None, frozenset(live), (), together)
        return [
            [(message.header.stream, int(message.array[0, 0, 0, 0])) for message in turn]
            for turn in inlet.turns()
            if not turn[0].is_control
        ]


@given(
    st.lists(st.lists(st.integers(1, 3), max_size=4), min_size=2, max_size=4),
    st.lists(st.integers(0, 9), min_size=4, max_size=4),
    st.lists(st.integers(0, 5), max_size=60),
    st.integers(1, 5),
)
def test_recordings_go_together_by_their_times_alone(
    cuts: list[list[int]], offsets_us: list[int], arrivals: list[int], most: int
) -> None:
    """As one by one: the same order; no stream twice in a turn; however cut, whenever it came."""

    def cameras(cuts: list[list[int]]) -> list[Script]:
        named = zip("abcd", offsets_us, cuts, strict=False)
        return [Script(camera(name, offset, counts)) for name, offset, counts in named]

    found = turns(cameras(cuts), arrivals, Together(most, 0.0, 10))
    single = turns(cameras(cuts), [], None)
    assert [window for turn in found for window in turn] == [one for (one,) in single]
    for turn in found:
        streams = [stream for stream, _ in turn]
        assert len(streams) == len(set(streams)) <= most
    whole = [[sum(counts)] if counts else [] for counts in cuts]
    assert turns(cameras(whole), [], Together(most, 0.0, 10)) == found


def test_windows_of_all_that_play_at_the_same_time_go_together() -> None:
    scripts = [Script(camera(name, k, [2, 1])) for k, name in enumerate("abc")]
    assert turns(scripts, [], Together(8, 0.0, 10)) == [
        [("a", 10), ("b", 11), ("c", 12)],
        [("a", 20), ("b", 21), ("c", 22)],
        [("a", 30), ("b", 31), ("c", 32)],
    ]
    scripts = [Script(camera(name, k, [2, 1])) for k, name in enumerate("abc")]
    assert [len(turn) for turn in turns(scripts, [], Together(2, 0.0, 10))] == [2, 2, 2, 2, 1]


def test_live_streams_take_turns_whatever_one_sends() -> None:
    """One has brought ten windows, the others two: nobody has its third before others are done."""
    scripts = [
        Script(camera("a", 0, [10])),
        Script(camera("b", 100, [1, 1])),
        Script(camera("c", 200, [1, 1])),
    ]
    found = turns(scripts, [], Together(2, 0.0, 10), live="abc")
    order = [stream for turn in found for stream, _ in turn]
    assert {stream: order.index(stream) for stream in "abc"} == {"a": 0, "b": 1, "c": 2}
    assert order[:6].count("a") == 2
    assert sorted(order) == ["a"] * 10 + ["b"] * 2 + ["c"] * 2


@pytest.mark.parametrize(
    ("come", "sizes"),
    [
        ([0, 0, 1, 1, 0, 0, 0, 0, 1, 1], [2, 1]),
        # The first has its second window, which the other would hold up.
        ([0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1], [1, 1, 1]),
    ],
)
def test_live_streams_wait_for_others_until_one_has_more(come: list[int], sizes: list[int]) -> None:
    """Of two that come one after the other, both go together if there is time to wait."""
    scripts = [Script(camera("a", 0, [1, 1])), Script(camera("b", 0, [1]))]
    asked: list[int | None] = []
    receivers = as_receivers(scripts)
    names, both = [frozenset("a"), frozenset("b")], Together(2, 5.0, 10)
    inlet = Inlet(receivers, names, None, frozenset("ab"), (), both)
    with coming(scripts, come, asked):
        found = [len(turn) for turn in inlet.turns() if not turn[0].is_control]
    assert found == sizes
    assert any(wait_ms is not None and 4000 < wait_ms <= 5000 for wait_ms in asked)


def test_rows_keep_their_own_span() -> None:
    left = Script([start(), predictions([10, 30], "a"), end_recording(), end_stream()])
    right = Script([start(), predictions([20, 30], "b"), end_recording(), end_stream()])
    rows = [message for message in merged([left, right], []) if not message.is_control]
    assert scores(rows) == [("a", 10), ("b", 20), ("a", 30), ("b", 30)]
    for row in rows:
        assert isinstance(row.header, Predictions)
        (span,) = row.header.spans
        assert row.header.shape == (1, 1)
        assert (row.header.t_first_us, row.header.t_last_us) == (span.t_start_us, span.t_end_us)


@pytest.mark.parametrize("reset_in", [0, 1])
def test_a_reset_of_one_branch_stays_within_the_recording(reset_in: int) -> None:
    reset = control(Reset(stream="cam"))
    streams = [
        [start(), predictions([k + 1], str(k)), end_recording(), end_stream()] for k in range(2)
    ]
    streams[reset_in][2:2] = [reset, predictions([9], str(reset_in))]
    found = merged([Script(messages) for messages in streams], [])
    assert kinds(found) == [
        "Start",
        *["Predictions"] * 2,
        "Reset",
        "Predictions",
        "EndRecording",
        "EndStream",
    ]


def test_each_stream_is_reset_by_itself() -> None:
    """The user lets two recordings begin anew: the one's reset is none of the other's."""
    streams = [
        [start(name), predictions([k]), control(Reset(stream=name)), predictions([9]), *ends(name)]
        for k, name in enumerate("ab")
    ]
    scripts = [Script(of(name, messages)) for name, messages in zip("ab", streams, strict=True)]
    found = told(merging(scripts, [], [frozenset("a"), frozenset("b")]))
    assert found[:6] == ["a Start", "b Start", "a 0", "a Reset", "b 1", "b Reset"]


def test_a_stream_starts_while_others_play() -> None:
    """One input brings two streams, as a copy does: the second is not held up by other inputs."""
    both = [start("a"), start("b"), *of("b", [predictions([3])]), *ends("a", "b")]
    other = of("c", [start(), *(predictions([k]) for k in (1, 2, 5)), *ends("c")])
    found = told(
        merging([Script(both), Script(other)], [], [frozenset("ab"), frozenset("c")]),
    )
    assert found[:7] == ["a Start", "c Start", "b Start", "c 1", "c 2", "b 3", "c 5"]
    assert found[7:] == ["a EndRecording", "c EndRecording", "b EndRecording", "a EndStream"]


def test_the_next_recordings_begin_together() -> None:
    """Ends come before what starts behind them, however many an input has of each."""
    both = [start("a"), start("b"), *ends("a", "b")[:2], *(start(name, 1) for name in "ab")]
    both += [*of("a", [predictions([1])]), *ends("a", "b")]
    other = of("c", [start(), end_recording(), start(epoch=1), predictions([2]), *ends("c")])
    found = told(
        merging([Script(both), Script(other)], [], [frozenset("ab"), frozenset("c")]),
    )
    assert found[3:6] == ["a EndRecording", "c EndRecording", "b EndRecording"]
    assert found[6:11] == ["a Start", "c Start", "b Start", "a 1", "c 2"]


def test_recordings_of_different_days_play_side_by_side() -> None:
    """Times count from the start of each recording, in a run that goes on as well."""
    days = {"a": 0, "b": 1_600_000_000}
    streams = {
        name: of(name, [start(t_first_us=day), *(predictions([day + k]) for k in (1, 2, 3))])
        for name, day in days.items()
    }
    names = [frozenset(name) for name in streams]
    whole = [Script([*messages, *ends(name)]) for name, messages in streams.items()]
    order = [said[0] for said in told(merging(whole, [], names)) if "End" not in said]
    assert order == [*"ab" * 4]
    rest = [Script([*messages[2:], *ends(name)]) for name, messages in streams.items()]
    starts = [message.header for (message, *_) in streams.values()]
    with faked(rest, []):
        inlet = Inlet(as_receivers(rest), names, starts=starts)
        found = [message.header.stream for message in inlet.messages() if not message.is_control]
    assert found == [*"ab" * 2]


def test_nobody_in_a_turn_overtakes_who_has_to_wait_for_the_next() -> None:
    """Two inputs bring one stream, which is stepped once in a turn."""
    parts = [camera("a", 0, [1]), camera("a", 2, [1]), camera("b", 4, [1])]
    assert turns([Script(part) for part in parts], [], Together(8, 0.0, 10)) == [
        [("a", 10)],
        [("a", 12), ("b", 14)],
    ]


def test_messages_of_a_single_queue_count_as_dealt_with_when_the_next_is_asked_for() -> None:
    script = Script([start(), events(1), end_stream()])
    receivers: Any = [script]
    dealt = [script.dealt for _ in Inlet(receivers).messages()]
    assert dealt == [0, 1, 2]
    assert script.dealt == 3


def test_an_input_of_another_source_waits_in_its_queue() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    receivers = [Receiver(context, f"inproc://{name}", name, 4) for name in "ab"]
    senders = [Sender(context, f"inproc://{name}", name) for name in "ab"]

    def send(sender: Sender, messages: list[Message]) -> None:
        with suppress(zmq.ContextTerminated):
            for message in messages:
                sender.send(message)
            sender.drain()
        sender.close()

    fast = [start(), *(events(1, t_us=k) for k in range(50))]
    with ThreadPoolExecutor(2) as pool:
        pool.submit(send, senders[0], fast)
        pool.submit(send, senders[1], [start(), events(1, t_us=10)])
        found = Inlet(receivers, [frozenset({"fast"}), frozenset({"slow"})]).messages()
        taken = [next(found) for _ in range(12)]
        assert isinstance(taken[0].header, Start)
        # Eleven events of the fast one came before the slow one's; four more may be on their way.
        assert senders[0].messages <= 12 + 4
        for receiver in receivers:
            receiver.close()
        context.term()


class Repeat(Transform[NoOptions, tuple[int, int]]):
    """Makes ``times`` predictions a message, or one every ``1 / times`` messages."""

    Config = NoOptions

    def __init__(self, name: str, times: float) -> None:
        super().__init__(name, NoOptions())
        self.times = times

    def port(self) -> PredictionsPort:
        return PredictionsPort(("only",))

    def start(self, header: Start) -> tuple[int, int]:
        return 0, 0

    def process(
        self, state: tuple[int, int], message: Message
    ) -> Generator[Message, None, tuple[int, int]]:
        taken, made = state
        taken += 1
        while made < int(taken * self.times):
            made += 1
            yield predictions([taken], self.name)
        return taken, made

    def account(self, state: tuple[int, int]) -> Account:
        return Account(*state, made=state[1], unit_in="events", unit_out="predictions")


def test_a_diamond_with_unequal_branches_does_not_stand_still() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    names = ("in-a", "in-b", "a", "b")
    ends = {name: Receiver(context, f"inproc://{name}", name, 1) for name in names}
    starts = {name: Sender(context, f"inproc://{name}", name) for name in names}
    batches = [events(1, t_us=k) for k in range(40)]
    source = ListSource([start(), *batches, end_recording()])
    sink = ListSink()

    def branch(name: str, times: float) -> None:
        end = ends[f"in-{name}"]
        drive_transform(Repeat(name, times), Inlet([end]), [end], [starts[name]])

    def play() -> None:
        drive_source(source, [starts["in-a"], starts["in-b"]], Playback())

    with ThreadPoolExecutor(4) as pool:
        merging, related = [ends["a"], ends["b"]], [frozenset({"camera"})] * 2
        work: list[Future[Any]] = [
            pool.submit(drive_transform, sink, Inlet(merging, related), merging, []),
            pool.submit(play),
            pool.submit(branch, "a", 20),
            pool.submit(branch, "b", 0.05),
        ]
        for each in work:
            each.result(30)
    for name in names:
        ends[name].close()
        starts[name].close()
    context.term()
    made = [("a", float(k)) for k in range(1, 41) for _ in range(20)]
    for k in (20, 40):
        made.insert(made.index(("a", float(k))) + 20, ("b", float(k)))
    assert scores(sink.written) == made


@contextmanager
def coming(
    scripts: Sequence[Script], come: Sequence[int], asked: list[int | None] | None = None
) -> Iterator[None]:
    """Let messages come one by one, each number being the input whose is next.

    Nobody may be waited for whose message is not the next to come.
    """
    following = iter(come)

    class Poller:
        def __init__(self) -> None:
            self.heard: list[object] = []

        def register(self, socket: object, flags: int) -> None:
            self.heard.append(socket)

        def poll(self, timeout_ms: int | None = None) -> list[tuple[object, int]]:
            if asked is not None:
                asked.append(timeout_ms)
            socket = scripts[next(following)].socket
            assert socket in self.heard
            return [(socket, zmq.POLLIN)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zmq, "Poller", Poller)
        yield


def arriving(
    scripts: Sequence[Script], origins: Sequence[str], live: Sequence[str], come: Sequence[int]
) -> Iterator[tuple[Message, Inlet]]:
    """Merge inputs whose messages come one by one: see `coming`."""
    inlet = Inlet(
        as_receivers(scripts), [frozenset({name}) for name in origins], live=frozenset(live)
    )
    with coming(scripts, come):
        for message in inlet.messages():
            yield message, inlet


class Everything:
    """A poller by which all that is asked for has come."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def register(self, socket: object, flags: int) -> None:
        self.heard.append(socket)

    def poll(self, timeout: int | None = None) -> list[tuple[object, int]]:
        return [(socket, zmq.POLLIN) for socket in self.heard]


def ends(*streams: str) -> list[Message]:
    """Recordings of streams that come from one input end, and then the input."""
    return [*(end_recording(stream) for stream in streams), end_stream(streams[0])]


def of(stream: str, messages: Sequence[Message]) -> list[Message]:
    return [
        message._replace(header=structs.replace(message.header, stream=stream))
        for message in messages
    ]


def told(found: Iterable[tuple[Message, Inlet]]) -> list[str]:
    """Who says what: a time stands for predictions."""
    return [
        f"{message.header.stream} {message.array[0, 0]:g}"
        if isinstance(message.header, Predictions)
        else f"{message.header.stream} {type(message.header).__name__}"
        for message, _ in found
    ]


def test_a_live_source_waits_for_no_other_one() -> None:
    """One is silent, is unplugged and comes back; their clocks have nothing to do with each other.

    The other one's predictions are delivered all the while, and its own when there are any.
    """
    first = of(
        "a",
        [
            *(start(), predictions([7_000_000]), end_recording()),
            *(start(epoch=1), predictions([3]), end_recording(epoch=1), end_stream()),
        ],
    )
    steady = [predictions([k]) for k in range(1, 7)]
    second = of("b", [start(), *steady, end_recording(), end_stream()])
    come = [1, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 1, 1]
    scripts = [Script(first), Script(second)]
    found = told(arriving(scripts, "ab", ["a"], come))
    assert found == [
        *("b Start", "b 1", "a Start", "b 2", "a 7e+06", "b 3", "a EndRecording", "b 4"),
        *("a Start", "a 3", "b 5", "a EndRecording", "b 6", "b EndRecording", "a EndStream"),
    ]
    assert [script.dealt for script in scripts] == [len(first), len(second)]


def test_recordings_that_are_replayed_are_merged_beside_a_live_source() -> None:
    """Among themselves they are in order of time, which waits for the later one."""
    streams = [
        of("cam", [start(), predictions([9]), end_recording(), end_stream()]),
        of("x", [start(), predictions([20]), end_recording(), end_stream()]),
        of("y", [start(), predictions([10]), end_recording(), end_stream()]),
    ]
    scripts = [Script(messages) for messages in streams]
    come = [1, 0, 0, 2, 1, 0, 2, 2, 1, 0, 2, 1]
    assert told(arriving(scripts, ["cam", "x", "y"], ["cam"], come)) == [
        *("cam Start", "cam 9", "x Start", "y Start", "cam EndRecording", "y 10", "x 20"),
        *("x EndRecording", "y EndRecording", "cam EndStream"),
    ]


def test_branches_of_a_live_source_are_merged_by_time() -> None:
    streams = [
        of("cam", [start(), predictions([end], by), end_recording(), end_stream()])
        for by, end in (("left", 20), ("right", 10))
    ]
    scripts = [Script(messages) for messages in streams]
    found = [message for message, _ in arriving(scripts, ["cam", "cam"], ["cam"], [0, 1] * 4)]
    assert scores(found) == [("right", 10), ("left", 20)]
    assert kinds(found) == ["Start", "Predictions", "Predictions", "EndRecording", "EndStream"]


def test_a_live_source_that_has_ended_is_let_go_and_is_over_in_later_checkpoints() -> None:
    barrier = control(Barrier(stream="b", checkpoint=4))
    streams = [
        of("a", [start(), end_recording(), end_stream()]),
        of("b", [start(), predictions([5]), barrier, predictions([6]), end_recording()]),
    ]
    scripts = [Script(messages) for messages in streams]
    kept: list[Any] = []
    flow = arriving(scripts, "ab", ["a", "b"], [0, 1, 0, 0, 1, 1])
    for message, inlet in flow:
        if isinstance(message.header, Barrier):
            # All of it is dealt with, though the end of the other one is still to come.
            assert scripts[0].dealt == 3
            inlet.cut(4, lambda counts, pending: kept.append((counts, pending)))
            break
    ((counts, pending),) = kept
    assert [count.messages for count in counts] == [3, 3]
    assert [[kinds([decode(*raw)]) for raw in each] for each in pending] == [[["EndStream"]], []]
    # A run that goes on from there waits only for the one that is not over.
    rest = [Script([]), Script(of("b", [predictions([6]), end_recording(), end_stream()]))]
    receivers: Any = rest
    inlet = Inlet(receivers, [frozenset("a"), frozenset("b")], pending, frozenset("ab"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zmq, "Poller", Everything)
        assert kinds(inlet.messages()) == ["Predictions", "EndRecording", "EndStream"]


@given(
    st.lists(st.lists(times, max_size=2), min_size=2, max_size=3),
    st.lists(st.integers(0, 5), max_size=60),
    st.booleans(),
    st.data(),
)
def test_a_checkpoint_is_of_one_point_of_all_inputs(
    inputs: list[list[list[int]]], arrivals: list[int], related: bool, choose: st.DataObject
) -> None:
    """Wherever its barrier stands in each: what was delivered before it and behind it is all."""
    barrier = control(Barrier(stream="cam", checkpoint=1))
    origins = [frozenset({"cam" if related else str(k)}) for k in range(len(inputs))]
    streams = [choose.draw(cut(str(k), recordings)) for k, recordings in enumerate(inputs)]
    whole = [message for message, _ in merging([Script(s) for s in streams], arrivals, origins)]
    places = [choose.draw(st.integers(0, len(messages))) for messages in streams]
    places[0] = min(places[0], len(streams[0]) - 1)  # one at least is still playing
    scripts = [
        # What has ended lets no barrier leave.
        Script([*messages[:place], *[barrier] * (place < len(messages)), *messages[place:]])
        for messages, place in zip(streams, places, strict=True)
    ]
    before: list[Message] = []
    kept: list[Any] = []
    passed = 0
    for message, inlet in merging(scripts, arrivals, origins):
        if isinstance(message.header, Barrier):
            passed += 1
            inlet.cut(1, lambda counts, pending: kept.append((counts, pending)))
        elif not passed:
            before.append(message)
    assert passed == 1
    ((counts, pending),) = kept
    rest = [Script(messages[place:]) for messages, place in zip(streams, places, strict=True)]
    behind = [message for message, _ in merging(rest, arrivals, origins, pending)]
    assert kinds(before + behind) == kinds(whole)
    assert scores(before + behind) == scores(whole)
    for count, place, messages in zip(counts, places, streams, strict=True):
        assert count.messages == min(place + 1, len(messages))


def test_a_new_clock_holds_back_none_of_the_data_behind_it() -> None:
    """As where a paced run goes on from a checkpoint: every source tells its clock anew."""
    retime = control(Retime(stream="cam", clock=Clock(0, 0, 1.0)))
    left = [start(), retime, predictions([1], "left"), predictions([5], "left")]
    right = [start(), predictions([2], "right"), retime, predictions([3], "right")]
    ends = [end_recording(), end_stream()]
    found = merged([Script([*left, *ends]), Script([*right, *ends])], [])
    assert scores(found) == [("left", 1), ("right", 2), ("right", 3), ("left", 5)]
    assert kinds(found).count("Retime") == 2
