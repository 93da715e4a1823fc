"""The loops that drive stages: what is stamped, counted, paced, and closed at the end."""

from collections.abc import Iterable, Iterator, Sequence
from threading import TIMEOUT_MAX
from typing import Any, cast

import msgspec
import pytest
from doubles import (
    ListSender,
    ListSink,
    ListSource,
    NoOptions,
    end_recording,
    end_stream,
    events,
    kinds,
    predictions,
    start,
    units,
)

from pipeline import clock as run_clock
from pipeline.errors import DeviceError, RecordingError
from pipeline.messages import Barrier, Clock, Message, Retime, Shed, Start, control
from pipeline.queue.inlet import Inlet
from pipeline.report import StageReport
from pipeline.run import loop
from pipeline.run.loop import drive_source, drive_transform
from pipeline.run.playback import Playback
from pipeline.run.pulse import Pulse
from pipeline.stage import Account, Played, Sink


class Arriving(Inlet):
    """Messages without queues."""

    def __init__(self, messages: Iterable[Message]) -> None:
        super().__init__([])
        self._messages = messages

    def messages(self) -> Iterator[Message]:
        return iter(self._messages)


class Time(Playback):
    """A clock that stands still unless someone waits; stands for `time` too."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 10**6
        self.waits: list[float] = []
        self.late_ns = 0
        """How much later than asked a wait ends."""

    def monotonic_ns(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now_ns += round(seconds * 1e9) + self.late_ns
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(loop, "time", clock)
    monkeypatch.setattr(run_clock, "time", clock)
    return clock


def play(
    items: Sequence[Message | Exception], speed: float = 0.0, stop: Any = None
) -> tuple[StageReport, ListSender]:
    sender: Any = ListSender()
    report = drive_source(ListSource(items, speed), [sender], stop or Playback())
    return report, sender


def run(sink: ListSink, messages: Sequence[Message]) -> StageReport:
    return drive_transform(sink, Arriving(messages), [], [])


def test_a_source_is_played_to_its_end_and_its_messages_are_numbered() -> None:
    report, sender = play([start(), events(3), events(2), end_recording()])
    assert kinds(sender.arrived) == ["Start", "Events", "Events", "EndRecording", "EndStream"]
    assert [message.header.seq for message in sender.arrived] == [0, 1, 2, 3, 4]
    born = [message.header.born_ns for message in sender.arrived]
    assert born == sorted(born)
    assert born[0] > 0
    assert sender.drained
    assert report.account is not None
    assert report.account.made == 5
    assert (report.sent[0].messages, report.sent[0].units) == (5, 5)
    assert report.failure is None
    assert report.pace is None


def test_every_queue_of_a_source_gets_every_message() -> None:
    senders: Any = [ListSender("a"), ListSender("b")]
    report = drive_source(ListSource([start(), events(3), end_recording()]), senders, Playback())
    first, second = ([m.header for m in sender.arrived] for sender in senders)
    assert first == second
    assert [count.name for count in report.sent] == ["a", "b"]


def test_a_failed_source_closes_its_recording_and_tells_why() -> None:
    report, sender = play([start(), events(3), RecordingError("the file ends in a packet")])
    assert kinds(sender.arrived) == ["Start", "Events", "EndRecording", "EndStream"]
    assert sender.drained
    assert report.failure is not None
    assert (report.failure.text, report.failure.exit_code) == ("the file ends in a packet", 1)
    assert report.failure.details == ""
    assert report.account is not None
    assert report.account.made == 3


def test_a_bug_of_a_source_comes_with_its_traceback() -> None:
    report, sender = play([start(), ZeroDivisionError("oh")])
    assert kinds(sender.arrived) == ["Start", "EndRecording", "EndStream"]
    assert report.failure is not None
    assert report.failure.text == "ZeroDivisionError: oh"
    assert "Traceback" in report.failure.details


def test_a_source_that_fails_between_recordings_closes_none() -> None:
    _, sender = play([DeviceError("no camera")])
    assert kinds(sender.arrived) == ["EndStream"]
    _, sender = play([start(), end_recording(), DeviceError("no camera")])
    assert kinds(sender.arrived) == ["Start", "EndRecording", "EndStream"]


class Stopping(ListSource):
    """Is stopped by the user after its third turn."""

    def __init__(self, items: Sequence[Message | Exception], stop: Playback) -> None:
        super().__init__(items)
        self.stop = stop

    def play(self, state: int) -> Iterator[Played[int]]:
        for turn, played in enumerate(super().play(state)):
            if turn == 3:
                self.stop.stop()
            yield played


def test_a_stopped_source_sends_what_it_has_and_closes_its_recording() -> None:
    stop, sender = Playback(), ListSender()
    senders: Any = [sender]
    items = [start(epoch=4), *(events(2, t_us=k) for k in range(9)), end_recording(epoch=4)]
    report = drive_source(Stopping(items, stop), senders, stop)
    assert kinds(sender.arrived) == ["Start", *["Events"] * 3, "EndRecording", "EndStream"]
    assert sender.arrived[-2].header.epoch == 4
    assert report.account is not None
    assert report.account.made == 6


def test_a_source_stopped_while_it_waits_does_not_send_what_was_not_due() -> None:
    class StopsInTheFirstWait(Playback):
        def wait(self, seconds: float) -> bool:
            self.stop()
            return True

    items = [start(), events(1, t_us=10**9), end_recording()]
    report, sender = play(items, speed=1.0, stop=StopsInTheFirstWait())
    assert kinds(sender.arrived) == ["Start", "EndRecording", "EndStream"]
    assert report.account is not None
    assert report.account.made == 0


def test_a_paced_source_sends_each_message_when_it_is_due(clock: Time) -> None:
    items = [start(t_first_us=0), *(events(1, t_us=t) for t in (0, 1_000, 5_000)), end_recording()]
    report, sender = play(items, speed=2.0, stop=clock)
    head = sender.arrived[0].header
    assert isinstance(head, Start)
    assert head.clock == Clock(t_us=0, at_ns=10**6, speed=2.0)
    assert [m.header.born_ns - 10**6 for m in sender.arrived[1:4]] == [0, 500_000, 2_500_000]
    assert clock.waits == [0.0005, 0.002]
    assert report.pace is not None
    assert (report.pace.event_s, report.pace.wall_s, report.pace.late_max_ms) == (0.005, 0.0025, 0)


def test_lateness_is_measured_and_does_not_add_up(clock: Time) -> None:
    clock.late_ns = 300_000
    items = [start(t_first_us=0), *(events(1, t_us=t * 1_000) for t in range(1, 11))]
    report, sender = play(items, speed=1.0, stop=clock)
    assert report.pace is not None
    assert report.pace.late_max_ms == pytest.approx(0.3)
    assert report.pace.event_s == pytest.approx(0.010)
    assert report.pace.wall_s == pytest.approx(0.0103)
    due = [10**6 + t * 1_000_000 + clock.late_ns for t in range(1, 11)]
    assert [m.header.born_ns for m in sender.arrived[1:11]] == due


def test_each_recording_has_a_clock_of_its_own(clock: Time) -> None:
    items = [
        item
        for epoch, first_us in enumerate((0, 10**12))
        for item in (
            start(epoch=epoch, t_first_us=first_us),
            events(1, t_us=first_us + 1_000),
            end_recording(epoch=epoch),
        )
    ]
    report, _ = play(items, speed=1.0, stop=clock)
    assert clock.waits == [0.001, 0.001]
    assert report.pace is not None
    assert report.pace.event_s == pytest.approx(0.002)


def test_a_source_without_speed_is_not_paced(clock: Time) -> None:
    _, sender = play([start(), events(1, t_us=10**9), end_recording()], stop=clock)
    assert clock.waits == []
    head = sender.arrived[0].header
    assert isinstance(head, Start)
    assert head.clock is None


def test_a_source_with_nothing_to_say_is_left_alone(clock: Time) -> None:
    class Idle(ListSource):
        def play(self, state: int) -> Iterator[Played[int]]:
            yield Played([], state, wait_s=0.25)

    stop: Any = clock
    drive_source(Idle([]), [], stop)
    assert clock.waits == [0.25]


def test_a_wait_longer_than_a_lock_can_take_is_cut(clock: Time) -> None:
    play([start(t_first_us=0), events(1, t_us=10**9)], speed=1e-12, stop=clock)
    assert clock.waits == [TIMEOUT_MAX]


def test_a_pace_close_to_nothing_waits_for_nothing_long() -> None:
    """Against the real clock: 40 ms of events at twice their speed take about 20 ms."""
    items = [start(t_first_us=0), *(events(1, t_us=t) for t in range(0, 40_001, 4_000))]
    report, _ = play(items, speed=2.0)
    assert report.pace is not None
    assert report.pace.event_s == pytest.approx(0.040)
    assert 0.019 <= report.wall_s < 5


def test_accounts_add_up_over_recordings() -> None:
    sink = ListSink()
    messages = [
        *(start(), events(3), events(2), end_recording()),
        *(start(epoch=1), end_recording(epoch=1)),
        *(start(epoch=2), events(4), end_recording(epoch=2), end_stream()),
    ]
    report = run(sink, messages)
    expected = Account(taken=9, used=9, made=9, unit_in="events", unit_out="events", due=9)
    assert report.account == expected
    assert kinds(sink.written) == ["Events"] * 3


def test_accounts_of_unlike_reasons_add_up() -> None:
    one = Account(3, 2, 2, "events", "events", refused={"late": 1}, due=2, notes={"cut": 5})
    two = Account(4, 2, 2, "events", "events", refused={"late": 1, "odd": 1})
    both = Account(
        7, 4, 4, "events", "events", refused={"late": 2, "odd": 1}, due=None, notes={"cut": 5}
    )
    assert one + two == both


def test_what_still_waits_is_shown_as_refused_only_at_the_end() -> None:
    shown: list[dict[str, int]] = []

    class Told(Pulse):
        def deal(self) -> None:
            shown.append(self.refused)  # as asked for behind the message before

    class Waiting(ListSink):
        def account(self, state: Any) -> Account:
            return msgspec.structs.replace(super().account(state), refused={"odd": 1, "late": 2})

        def waiting(self, state: Any) -> dict[str, int]:
            return {"late": 2}

    pulse = Told()
    inlet = Arriving([start(), events(3), end_recording(), end_stream()])
    report = drive_transform(Waiting(), inlet, [], [], pulse=pulse)
    assert shown[-1] == {"odd": 1, "late": 0}
    assert report.account is not None
    assert pulse.refused == report.account.refused == {"odd": 1, "late": 2}


def test_what_a_stage_remarks_is_made_of_the_account_of_the_whole_run() -> None:
    class Counting(ListSink):
        def account(self, state: Any) -> Account:
            return msgspec.structs.replace(super().account(state), counts={"odd": 2})

        def remarks(self, account: Account) -> list[str]:
            return [f"{account.counts['odd']} odd of {account.taken}"]

    once = [start(), events(3), end_recording()]
    assert run(Counting(), [*once, *once, end_stream()]).remarks == ["4 odd of 6"]
    assert run(Counting(), [end_stream()]).remarks == run(ListSink(), once).remarks == []


def test_a_stream_without_a_recording_has_no_account() -> None:
    assert run(ListSink(), [end_stream()]).account is None


def test_a_transform_passes_on_when_its_input_was_born() -> None:
    arrived = play([start(), events(2), end_recording()])[1].arrived
    sender: Any = ListSender()

    class Pass(ListSink):
        def process(self, state: int, message: Message) -> Any:
            yield message
            return state

    report = drive_transform(Pass(), Arriving(arrived), [], [sender])
    assert [m.header.born_ns for m in sender.arrived] == [m.header.born_ns for m in arrived]
    assert [m.header.seq for m in sender.arrived] == [0, 1, 2, 3]
    assert sender.drained
    assert report.latency is None


def test_latency_of_a_paced_source_counts_from_when_the_last_event_was_due(clock: Time) -> None:
    ticking = Clock(0, clock.now_ns, 1.0)
    begin = control(Start(stream="cam", width=8, height=6, source="a test", clock=ticking))
    clock.now_ns += 7_000_000
    made = [predictions([5_000], last_event_us=4_000), predictions([6_000])]
    report = run(ListSink(), [begin, *made, end_stream()])
    assert report.latency is not None
    assert (report.latency.count, report.latency.since) == (1, "event")
    assert report.latency.max_ms == 3.0


def test_transit_of_a_paced_source_counts_from_when_the_window_was_closed(clock: Time) -> None:
    ticking = Clock(0, clock.now_ns, 1.0)
    begin = control(Start(stream="cam", width=8, height=6, source="a test", clock=ticking))
    message = predictions([5_000], last_event_us=4_000)
    header = msgspec.structs.replace(message.header, born_ns=clock.now_ns + 5_500_000)
    clock.now_ns += 7_000_000
    report = run(ListSink(), [begin, Message(header, message.array), end_stream()])
    assert report.transit is not None
    assert (report.transit.since, report.transit.max_ms) == ("release", 1.5)


def test_latency_of_a_source_that_was_paused_counts_by_its_new_clock(clock: Time) -> None:
    begin = control(
        Start(stream="cam", width=8, height=6, source="a test", clock=Clock(0, clock.now_ns, 1.0))
    )
    clock.now_ns += 60 * 10**9
    paused = control(Retime(stream="cam", clock=Clock(4_000, clock.now_ns, 1.0)))
    clock.now_ns += 2_000_000
    made = predictions([5_000], last_event_us=4_000)
    report = run(ListSink(), [begin, paused, made, end_stream()])
    assert report.latency is not None
    assert report.latency.max_ms == 2.0


def test_what_is_read_as_fast_as_possible_has_no_latency(clock: Time) -> None:
    """It would be the time that predictions stood in queues, the start of the run included."""
    _, sender = play([start(), predictions([5]), end_recording()], stop=clock)
    clock.now_ns += 2_000_000
    assert run(ListSink(), sender.arrived).latency is None


def test_latency_of_live_events_counts_from_when_they_came_in(clock: Time) -> None:
    """What they have waited in the source is part of it."""

    class Held(ListSource):
        def play(self, state: int) -> Iterator[Played[int]]:
            live = Start(stream="cam", width=8, height=6, source="a camera", live=True)
            yield Played([control(live)], state)
            yield Played([predictions([5])], state, born_ns=clock.now_ns - 3_000_000)
            yield Played([end_recording()], state)

    sender, paced_by = cast(Any, ListSender()), cast(Any, clock)
    drive_source(Held([]), [sender], paced_by)
    report = run(ListSink(), sender.arrived)
    assert report.latency is not None
    assert (report.latency.since, report.latency.max_ms) == ("arrival", 3.0)


def test_what_a_source_remarks_is_told_the_user(capfd: pytest.CaptureFixture[str]) -> None:
    class Talking(ListSource):
        def play(self, state: int) -> Iterator[Played[int]]:
            yield Played([], state, remark="unplugged; connecting again")

    drive_source(Talking([]), [], Playback())
    assert capfd.readouterr().err == "list: unplugged; connecting again\n"


class Sorting(ListSink):
    """Passes messages on; those of one event leave by a side output and are refused."""

    side_outputs = ("odd",)

    def process(self, state: int, message: Message) -> Any:
        yield message._replace(output="odd" if units(message) == 1 else "")
        return state + units(message)


def test_control_leaves_by_every_output_and_data_by_its_own() -> None:
    senders: Any = [ListSender("a"), ListSender("odd", "odd"), ListSender("b")]
    messages = [start(), events(3), events(1, t_us=9), events(2), end_recording(), end_stream()]
    report = drive_transform(Sorting(), Arriving(messages), [], senders)
    main, odd, other = (sender.arrived for sender in senders)
    assert [units(message) for message in main] == [0, 3, 2, 0, 0]
    assert kinds(odd) == ["Start", "Events", "EndRecording", "EndStream"]
    assert [units(message) for message in odd] == [0, 1, 0, 0]
    assert [m.header for m in other] == [m.header for m in main]
    assert [(c.name, c.units, c.output) for c in report.sent] == [
        ("a", 5, ""),
        ("odd", 1, "odd"),
        ("b", 5, ""),
    ]
    assert all(sender.drained for sender in senders)


def test_data_of_a_side_output_that_has_no_queue_goes_nowhere() -> None:
    sender: Any = ListSender()
    messages = [start(), events(1), events(2), end_recording(), end_stream()]
    drive_transform(Sorting(), Arriving(messages), [], [sender])
    assert [units(message) for message in sender.arrived] == [0, 2, 0, 0]


class Naming(Sink[NoOptions, tuple[str, int]]):
    """Writes down of which recording each message is."""

    Config = NoOptions

    def __init__(self) -> None:
        super().__init__("sink", NoOptions())
        self.written: list[tuple[str, int]] = []

    def start(self, header: Start) -> tuple[str, int]:
        return f"{header.stream} {header.epoch}", 0

    def write(self, state: tuple[str, int], message: Message) -> tuple[str, int]:
        self.written.append((state[0], units(message)))
        return state[0], state[1] + units(message)

    def account(self, state: tuple[str, int]) -> Account:
        return Account.one_to_one(state[1], "events", "events")


def of(stream: str, message: Message) -> Message:
    return message._replace(header=msgspec.structs.replace(message.header, stream=stream))


def test_each_stream_has_a_state_of_its_own() -> None:
    """Two sources whose recordings begin and end when they like; a checkpoint has both states."""
    first = [of("a", start()), of("b", start()), of("a", events(1)), of("b", events(2))]
    then = [of("a", end_recording()), of("a", start(epoch=1)), of("b", events(3))]
    last = [of("a", events(4)), of("a", end_recording(epoch=1)), of("b", end_recording())]
    sink = Naming()
    report = drive_transform(sink, Arriving([*first, *then, *last, end_stream()]), [], [])
    written = [("a 0", 1), ("b 0", 2), ("b 0", 3), ("a 1", 4)]
    assert sink.written == written
    assert report.account is not None
    assert report.account.taken == 10
    for cut in range(len(first), len([*first, *then, *last]) + 1):
        messages = [*first, *then, *last, end_stream()]
        kept: dict[int | None, Any] = {}
        before, after = Naming(), Naming()
        barrier = control(Barrier(stream="a", checkpoint=1))

        class Cut(Arriving):
            def cut(self, barrier: int, kept: Any) -> None:
                kept([], [])

        halves = [*messages[:cut], barrier]
        drive_transform(before, Cut(halves), [], [], keep=kept.__setitem__)
        saved = kept[1]
        report = drive_transform(after, Arriving(messages[cut:]), [], [], saved)
        assert before.written + after.written == written
        assert report.account is not None
        assert report.account.taken == 10


def shedding(message: Message, shed: Shed) -> Message:
    return Message(msgspec.structs.replace(message.header, shed=shed), message.array)


def test_a_loss_is_told_once_by_the_next_data_that_leave() -> None:
    sender: Any = ListSender()
    messages = [
        start(),
        shedding(events(2), Shed(events=5)),
        shedding(control(Barrier(stream="cam", checkpoint=1)), Shed(events=1)),
        shedding(events(1, t_us=9), Shed(windows=2)),
        events(2, t_us=20),
        shedding(end_recording(), Shed(merged=3)),
        end_stream(),
    ]
    drive_transform(Sorting(), Arriving(messages), [], [sender])
    assert [(type(m.header).__name__, m.header.shed) for m in sender.arrived] == [
        ("Start", None),
        ("Events", Shed(events=5)),
        ("Barrier", None),
        # The message between them left by a side output, and tells of nothing.
        ("Events", Shed(events=1, windows=2)),
        ("EndRecording", Shed(merged=3)),
        ("EndStream", None),
    ]


def test_a_sink_is_told_of_what_was_lost_before_its_data() -> None:
    sink = ListSink()
    barrier = shedding(control(Barrier(stream="cam", checkpoint=1)), Shed(windows=2))
    run(sink, [start(), barrier, shedding(predictions([9]), Shed(events=3)), end_stream()])
    (written,) = [m for m in sink.written if not m.is_control]
    assert written.header.shed == Shed(events=3, windows=2)
