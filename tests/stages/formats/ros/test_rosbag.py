"""Bags of ROS 1 and 2: all messages of events, all storages; places, damage, missing packages."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from bags import KINDS, Types, write_bag
from hypothesis import given, settings
from hypothesis import strategies as st
from resuming import assert_resuming_continues, assert_seeking_is_scanning, look, read
from streams import event_arrays

from pipeline.errors import RecordingError
from pipeline.events import EventArray, concatenate_events
from recordings import some_events
from stages.formats import Policies, create_recording, open_recording
from stages.formats.ros.ros_messages import read_array, read_packet

EVENTS = some_events(600, span_us=400_000)
EVENTS["t"] -= EVENTS["t"][0]
TYPES = {False: Types(ros2=False), True: Types(ros2=True)}
STAMP_NS = 10**18


def types(kind: str) -> Types:
    return TYPES[kind in ("sqlite3", "mcap")]


def evt3(path: Path, events: EventArray = EVENTS) -> bytes:
    """The words of a recording in EVT3, without its header."""
    with create_recording(path, 128, 128) as writer:
        writer.write(events)
    return path.read_bytes().rpartition(b"% end\n")[2]


def pieces(data: bytes, count: int) -> list[bytes]:
    edges = [len(data) * k // count // 2 * 2 for k in range(count + 1)]
    return [data[begin:end] for begin, end in pairwise(edges)]


def packets(tmp_path: Path, kind: str, stamps: int = 4) -> Path:
    """A bag of 12 packets, of which some have the same stamp."""
    words = pieces(evt3(tmp_path / "a.raw"), 12)
    messages = [
        ("/camera/events", STAMP_NS + k % 12 // (12 // stamps), types(kind).packet(part, seq=k))
        for k, part in enumerate(words)
    ]
    return write_bag(tmp_path / "bag", kind, types(kind), messages)


@pytest.mark.parametrize("kind", KINDS)
def test_packets_of_evt3_are_read_from_every_storage(kind: str, tmp_path: Path) -> None:
    path = packets(tmp_path, kind)
    with open_recording(path) as reader:
        assert (reader.format, reader.declared_size) == ("ROS bag", (480, 640))
    found, counts = look(path)
    np.testing.assert_array_equal(found, EVENTS)
    assert {key for key in counts if key != "other words"} == set()


@pytest.mark.parametrize("kind", ["sqlite3", "mcap"])
def test_a_file_of_a_bag_of_ros_2_is_read_by_itself(kind: str, tmp_path: Path) -> None:
    folder = packets(tmp_path, kind)
    (storage,) = (one for one in folder.iterdir() if one.suffix in (".db3", ".mcap"))
    renamed = storage.rename(tmp_path / "renamed.bin")
    np.testing.assert_array_equal(read(renamed), EVENTS)


@pytest.mark.parametrize("kind", ["1", "1 lz4", "sqlite3", "mcap"])
def test_places_never_matter(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packets(tmp_path, kind)
    assert_resuming_continues(path, monkeypatch, [{"slice_words": size} for size in (1 << 16, 30)])
    assert_seeking_is_scanning(path, [0, 200_000, 10**9])


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_events_are_read(kind: str, tmp_path: Path) -> None:
    parts = np.array_split(EVENTS, [1, 1, 100, 333])
    messages = [
        ("/dvs/events", STAMP_NS + k, types(kind).array(part)) for k, part in enumerate(parts)
    ]
    path = write_bag(tmp_path / "bag", kind, types(kind), messages)
    found, counts = look(path)
    np.testing.assert_array_equal(found, EVENTS)
    assert counts == {}
    with open_recording(path) as reader:
        assert reader.declared_size == (128, 128)


@settings(max_examples=40)
@given(events=event_arrays(), frame=st.text(max_size=9), ros2=st.booleans())
def test_arrays_are_read_as_rosbags_wrote_them(events: EventArray, frame: str, ros2: bool) -> None:
    # A frame id of any length moves everything behind it.
    message = TYPES[ros2].array(events, frame.replace("\0", ""))
    found = read_array(TYPES[ros2].serialise(message), ros2)
    assert (found.height, found.width) == (128, 128)
    np.testing.assert_array_equal(found.events, events)


@settings(max_examples=40)
@given(
    words=st.binary(max_size=20),
    frame=st.text(max_size=9),
    seq=st.integers(0, 2**64 - 1),
    base=st.integers(0, 2**64 - 1),
    ros2=st.booleans(),
)
def test_packets_are_read_as_rosbags_wrote_them(
    words: bytes, frame: str, seq: int, base: int, ros2: bool
) -> None:
    frame = frame.replace("\0", "")
    message = TYPES[ros2].packet(
        words, seq, "mono", frame, time_base=base, is_bigendian=True, width=7
    )
    found = read_packet(TYPES[ros2].serialise(message), ros2)
    assert (found.height, found.width, found.number) == (480, 7, seq)
    assert (found.time_base_ns, found.encoding, found.big_endian) == (base, "mono", True)
    assert found.words == words


@pytest.mark.parametrize("kind", ["1", "mcap"])
def test_words_of_mono_are_ns_behind_the_base(kind: str, tmp_path: Path) -> None:
    base_ns = 5_000_000_500
    words = [(0, 3, 4, 1), (1_000, 640, 4, 0), (2_000, 5, 479, 1), (2_500, 639, 479, 0)]
    data = b"".join(
        (dt | x << 32 | y << 48 | p << 63).to_bytes(8, "little") for dt, x, y, p in words
    )
    message = types(kind).packet(data, 0, "mono", time_base=base_ns)
    path = write_bag(tmp_path / "bag", kind, types(kind), [("/events", STAMP_NS, message)])
    found, counts = look(path)
    # 5 000 000.5 and 5 000 002.5 µs are rounded half to even.
    assert found.tolist() == [
        (5_000_000, 3, 4, 1),
        (5_000_002, 5, 479, 1),
        (5_000_003, 639, 479, 0),
    ]
    assert counts == {"outside the sensor": 1}


def test_big_endian_words_are_read(tmp_path: Path) -> None:
    words = np.frombuffer(evt3(tmp_path / "a.raw"), "<u2").astype(">u2").tobytes()
    message = TYPES[True].packet(words, 0, is_bigendian=True)
    path = write_bag(tmp_path / "bag", "mcap", TYPES[True], [("/events", STAMP_NS, message)])
    np.testing.assert_array_equal(read(path), EVENTS)


def test_lost_messages_are_counted(tmp_path: Path) -> None:
    words = evt3(tmp_path / "a.raw")
    numbers = [4, 5, 8, 9, 12]
    messages = [
        ("/events", STAMP_NS + seq, TYPES[False].packet(words if seq == 4 else b"", seq))
        for seq in numbers
    ]
    path = write_bag(tmp_path / "a.bag", "1", TYPES[False], messages)
    _, counts = look(path)
    assert counts["lost messages"] == 4


def test_the_topic_is_the_stream(tmp_path: Path) -> None:
    kind = TYPES[False]
    messages = [
        ("/left", STAMP_NS, kind.array(EVENTS[:9])),
        ("/right", STAMP_NS, kind.array(EVENTS[9:])),
        ("/frames", STAMP_NS, kind.header(0)),
    ]
    path = write_bag(tmp_path / "a.bag", "1", kind, messages)
    np.testing.assert_array_equal(read(path), EVENTS[:9])
    np.testing.assert_array_equal(read(path, stream="/right"), EVENTS[9:])
    with open_recording(path) as reader:
        assert reader.other_streams == ("/right",)
    with pytest.raises(RecordingError, match="no topic of events '/up'; it has: /left, /right"):
        open_recording(path, stream="/up")
    path = write_bag(tmp_path / "b.bag", "1", kind, messages[2:])
    with pytest.raises(RecordingError, match=r"its topics: /frames \(std_msgs/msg/Header\)"):
        open_recording(path)


def test_an_encoding_that_is_not_known_is_refused_or_counted(tmp_path: Path) -> None:
    kind = TYPES[True]
    strange = ("/events", STAMP_NS, kind.packet(b"??", 0, "libcaer"))
    path = write_bag(tmp_path / "a", "sqlite3", kind, [strange])
    with pytest.raises(RecordingError, match="encoded as 'libcaer', which is not known;"):
        open_recording(path)
    first = ("/events", STAMP_NS - 1, kind.packet(b"", 0, "mono"))
    _, counts = look(write_bag(tmp_path / "b", "sqlite3", kind, [first, strange]))
    assert counts == {"unknown words": 1}


@pytest.mark.parametrize("kind", ["1", "1 lz4", "1 bz2", "mcap"])
def test_damaged_bags_give_events_or_one_clear_error(kind: str, tmp_path: Path) -> None:
    path = packets(tmp_path, kind)
    if kind == "mcap":
        (path,) = path.glob("*.mcap")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    errors = []
    for number in range(80):
        data = bytearray(whole[: rng.integers(20, len(whole))] if number % 4 == 0 else whole)
        for at in rng.integers(8, len(data), 4):
            data[at] = rng.integers(0, 256)
        damaged = tmp_path / "damaged"
        damaged.write_bytes(data)
        try:
            look(damaged)
        except RecordingError as error:
            errors.append(str(error))
    assert errors
    assert not any("\n" in error for error in errors)


def test_a_message_that_is_cut_is_raised_or_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.bag"
    write_bag(path, "1", TYPES[False], [("/e", STAMP_NS, TYPES[False].array(EVENTS[:3]))] * 2)
    data = bytearray(path.read_bytes())
    # The second message claims more events than it holds.
    count = (128).to_bytes(4, "little") * 2 + (3).to_bytes(4, "little")
    data[data.rindex(count) + 8] = 200
    path.write_bytes(data)
    found, counts = look(path)
    np.testing.assert_array_equal(found, EVENTS[:3])
    assert counts["damaged places"] == 1
    with pytest.raises(RecordingError, match=r"has a damaged message .* the 3 events before it"):
        read(path, Policies())


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [("1", "rosbag reindex"), ("mcap", "mcap recover"), ("sqlite3", "sqlite3 .recover")],
)
@pytest.mark.parametrize("share", [0.3, 0.98])
def test_a_bag_that_is_cut_is_told_with_its_remedy(
    kind: str, remedy: str, share: float, tmp_path: Path
) -> None:
    path = packets(tmp_path, kind)
    if path.is_dir():
        (path,) = (one for one in path.iterdir() if one.suffix != ".yaml")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    folder = path.parent if (path.parent / "metadata.yaml").exists() else path
    for opened in (path, folder):
        with pytest.raises(RecordingError, match=rf"is truncated.*; .*repair it with: {remedy}$"):
            open_recording(opened)


@pytest.mark.parametrize("text", ["", "a: 1", "rosbag2_bagfile_information:", "- x", "{"])
def test_a_file_that_is_not_that_of_a_bag_is_no_riddle(text: str, tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text(text)
    with pytest.raises(RecordingError) as caught:
        open_recording(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: its metadata.yaml is not that of a bag; make it again with: ros2 bag reindex"
    )


def test_a_folder_that_is_no_bag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="is a folder; name a recording in it"):
        open_recording(tmp_path)
    (tmp_path / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 99}")
    with pytest.raises(RecordingError, match="its ROS bag header is damaged: Rosbag2 version 99"):
        open_recording(tmp_path)


def test_without_the_package_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packets(tmp_path, "1")
    monkeypatch.setitem(sys.modules, "rosbags", None)
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert str(caught.value) == (
        f"{path}: reading bags of ROS needs the package rosbags; install it with: pip install"
        " rosbags"
    )


def test_there_is_no_place_but_its_own(tmp_path: Path) -> None:
    with open_recording(packets(tmp_path, "1")) as reader:
        for position in [(0, 1), (0, -1, 0, 0, 0, *[0] * 6)]:
            with pytest.raises(RecordingError, match="has no position"):
                list(reader.packets(position))


@pytest.mark.shared
def test_the_real_recording_is_read(shared: Path) -> None:
    path = shared / "recordings/rosbag/event_camera_py_test_events_1.bag"
    with open_recording(path) as reader:
        assert reader.size == (480, 640)
        found = list(reader.packets())
        # 517 packets, none of which was lost.
        assert len(found) == 517
        assert reader.refused == {}
        assert reader.notes["trigger words"] == 4157
        assert "lost messages" not in reader.notes
        events = concatenate_events([packet.events for packet in found])
        assert len(events) == 343_474
        assert events["t"][-1] - events["t"][0] == 2_078_178
        rest = concatenate_events([more.events for more in reader.packets(found[300].position)])
    np.testing.assert_array_equal(rest, events[len(events) - len(rest) :])
