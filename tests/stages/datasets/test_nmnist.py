"""N-MNIST, and what class folders have in common."""

from pathlib import Path

import numpy as np
import pytest
from nmnist import digit_events, write_digits, write_nmnist
from shared import SHARED
from trees import listed, prepared

from pipeline.errors import ConfigError
from stages.datasets.data_set import Item
from stages.datasets.frames import events_of, recorded

BIN = {"use": "time_bin", "window_us": 15_000, "size": [34, 34]}


def test_the_folder_is_the_class_and_each_recording_a_group(tmp_path: Path) -> None:
    write_digits(tmp_path, each=2)
    items = listed("nmnist", tmp_path)
    assert len(items) == len({item.group for item in items}) == 20
    assert items[5] == Item(
        key="Train/2/00001.bin",
        source={"use": "replay", "path": str(tmp_path / "Train/2/00001.bin")},
        label=2,
        group="Train/2/00001.bin",
        part="train",
    )


def test_the_test_part_is_the_sets_own(tmp_path: Path) -> None:
    write_digits(tmp_path / "set", each=4)
    write_digits(tmp_path / "set", each=1, part="Test")
    parts = prepared("nmnist", tmp_path / "set", 20, BIN, validation=0.25)
    assert parts.test is not None
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [30, 10, 10]


def test_tonics_tree_and_its_events_are_the_same(tmp_path: Path) -> None:
    from tonic import datasets as tonic

    class Local(tonic.NMNIST):  # type: ignore[misc, name-defined]
        def _check_exists(self) -> bool:
            return True

    Local.__name__ = "NMNIST"
    write_digits(tmp_path / "NMNIST", each=2)
    theirs = Local(str(tmp_path), train=True)
    ours = {str(item.source["path"]): item for item in listed("nmnist", tmp_path)}
    assert len(ours) == len(theirs) == 20
    for index, path in enumerate(theirs.data):
        events, label = theirs[index]
        item = ours[path]
        assert item.label == label
        (one,) = recorded([item])
        found = events_of(one)
        for name in "txyp":
            assert np.array_equal(found[name], events[name])


def test_a_set_that_is_not_there_says_what_to_get_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        listed("nmnist", tmp_path)
    assert str(caught.value) == (
        f"data.set: nmnist is not there: {tmp_path / 'Train'} does not exist; get N-MNIST"
        " (Train.zip and Test.zip) from Garrick Orchard's page of the data set, garrickorchard.com"
        f" (licence: CC BY-SA 4.0) and put into {tmp_path} the folders Train and Test with a folder"
        " for each digit, 0 to 9; if it lies elsewhere, name that place: --data FOLDER, and"
        " data.path in it"
    )


def test_a_folder_of_no_class_is_named(tmp_path: Path) -> None:
    write_nmnist(tmp_path / "Train" / "eleven" / "1.bin", digit_events(3))
    with pytest.raises(ConfigError, match=r"Train/eleven is no class; folders here must be called"):
        listed("nmnist", tmp_path)


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    write_digits(tmp_path, each=1)
    (tmp_path / "Train" / "4" / "00000.bin").unlink()
    with pytest.raises(ConfigError, match=r"Train/4 holds no file that ends in \.bin; was the"):
        listed("nmnist", tmp_path)


def test_names_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    write_digits(tmp_path, each=1)
    for number in (10, 9):
        write_nmnist(tmp_path / "Train" / "0" / f"{number}.bin", digit_events(3))
    (tmp_path / "Train" / "0" / "._9.bin").write_bytes(b"what macOS leaves behind")
    names = [Path(item.key).name for item in listed("nmnist", tmp_path) if item.label == 0]
    assert names == ["00000.bin", "9.bin", "10.bin"]


@pytest.mark.shared
def test_the_real_recordings(tmp_path: Path) -> None:
    items = listed("nmnist", SHARED / "nmnist")
    counts = np.bincount([item.label for item in items]).tolist()
    assert counts == [77, 93, 79, 74, 84, 74, 75, 94, 70, 80]
    parts = prepared("nmnist", SHARED / "nmnist", 20, BIN, beside=tmp_path, validation=0.1)
    assert (len(parts.train), len(parts.validation), parts.test) == (722, 78, None)
    assert parts.train.sensor_size == (34, 34)
    assert all(parts.validation.example(index).sum() > 1000 for index in range(78))
