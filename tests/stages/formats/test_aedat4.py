"""The AEDAT4 reader: packets, positions, streams, and events that cannot be."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import lz4.frame
import numpy as np
import pytest

from pipeline.errors import RecordingError
from pipeline.events import EventArray, concatenate_events, empty_events, events_from_columns
from recordings import some_events, write_recording
from stages.formats import open_recording
from stages.formats.aedat4_header import encode_header
from stages.formats.aedat4_writer import _event_packet
from stages.formats.reader import Reader

Content = tuple[int, EventArray | bytes]


def stream_xml(number: int, name: str, kind: str, source: str, size: tuple[int, int] | None) -> str:
    sides = "".join(
        f'<attr key="size{axis}" type="int">{side}</attr>'
        for axis, side in zip("XY", size or (), strict=False)
    )
    return (
        f'<node name="{number}" path="/outInfo/{number}/">'
        f'<attr key="originalOutputName" type="string">{name}</attr>'
        f'<attr key="typeIdentifier" type="string">{kind}</attr>'
        f'<node name="info"><attr key="source" type="string">{source}</attr>{sides}</node></node>'
    )


CAMERA = stream_xml(0, "events", "EVTS", "DVS_1", (20, 10))


def make(path: Path, streams: Sequence[str], contents: Sequence[Content]) -> Path:
    """Write a recording that was never closed, of any streams and packets."""
    xml = f'<dv version="2.0"><node name="outInfo">{"".join(streams)}</node></dv>'
    packets = [encode_header("lz4", -1, xml)]
    for stream, content in contents:
        packet = content if isinstance(content, bytes) else bytes(_event_packet(content))
        payload = lz4.frame.compress(packet)
        packets.append(struct.pack("<ii", stream, len(payload)) + payload)
    path.write_bytes(b"".join(packets))
    return path


def read(reader: Reader, position: int = 0) -> EventArray:
    return concatenate_events([packet.events for packet in reader.packets(position)])


def row(*times: int) -> EventArray:
    return events_from_columns(times, [1] * len(times), [2] * len(times), [1] * len(times))


def test_an_open_recording_describes_itself(tmp_path: Path) -> None:
    events = some_events(100)
    with open_recording(write_recording(tmp_path / "some.aedat4", events)) as reader:
        assert (reader.format, reader.source) == ("AEDAT4", "test")
        assert (reader.width, reader.height) == (128, 128)
        assert reader.time_range_us == (events["t"][0], events["t"][-1])
        assert reader.event_count == 100


def test_packets_are_views_that_cannot_be_written(tmp_path: Path) -> None:
    with open_recording(write_recording(tmp_path / "some.aedat4", some_events(100))) as reader:
        for packet in reader.packets():
            assert packet.events.base is not None
            with pytest.raises(ValueError, match="read-only"):
                packet.events["t"] = 0


def test_every_position_resumes(tmp_path: Path) -> None:
    with open_recording(write_recording(tmp_path / "some.aedat4", some_events())) as reader:
        packets = list(reader.packets())
        assert len(packets) > 20
        whole = concatenate_events([packet.events for packet in packets])
        done = 0
        for packet in packets:
            done += len(packet.events)
            np.testing.assert_array_equal(read(reader, packet.position), whole[done:])


def test_two_walks_do_not_disturb_each_other(tmp_path: Path) -> None:
    with open_recording(write_recording(tmp_path / "some.aedat4", some_events())) as reader:
        for one, other in zip(reader.packets(), reader.packets(), strict=True):
            np.testing.assert_array_equal(one.events, other.events)
            assert one.position == other.position


@pytest.mark.parametrize("position", [-1, 5, 10**9])
def test_a_position_outside_is_refused(position: int, tmp_path: Path) -> None:
    path = write_recording(tmp_path / "some.aedat4", some_events(10))
    text = f"{path}: has no position {position}, it has {path.stat().st_size} bytes; resume with "
    with open_recording(path) as reader, pytest.raises(RecordingError) as caught:
        reader.packets(position)
    assert str(caught.value) == text + "the recording that the position was taken from"


def test_streams_may_be_listed_in_any_order_and_be_empty(tmp_path: Path) -> None:
    streams = [
        stream_xml(3, "triggers", "TRIG", "DVS_1", None),
        stream_xml(1, "events", "EVTS", "DVS_1", (20, 10)),
        stream_xml(0, "frames", "FRME", "DVS_1", (64, 48)),
        stream_xml(2, "imu", "IMUS", "DVS_1", None),
    ]
    contents = [(2, b"not for us"), (1, row(1, 2)), (0, b"nor this"), (1, empty_events())]
    path = make(tmp_path / "streams.aedat4", streams, [*contents, (1, row(3))])
    with open_recording(path) as reader:
        assert (reader.width, reader.height) == (20, 10)
        assert [len(packet.events) for packet in reader.packets()] == [2, 0, 1]
        np.testing.assert_array_equal(read(reader), row(1, 2, 3))
        assert reader.refused == {}


def test_a_declared_stream_of_events_may_be_empty(tmp_path: Path) -> None:
    with open_recording(make(tmp_path / "none.aedat4", [CAMERA], [])) as reader:
        assert list(reader.packets()) == []
    with open_recording(write_recording(tmp_path / "none.aedat4", empty_events())) as reader:
        assert list(reader.packets()) == []
        assert (reader.time_range_us, reader.event_count) == (None, 0)


def test_one_of_several_cameras_is_chosen(tmp_path: Path) -> None:
    streams = [
        stream_xml(4, "right", "EVTS", "DVS_R", (6, 5)),
        stream_xml(0, "left", "EVTS", "DVS_L", (20, 10)),
    ]
    path = make(tmp_path / "stereo.aedat4", streams, [(4, row(1)), (0, row(2)), (4, row(3))])
    for stream, source, times in [
        (None, "DVS_L", [2]),
        ("left", "DVS_L", [2]),
        ("right", "DVS_R", [1, 3]),
        ("DVS_R", "DVS_R", [1, 3]),
    ]:
        with open_recording(path, stream=stream) as reader:
            assert reader.source == source
            assert read(reader)["t"].tolist() == times
    with pytest.raises(RecordingError) as caught:
        open_recording(path, stream="middle")
    assert str(caught.value) == (
        f"{path}: has no stream of events 'middle'; name the stream or the camera, it has: "
        "left of DVS_L, right of DVS_R"
    )


UNUSABLE = {
    "no events": (
        [stream_xml(0, "frames", "FRME", "CAM", (20, 10))],
        "has no stream of events; its streams: frames (FRME)",
    ),
    "no streams": ([], "has no stream of events; its streams: none"),
    "no size": (
        [stream_xml(0, "events", "EVTS", "CAM", None)],
        "its header does not say how large the sensor is (sizeX, sizeY); copy or record it again",
    ),
}


@pytest.mark.parametrize(("streams", "text"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_file_without_usable_events_is_refused(
    streams: list[str], text: str, tmp_path: Path
) -> None:
    path = make(tmp_path / "no.aedat4", streams, [])
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert str(caught.value) == f"{path}: {text}"


def test_events_that_cannot_be_are_refused_and_counted(tmp_path: Path) -> None:
    events = row(*range(8))
    events["x"] = [1, -1, 20, 19, 0, 0, 0, 32767]
    events["y"] = [1, 0, 0, 9, 10, -32768, 0, 0]
    events["p"] = [0, 1, 1, 1, 1, 2, -1, 2]
    path = make(tmp_path / "odd.aedat4", [CAMERA], [(0, events), (0, events[1:2]), (0, row(9))])
    with open_recording(path) as reader:
        packets = [packet.events for packet in reader.packets()]
        assert [packet["t"].tolist() for packet in packets] == [[0, 3], [], [9]]
        assert not any(packet.flags.writeable for packet in packets)
        assert reader.refused == {"outside the sensor": 6, "of unknown polarity": 1}
        read(reader)
        assert reader.refused["outside the sensor"] == 6, "counts must start again"


def test_time_going_back_is_counted_and_delivered(tmp_path: Path) -> None:
    contents = [(0, row(5, 4, 4, 9)), (0, row(8, 7)), (0, row(7))]
    with open_recording(make(tmp_path / "back.aedat4", [CAMERA], contents)) as reader:
        assert read(reader)["t"].tolist() == [5, 4, 4, 9, 8, 7, 7]
        assert reader.quality == {"time going back": 3, "not closed": 1}


def test_a_recording_that_was_never_closed_is_read(tmp_path: Path) -> None:
    path = make(tmp_path / "open.aedat4", [CAMERA], [(0, row(1, 2)), (0, row(3))])
    with open_recording(path) as reader:
        assert (reader.time_range_us, reader.event_count) == (None, None)
        np.testing.assert_array_equal(read(reader), row(1, 2, 3))
        assert reader.quality == {"not closed": 1}


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_a_data_table_is_not_taken_for_a_packet(compression: str, tmp_path: Path) -> None:
    """The recorder may die when the table is written, but not yet where it is."""
    from stages.formats.aedat4_writer import Aedat4Writer

    path = tmp_path / "some.aedat4"
    with Aedat4Writer(path, 128, 128, compression=compression) as writer:
        writer.write(some_events(500))
    closed = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(closed.index(b"IOHE") + 32)
        assert 0 < int.from_bytes(file.read(8), "little") < len(closed)
        file.seek(-8, 1)
        file.write(b"\xff" * 8)
    with open_recording(path) as reader:
        np.testing.assert_array_equal(read(reader), some_events(500))
        assert reader.quality == {"not closed": 1}


def test_one_huge_packet_is_read(tmp_path: Path) -> None:
    events = some_events(700_000)
    camera = stream_xml(0, "events", "EVTS", "DVS_1", (128, 128))
    with open_recording(make(tmp_path / "one.aedat4", [camera], [(0, events)])) as reader:
        (packet,) = reader.packets()
        np.testing.assert_array_equal(packet.events, events)


@pytest.mark.parametrize("broken", ["read", "seek"])
def test_a_failing_disk_is_reported(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recording(tmp_path / "some.aedat4", some_events(100))

    class Failing:
        def __getattr__(self, name: str) -> Callable[..., bytes]:
            def fail(*arguments: object) -> bytes:
                raise OSError(5, "Input/output error")

            return fail if name == broken else lambda *arguments: b""

    with open_recording(path) as reader:
        with monkeypatch.context() as patch:
            patch.setattr(reader, "_file", Failing())
            with pytest.raises(RecordingError) as caught:
                list(reader.packets())
        assert str(caught.value) == (
            f"{path}: cannot be read: Input/output error; check the disk and the permissions"
        )
