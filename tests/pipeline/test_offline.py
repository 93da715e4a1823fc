"""Stages in a row without queues: the same messages as a run has, and resources given back."""

from collections.abc import Iterator
from typing import Any

import pytest
from doubles import ListSender, ListSink, ListSource, end_recording, events, kinds, start
from worker_stages import Noise, NoiseConfig, Relay, RelayConfig

from pipeline.errors import DeviceError
from pipeline.messages import Message
from pipeline.offline import Chain, play, run_chain
from pipeline.run.loop import drive_source
from pipeline.run.playback import Playback
from pipeline.stage import Played


class Opened(ListSink):
    """Keeps a diary of what is opened and closed."""

    def __init__(self, name: str, diary: list[str], fails: bool = False) -> None:
        super().__init__(name)
        self.diary, self.fails = diary, fails

    def open(self) -> None:
        if self.fails:
            raise DeviceError(f"{self.name} is not there")
        self.diary.append(f"open {self.name}")

    def close(self) -> None:
        self.diary.append(f"close {self.name}")


def test_a_source_is_played_with_the_end_of_the_stream() -> None:
    messages = list(play(ListSource([start(), events(2), end_recording()])))
    assert kinds(messages) == ["Start", "Events", "EndRecording", "EndStream"]
    assert messages[-1].header.stream == "list"


def test_playing_gives_what_the_runner_sends() -> None:
    config = NoiseConfig(events=950, batch=100)
    sender: Any = ListSender()
    drive_source(Noise("camera", config), [sender], Playback())
    offline = list(play(Noise("camera", config)))
    assert kinds(offline) == kinds(sender.arrived)
    assert b"".join(m.array.tobytes() for m in offline) == b"".join(
        m.array.tobytes() for m in sender.arrived
    )


def test_stages_in_a_row_each_see_what_the_one_before_puts_out() -> None:
    source = Noise("camera", NoiseConfig(events=300))
    relays = [Relay(f"relay{k}", RelayConfig(), [source.port()]) for k in range(2)]
    found = list(run_chain(play(source), relays))
    assert kinds(found) == ["Start", *["Events"] * 3, "EndRecording", "EndStream"]
    assert sum(len(message.array) for message in found) == 300


def test_a_sink_at_the_end_keeps_the_data() -> None:
    sink = ListSink()
    rest = list(run_chain(play(ListSource([start(), events(2), end_recording()])), [sink]))
    assert kinds(rest) == ["Start", "EndRecording", "EndStream"]
    assert kinds(sink.written) == ["Events"]


def test_stages_are_closed_in_turn() -> None:
    diary: list[str] = []
    list(run_chain([], [Opened("a", diary), Opened("b", diary)]))
    assert diary == ["open a", "open b", "close b", "close a"]


def test_stages_are_closed_when_nobody_listens_any_more() -> None:
    diary: list[str] = []
    flow = run_chain([start(), end_recording()], [Opened("a", diary)])
    assert isinstance(flow, Iterator)
    next(flow)
    assert diary == ["open a"]
    flow.close()  # type: ignore[attr-defined]
    assert diary == ["open a", "close a"]


def test_only_what_was_opened_is_closed() -> None:
    diary: list[str] = []
    with pytest.raises(DeviceError, match="b is not there"):
        list(run_chain([], [Opened("a", diary), Opened("b", diary, fails=True)]))
    assert diary == ["open a", "close a"]


def test_a_source_is_closed_after_a_failure() -> None:
    diary: list[str] = []

    class Camera(ListSource):
        def play(self, state: int) -> Iterator[Played[int]]:
            yield Played([start()], state)
            raise DeviceError("unplugged")

        def close(self) -> None:
            diary.append("closed")

    found: list[Message] = []
    with pytest.raises(DeviceError, match="unplugged"):
        found.extend(play(Camera([])))
    assert diary == ["closed"]


def test_a_chain_takes_recording_after_recording_and_is_opened_once() -> None:
    diary: list[str] = []
    kept = Opened("kept", diary)
    with Chain([kept]) as chain:
        assert chain.accounts() == {}
        for count in (3, 5):
            list(chain.send([start(), events(count), end_recording()]))
            assert chain.accounts()["kept"].taken == count  # of the latest alone
        assert diary == ["open kept"]
    assert diary == ["open kept", "close kept"]
