"""The AEDAT4 reader: packets, positions, streams, and events that cannot be."""

import io
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RecordingError
from pipeline.events import EventArray, concatenate_events, empty_events, events_from_columns
from recordings import some_events, write_recording
from stages.formats import open_recording
from stages.formats.aedat import aedat4
from stages.formats.aedat.aedat4_header import encode_header, read_header
from stages.formats.aedat.aedat4_table import ENTRY, encode_table
from stages.formats.aedat.aedat4_writer import Aedat4Writer
from stages.formats.aedat.compression import NAMES, compressor
from stages.formats.policies import Policies
from stages.formats.reader import BEGINNING, Position, Reader
from stages.recordings.quality import quality_of

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


def event_packet(events: EventArray) -> bytes:
    """A size-prefixed FlatBuffer of events, as the format's description has it."""
    body = struct.pack("<I4s4HiII", 16, b"EVTS", 6, 8, 4, 0, 8, 4, len(events))
    body += b"".join(struct.pack("<qhhb3x", *event) for event in events.tolist())
    return struct.pack("<I", len(body)) + body


def _xml(streams: Sequence[str]) -> str:
    return f'<dv version="2.0"><node name="outInfo">{"".join(streams)}</node></dv>'


def make(path: Path, streams: Sequence[str], contents: Sequence[Content]) -> Path:
    """Write a recording that was never closed, of any streams and packets."""
    packets = [encode_header("lz4", -1, _xml(streams))]
    for stream, content in contents:
        packet = content if isinstance(content, bytes) else event_packet(content)
        payload = lz4.frame.compress(packet, store_size=False)
        packets.append(struct.pack("<ii", stream, len(payload)) + payload)
    path.write_bytes(b"".join(packets))
    return path


def read(reader: Reader, position: Position = BEGINNING) -> EventArray:
    return concatenate_events([packet.events for packet in reader.packets(position)])


def walk(path: Path) -> list[int]:
    """Return where the packets of a closed recording begin."""
    with path.open("rb") as file:
        header = read_header(file)
    whole, at, places = path.read_bytes(), header.length, []
    while at < header.data_table:
        places.append(at)
        at += 8 + struct.unpack_from("<ii", whole, at)[1]
    return places


def row(*times: int) -> EventArray:
    return events_from_columns(times, [1] * len(times), [2] * len(times), [1] * len(times))


@pytest.fixture
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a packet of the reader hold one or two packets of the file, not dozens."""
    monkeypatch.setattr(aedat4, "_RUN_BYTES", 1500)
    monkeypatch.setattr(aedat4, "_RUN_EVENTS", 200)


def test_an_open_recording_describes_itself(tmp_path: Path) -> None:
    events = some_events(100)
    with open_recording(write_recording(tmp_path / "some.aedat4", events)) as reader:
        assert (reader.format, reader.source) == ("AEDAT4", "test")
        assert (reader.width, reader.height) == (128, 128)
        assert reader.event_count == 100


@pytest.mark.usefixtures("short_runs")
def test_packets_cannot_be_written_and_stay_as_they_are(tmp_path: Path) -> None:
    events = some_events()
    with open_recording(write_recording(tmp_path / "some.aedat4", events)) as reader:
        packets = [packet.events for packet in reader.packets()]
        for packet in packets:
            with pytest.raises(ValueError, match="read-only"):
                packet["t"] = 0
        np.testing.assert_array_equal(concatenate_events(packets), events)


def test_a_packet_holds_many_packets_of_the_file(tmp_path: Path) -> None:
    events = some_events()
    path = write_recording(tmp_path / "some.aedat4", events)
    assert len(walk(path)) == 50
    with open_recording(path) as reader:
        (packet,) = reader.packets()
        np.testing.assert_array_equal(packet.events, events)


@pytest.mark.usefixtures("short_runs")
def test_every_position_resumes(tmp_path: Path) -> None:
    with open_recording(write_recording(tmp_path / "some.aedat4", some_events())) as reader:
        packets = list(reader.packets())
        assert len(packets) > 20
        whole = concatenate_events([packet.events for packet in packets])
        done = 0
        for packet in packets:
            done += len(packet.events)
            np.testing.assert_array_equal(read(reader, packet.position), whole[done:])


@pytest.mark.usefixtures("short_runs")
def test_two_walks_do_not_disturb_each_other(tmp_path: Path) -> None:
    with open_recording(write_recording(tmp_path / "some.aedat4", some_events())) as reader:
        for one, other in zip(reader.packets(), reader.packets(), strict=True):
            np.testing.assert_array_equal(one.events, other.events)
            assert one.position == other.position


@pytest.mark.parametrize("position", [(0, -1), (0, 5), (0, 10**9), (0, 500, 1)])
def test_a_position_outside_is_refused(position: Position, tmp_path: Path) -> None:
    path = write_recording(tmp_path / "some.aedat4", some_events(10))
    with open_recording(path) as reader, pytest.raises(RecordingError) as caught:
        list(reader.packets(position))
    assert str(caught.value) == (
        f"{path}: has no position {list(position[1:])}, it has {path.stat().st_size} bytes; resume"
        " with the recording that the position was taken from"
    )


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
        np.testing.assert_array_equal(read(reader), row(1, 2, 3))
        assert reader.refused == {}
        assert reader.notes == {"not closed": 1, "streams left unread": 3}


def test_what_streams_of_no_events_hold_is_told_as_the_data_table_has_it(tmp_path: Path) -> None:
    streams = [
        CAMERA,
        stream_xml(1, "frames", "FRME", "DVS_1", (20, 10)),
        stream_xml(2, "imu", "IMUS", "DVS_1", None),
        stream_xml(3, "triggers", "TRIG", "DVS_1", None),
        stream_xml(4, "boxes", "BBOX", "DVS_1", None),
    ]
    packets = [(0, row(1)), (1, b"a frame"), (2, b"samples"), (1, b"a frame"), (4, b"boxes")]
    path = make(tmp_path / "davis.aedat4", streams, packets)
    table = np.zeros(len(packets), ENTRY)
    table["stream"], table["count"] = zip((0, 1), (1, 1), (2, 40), (1, 1), (4, 7), strict=True)
    content = path.read_bytes()
    start = read_header(io.BytesIO(content)).length
    header = encode_header("lz4", len(content), _xml(streams))
    path.write_bytes(
        header + content[start:] + lz4.frame.compress(encode_table(table), store_size=False)
    )
    beside = {"frames": 2, "IMU samples": 40, "streams left unread": 1}
    with open_recording(path) as reader:
        np.testing.assert_array_equal(read(reader), row(1))
        assert reader.notes == beside
        (packet,) = reader.packets()
        assert read(reader, packet.position).size == 0
        assert reader.notes == {}, "told once"
        assert quality_of(reader, 0, whole=False).notes == beside, "of a part too"
        assert quality_of(reader, 1).verdict == "good"


def test_a_declared_stream_of_events_may_be_empty(tmp_path: Path) -> None:
    with open_recording(make(tmp_path / "none.aedat4", [CAMERA], [])) as reader:
        assert list(reader.packets()) == []
    with open_recording(write_recording(tmp_path / "none.aedat4", empty_events())) as reader:
        assert list(reader.packets()) == []
        assert reader.event_count == 0


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
            assert reader.other_streams == ("right" if source == "DVS_L" else "left",)
            assert reader.notes == {"not closed": 1, "other streams": 1}
    with pytest.raises(RecordingError) as caught:
        open_recording(path, stream="middle")
    assert str(caught.value) == (
        f"{path}: has no stream of events 'middle'; name the stream or the camera, it has: "
        "left of DVS_L, right of DVS_R"
    )


def test_streams_of_one_name_are_told_apart_by_their_cameras(tmp_path: Path) -> None:
    streams = [stream_xml(k, "events", "EVTS", f"DVS_{k}", (20, 10)) for k in range(2)]
    with open_recording(make(tmp_path / "stereo.aedat4", streams, [])) as reader:
        assert reader.other_streams == ("DVS_1",)
    with open_recording(reader.path, stream="DVS_1") as reader:
        assert reader.other_streams == ("DVS_0",)


def test_what_else_is_in_the_file_is_told_once_however_it_is_resumed(tmp_path: Path) -> None:
    streams = [stream_xml(k, name, "EVTS", name, (20, 10)) for k, name in enumerate("lr")]
    path = make(tmp_path / "stereo.aedat4", streams, [(0, row(1)), (0, row(2))])
    with open_recording(path) as reader:
        first = next(reader.packets())
        list(reader.packets(first.position))
        assert "other streams" not in reader.notes


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
    path = make(tmp_path / "odd.aedat4", [CAMERA], [(0, events), (0, row(9)), (0, row(9))])
    with open_recording(path) as reader:
        (packet,) = reader.packets()
        assert packet.events["t"].tolist() == [0, 3, 9, 9]
        assert not packet.events.flags.writeable
        assert reader.refused == {"outside the sensor": 3, "of unknown polarity": 3}
        read(reader)
        assert reader.refused["outside the sensor"] == 3, "counts must start again"


def test_time_going_back_is_clamped_kept_or_dropped_and_counted(tmp_path: Path) -> None:
    contents = [(0, row(5, 4, 4, 9)), (0, row(8, 7)), (0, row(7))]
    path = make(tmp_path / "back.aedat4", [CAMERA], contents)
    with open_recording(path) as reader:
        assert read(reader)["t"].tolist() == [5, 5, 5, 9, 9, 9, 9]
        assert reader.notes == {"going back in time": 5, "not closed": 1}
    with open_recording(path, Policies(on_time_back="keep")) as reader:
        assert read(reader)["t"].tolist() == [5, 4, 4, 9, 8, 7, 7]
        assert reader.notes == {"going back in time": 5, "not closed": 1}
    with open_recording(path, Policies(on_time_back="drop")) as reader:
        assert read(reader)["t"].tolist() == [5, 9]
        assert reader.refused == {"going back in time": 5}
        assert reader.notes == {"not closed": 1}


def test_events_within_a_small_part_of_a_large_sensor_keep_their_places(tmp_path: Path) -> None:
    """Software that crops records few pixels, and declares all of them."""
    events = some_events(300, size=4)
    events["x"] += 310
    events["y"] += 200
    camera = stream_xml(0, "events", "EVTS", "DVS_1", (640, 480))
    with open_recording(make(tmp_path / "crop.aedat4", [camera], [(0, events)])) as reader:
        assert (reader.width, reader.height) == (640, 480)
        np.testing.assert_array_equal(read(reader), events)
        assert reader.refused == {}


@pytest.mark.parametrize("compression", NAMES)
def test_padding_in_the_file_is_not_passed_on(compression: str, tmp_path: Path) -> None:
    events = some_events(200)
    packet = np.frombuffer(event_packet(events), np.uint8).copy()
    packet[-3:] = packet[45:48] = 255
    path = tmp_path / "dirty.aedat4"
    xml = f'<dv version="2.0"><node name="outInfo">{CAMERA.replace("20", "128")}</node></dv>'
    xml = xml.replace(">10<", ">128<")
    payload = compressor(compression)(packet.tobytes())
    start = encode_header(compression, -1, xml) + struct.pack("<ii", 0, len(payload))
    path.write_bytes(start + payload)
    with open_recording(path) as reader:
        assert read(reader).tobytes() == events.tobytes()


def test_a_recording_that_was_never_closed_is_read(tmp_path: Path) -> None:
    path = make(tmp_path / "open.aedat4", [CAMERA], [(0, row(1, 2)), (0, row(3))])
    with open_recording(path) as reader:
        assert reader.event_count is None
        np.testing.assert_array_equal(read(reader), row(1, 2, 3))
        assert reader.notes == {"not closed": 1}


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_a_data_table_is_not_taken_for_a_packet(compression: str, tmp_path: Path) -> None:
    """The recorder may die when the table is written, but not yet where it is."""
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
        assert reader.notes == {"not closed": 1}


def test_one_huge_packet_is_read(tmp_path: Path) -> None:
    events = some_events(700_000)
    camera = stream_xml(0, "events", "EVTS", "DVS_1", (128, 128))
    with open_recording(make(tmp_path / "one.aedat4", [camera], [(0, events)])) as reader:
        (packet,) = reader.packets()
        np.testing.assert_array_equal(packet.events, events)


@pytest.mark.parametrize("broken", ["pread", "preadv"])
def test_a_failing_disk_is_reported(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recording(tmp_path / "some.aedat4", some_events(100))

    def fail(*arguments: object) -> bytes:
        raise OSError(5, "Input/output error")

    with open_recording(path) as reader:
        with monkeypatch.context() as patch:
            # What the fast way leaves is read by the slow one.
            patch.setattr(os, "preadv", fail if broken == "preadv" else lambda *arguments: 0)
            patch.setattr(os, broken, fail)
            with pytest.raises(RecordingError) as caught:
                list(reader.packets())
        assert str(caught.value) == (
            f"{path}: cannot be read: Input/output error; check the disk and the permissions"
        )


@pytest.mark.usefixtures("short_runs")
@given(
    steps=st.lists(st.integers(0, 4_000), min_size=1, max_size=80),
    t_us=st.integers(-10, 120_000),
)
def test_seeking_is_scanning(
    steps: list[int], t_us: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "seek.aedat4"
    with Aedat4Writer(path, 20, 10) as writer:
        writer.write(row(*np.cumsum(steps).tolist()))
    with open_recording(path) as reader:
        position = reader._place_at(t_us)
        assert position is not None
        rest = read(reader, position)
        everything = read(reader)
        np.testing.assert_array_equal(rest, everything[len(everything) - len(rest) :])
        before = everything["t"][: len(everything) - len(rest)]
        assert not len(before) or before[-1] < t_us
        assert position == BEGINNING or position[0] == before[-1]
        # As late as is quick: within the packet where it is.
        later = rest["t"][rest["t"] < t_us]
        assert not len(later) or later[-1] - later[0] < 10_000


def unordered(path: Path) -> None:
    """Write packets whose times overlap, and a table that says so."""
    with Aedat4Writer(path, 20, 10) as writer:
        for times in ((1, 2, 9), (4, 5), (6, 7)):
            writer._last_us = 0
            writer.write(row(*times))


def outside(path: Path) -> None:
    """Write a packet whose last event is outside the sensor, so that its time does not count."""
    with Aedat4Writer(path, 20, 10) as writer:
        events = row(1, 5_000)
        events["x"][1] = 25
        writer.width = 30
        writer.write(events)
        writer.write(row(50_000))


def closed_with_a_false_table(path: Path) -> None:
    """Write a table that speaks of packets where there are none."""
    with Aedat4Writer(path, 20, 10) as writer:
        writer.write(row(1, 5_000, 50_000))
        writer._entries = [(place + 3, *rest) for place, *rest in writer._entries]


def never_closed(path: Path) -> None:
    make(path, [CAMERA], [(0, row(1, 2)), (0, row(30))])


@pytest.mark.usefixtures("short_runs")
@pytest.mark.parametrize("make_one", [unordered, outside, closed_with_a_false_table, never_closed])
def test_where_the_table_does_not_tell_a_seek_is_a_scan(
    make_one: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "some.aedat4"
    make_one(path)
    with open_recording(path) as reader:
        everything = read(reader)
        for t_us in (0, 3, 7, 40_000):
            assert t_us < 10 or reader._place_at(t_us) is None
            rest = read(reader, reader.position_at(t_us))
            np.testing.assert_array_equal(rest, everything[len(everything) - len(rest) :])
            assert np.all(everything["t"][: len(everything) - len(rest)] < t_us)


def test_where_a_gap_must_not_be_a_seek_is_a_scan(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "gap.aedat4", row(1, 2, 5_000_000, 9_000_000))
    with open_recording(path, Policies(on_gap="raise")) as reader:
        assert reader._place_at(9_000_000) is None
        with pytest.raises(RecordingError, match=r"event 3: its time 5000000 µs is 5\.000 s"):
            reader.position_at(9_000_000)
    with open_recording(path) as reader:
        assert read(reader, reader.position_at(9_000_000))["t"].tolist() == [9_000_000]


@pytest.mark.parametrize("count", [0, 1, 5_000])
def test_the_data_table_tells_how_long_it_is(count: int, tmp_path: Path) -> None:
    events = some_events(count)
    path = write_recording(tmp_path / "some.aedat4", events)
    with open_recording(path) as reader:
        assert reader.length_us() == (np.ptp(events["t"]) if count else 0)
    os.truncate(path, path.stat().st_size - 9)
    with open_recording(path) as reader:
        assert reader.length_us() is None
