"""DVS128 Gesture: recordings with label files, or tonic's cut copy."""

from pathlib import Path

import numpy as np
import pytest
from trees import listed, prepared

from pipeline.errors import ConfigError, RecordingError
from pipeline.events import events_from_columns
from recordings import some_events
from stages.datasets.data_set import Item
from stages.datasets.frames import events_of, recorded
from stages.datasets.labels import Label, LabelError, labels_path, write_labels
from stages.formats.aedat.aedat3_writer import Aedat3Writer

BIN = {"use": "time_bin", "window_us": 25_000, "size": [40, 40]}
FIRST_US = 80_048_239
LABELS = [
    Label(FIRST_US + 100_000, FIRST_US + 300_000, 0),
    Label(FIRST_US + 300_000, FIRST_US + 500_000, 4),
    Label(FIRST_US + 450_000, FIRST_US + 600_000, 10),  # the real set has some that overlap
]


def write_recordings(folder: Path) -> Path:
    """Three people's, in AEDAT 3.1 with labels, in the two lists."""
    folder.mkdir(parents=True)
    names = ["user01_led.aedat", "user01_lab.aedat", "user02_led.aedat", "user24_led.aedat"]
    for seed, name in enumerate(names):
        events = some_events(4_000, 700_000, seed=seed)
        events["t"] += FIRST_US - events["t"][0]
        with Aedat3Writer(folder / name, 128, 128, source="DVS128") as writer:
            writer.write(events)
        write_labels(labels_path(folder / name), LABELS)
    (folder / "trials_to_train.txt").write_text("\n".join(names[:3]) + "\n")
    (folder / "trials_to_test.txt").write_text(names[3] + "\n\n")
    return folder


def test_items_are_the_labelled_stretches_and_people_the_groups(tmp_path: Path) -> None:
    write_recordings(tmp_path / "set")
    items = listed("dvs_gesture", tmp_path / "set")
    assert len(items) == 12
    assert items[1] == Item(
        key="user01_led.aedat#1",
        source={"use": "replay", "path": str(tmp_path / "set" / "user01_led.aedat")},
        label=4,
        group="user01",
        part="train",
        start_us=FIRST_US + 300_000,
        end_us=FIRST_US + 500_000,
    )
    assert {item.group for item in items if item.part == "train"} == {"user01", "user02"}
    assert {item.group for item in items if item.part == "test"} == {"user24"}


def test_each_stretch_holds_its_own_events(tmp_path: Path) -> None:
    items = listed("dvs_gesture", write_recordings(tmp_path / "set"))[:3]
    for item, one in zip(items, recorded(items), strict=True):
        assert item.start_us is not None
        assert item.end_us is not None
        times = events_of(one)["t"]
        assert len(times) > 500
        assert item.start_us <= times[0]
        assert times[-1] < item.end_us


def test_examples_are_bins_of_25_ms_of_unseen_people(tmp_path: Path) -> None:
    write_recordings(tmp_path / "set")
    parts = prepared("dvs_gesture", tmp_path / "set", 8, BIN, validation=0.5)
    assert parts.test is not None
    assert len(parts.train) + len(parts.validation) == 9
    assert len(parts.test) == 3
    assert not set(parts.train.groups) & set(parts.validation.groups)
    frames = parts.test.example(0)
    assert frames.shape == (8, 2, 40, 40)
    assert frames.any(axis=(1, 2, 3)).all()


def test_tonics_copy_is_read_by_tonic_and_its_ms_are_1000_us(tmp_path: Path) -> None:
    for part, person in (("Train", "user03_led"), ("Test", "user25_natural")):
        folder = tmp_path / "DVSGesture" / f"ibmGesture{part}" / person
        folder.mkdir(parents=True)
        for gesture in (0, 10, 2):
            rows = [[5, 6, 1, 1], [7, 8, 0, 3 + gesture]]  # x, y, p, t in ms
            np.save(folder / f"{gesture}.npy", np.array(rows, np.float64))
    items = listed("dvs_gesture", tmp_path)
    assert [(item.label, item.group, item.part) for item in items] == [
        (label, group, part)
        for group, part in (("user03", "train"), ("user25", "test"))
        for label in (0, 2, 10)
    ]
    played = [events_of(one) for one in recorded(items)]
    wanted = events_from_columns([1_000, 5_000], [5, 7], [6, 8], [1, 0])
    assert np.array_equal(played[1], wanted)


def test_a_damaged_gesture_of_tonics_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "DVSGesture" / "ibmGestureTrain" / "user03_led"
    folder.mkdir(parents=True)
    (folder / "0.npy").write_bytes(b"hello")
    with pytest.raises(RecordingError, match=r"0\.npy: is no gesture of tonic's .*; get it again"):
        list(recorded(listed("dvs_gesture", tmp_path)))


def test_a_set_that_is_not_there_says_what_to_get(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        listed("dvs_gesture", tmp_path)
    assert str(caught.value) == (
        f"data.set: dvs_gesture is not there: {tmp_path / 'trials_to_train.txt'} does not exist;"
        " get DVS128 Gesture (DvsGesture.tar.gz) from IBM Research,"
        " research.ibm.com/interactive/dvsgesture (licence: CC BY 4.0) and put into"
        f" {tmp_path} the recordings, their label files and the two lists trials_to_*.txt; if it"
        " lies elsewhere, name that place: --data FOLDER, and data.path in it"
    )


@pytest.mark.parametrize("gone", ["recording", "labels", "class", "behind"])
def test_what_is_incomplete_is_named(tmp_path: Path, gone: str) -> None:
    folder = write_recordings(tmp_path / "set")
    path = folder / "user02_led.aedat"
    if gone == "recording":
        path.unlink()
        with pytest.raises(ConfigError, match=r"user02_led\.aedat is not there, and .* lists it"):
            listed("dvs_gesture", folder)
    elif gone == "labels":
        labels_path(path).unlink()
        with pytest.raises(LabelError, match=r"user02_led_labels\.csv: cannot be read"):
            listed("dvs_gesture", folder)
    elif gone == "class":
        write_labels(labels_path(path), [Label(0, 1, 11)])
        with pytest.raises(ConfigError, match=r"class must be 1 to 11, got 12"):
            listed("dvs_gesture", folder)
    else:
        write_labels(labels_path(path), [Label(FIRST_US + 10**7, FIRST_US + 10**7 + 1, 1)])
        with pytest.raises(ConfigError, match=r"user02_led\.aedat#0 lies behind the end of"):
            list(recorded(listed("dvs_gesture", folder)))
