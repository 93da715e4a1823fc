"""Damaged files of words: events or one clear error, whatever the bytes are."""

from pathlib import Path

import numpy as np
import pytest
from resuming import LENIENT, look
from word_files import as_events, damages

from pipeline.errors import RecordingError
from stages.formats import Policies, create_recording, open_recording

EVENTS = as_events((3 * k, k % 30, k % 7, k % 2) for k in range(60))
ENDINGS = ["evt2", "evt3", "dat", "es", "bin"]


def recording(path: Path) -> bytes:
    if path.suffix == ".bin":
        rows = (row.tolist() for row in EVENTS)
        path.write_bytes(b"".join(bytes((x, y, p << 7, 0, t)) for t, x, y, p in rows))
    elif path.suffix == ".raw":
        upper = ((p << 28 | (t & 63) << 22 | x << 11 | y) for t, x, y, p in EVENTS.tolist())
        words = np.array([8 << 60, *(half << 32 | 1 for half in upper)], "<u8")
        path.write_bytes(b"% evt 2.1\n% geometry 40x30\n% end\n" + words.tobytes())
    else:
        with create_recording(path, 40, 30) as writer:
            writer.write(EVENTS)
    return path.read_bytes()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_cut_within_an_event_is_reported_behind_the_events_before_it(
    ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{ending}"
    data = recording(path)
    path.write_bytes(data[:-1])
    with open_recording(path) as reader:
        packets = reader.packets()
        kept = len(next(packets).events)
        with pytest.raises(RecordingError) as caught:
            next(packets)
    assert kept == len(EVENTS) - 1
    width = {"evt2": 4, "evt3": 2, "dat": 8, "es": 5, "bin": 5}[ending]
    assert str(caught.value) == (
        f"{path}: is truncated at byte {len(data) - width}; the {kept} events before it were read;"
        ' set on_damage = "drop" to accept that'
    )
    events, found = look(path)
    np.testing.assert_array_equal(events, EVENTS[:-1])
    assert found == {"damaged places": 1, "damaged bytes": width - 1}


@pytest.mark.parametrize("ending", [*ENDINGS, "raw"])
@pytest.mark.parametrize("policies", [LENIENT, Policies()], ids=["drop", "raise"])
def test_mutated_files_give_events_or_one_error(
    ending: str, policies: Policies, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{ending}"
    data = recording(path)
    with open_recording(path) as reader:
        kind = type(reader)
    errors = []
    copies = list(damages(data, 150, seed=len(data)))
    for copy in copies:
        path.write_bytes(copy)
        try:
            with kind(path, policies) as reader:
                count = sum(len(packet.events) for packet in reader.packets())
        except RecordingError as error:
            errors.append(str(error))
        else:
            # A word holds 32 events at most.
            assert count <= 32 * len(copy)
    assert len(errors) < len(copies) - 20
    for text in errors:
        assert text.startswith(f"{path}: ")
        assert "\n" not in text


@pytest.mark.parametrize("ending", ENDINGS[:-1])
def test_a_position_that_is_none_is_refused(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    data = recording(path)
    with open_recording(path) as reader:
        (packet,) = reader.packets()
        latest, offset, *state = packet.position
        assert offset == len(data)
        for wrong in (
            (latest, offset),
            (latest, 3, *state),
            (latest, offset + 8, *state),
            (*packet.position, 0),
        ):
            with pytest.raises(RecordingError, match=r"has no position \["):
                list(reader.packets(wrong))
        assert list(reader.packets(packet.position)) == []
