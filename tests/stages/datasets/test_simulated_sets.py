"""Simulated sets: made once, in a layout that the real set's reader reads, and named simulated."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import validate
from pipeline.errors import ConfigError, RecordingError
from pipeline.messages import Events, Frames
from pipeline.offline import play
from pipeline.registry import load_stage
from pipeline.stage import Source
from stages.batch.local import LocalEngine
from stages.datasets import DATA_SETS, load_data_set
from stages.datasets.data_set import STEPS, DataSet
from stages.datasets.simulated.simulated_set import MARK
from stages.formats import open_recording

SMALL: dict[str, dict[str, Any]] = {
    "simulated_gestures": {"people": 1, "seconds_per_gesture": 0.05},
    "simulated_digits": {"digits": 20, "test": 0.5},
    "simulated_mnist_dvs": {"digits": 10, "scales": [4, 16], "seconds": 0.02},
    "simulated_cifar10_dvs": {"per_class": 1, "seconds": 0.01},
    "simulated_es_imagenet": {"per_class": 1, "val_per_class": 1},
    "simulated_rgb_gesture": {"people": 1, "frames": 2},
    "simulated_jester": {"people": 1, "validation_people": 1, "test_people": 1, "frames": 3},
    "simulated_reviews": {"per_class": 5},
    "simulated_nodules": {"per_class": 2, "test_per_class": 1},
}
"""Each set with as little as there can be of it."""

COUNTS = {
    "simulated_gestures": {None: 11},
    "simulated_digits": {"train": 10, "test": 10},
    "simulated_mnist_dvs": {None: 20},
    "simulated_cifar10_dvs": {None: 10},
    "simulated_es_imagenet": {"train": 10, "test": 10},
    "simulated_rgb_gesture": {None: 11},
    "simulated_jester": {"train": 27, "validation": 27, "test": 27},
    "simulated_reviews": {None: 10},
    "simulated_nodules": {"train": 4, "test": 2},
}
"""Examples of each part that the set names."""


def data_set(name: str, folder: Path, **options: Any) -> DataSet:
    kind = load_data_set(name)
    return kind(folder, validate(kind.Options, SMALL[name] | options, "data", None))


def quiet(*_: object) -> None:
    """Progress that nobody looks at."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSet]:
    """All sets, made."""
    pytest.importorskip("sklearn", reason="the digits are part of scikit-learn")
    pytest.importorskip("cv2", reason="OpenCV writes pictures and videos")
    sets = {name: data_set(name, tmp_path_factory.mktemp(name) / "set") for name in SMALL}
    for one in sets.values():
        one.make(LocalEngine(1), quiet)
    return sets


def files(folder: Path) -> dict[str, bytes]:
    """All files of a tree with what is in them."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_simulated_set_has_its_case() -> None:
    assert set(SMALL) == {name for name in DATA_SETS if name.startswith("simulated_")}


def test_importing_the_sets_is_light() -> None:
    heavy = ("torch", "numba", "h5py", "tonic", "cv2", "sklearn", "lightning")
    program = (
        "import sys; from stages.datasets import DATA_SETS, load_data_set;"
        "[load_data_set(name) for name in DATA_SETS];"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (told.stdout, told.stderr) == ("[]\n", "")


@pytest.mark.parametrize("name", SMALL)
def test_the_real_reader_lists_what_was_made(name: str, made: dict[str, DataSet]) -> None:
    items = made[name].items()
    parts = [item.part for item in items]
    assert {part: parts.count(part) for part in set(parts)} == COUNTS[name]
    assert len({item.key for item in items}) == len(items)
    labels = {item.label for item in items}
    assert labels == set(range(len(made[name].classes)))
    groups: dict[str, set[str | None]] = {}
    for item in items:
        groups.setdefault(item.group, set()).add(item.part)
    assert all(len(parts) == 1 for parts in groups.values()), "a group is in two parts"


@pytest.mark.parametrize("name", [name for name in SMALL if name != "simulated_reviews"])
def test_the_source_of_an_item_plays_it(name: str, made: dict[str, DataSet]) -> None:
    source = made[name].items()[0].source
    table = {key: 2 if value == STEPS else value for key, value in source.items()}
    kind = load_stage(table.pop("use"))
    assert issubclass(kind, Source)
    messages = play(kind("source", validate(kind.Config, table, "source", None)))
    assert sum(m.array.size for m in messages if isinstance(m.header, Events | Frames)) > 0


@pytest.mark.parametrize("name", SMALL)
def test_a_set_says_that_it_is_simulated(name: str, made: dict[str, DataSet]) -> None:
    folder = made[name].folder
    if name == "simulated_gestures":
        assert b"simulated" in next(folder.glob("*.aedat4")).read_bytes()[:4096]
        return
    mark = json.loads((folder / MARK).read_text())
    assert mark["complete"] is True
    assert mark["set"] == name
    assert len(mark["simulated"]) > 40
    for recording in folder.rglob("*.aedat"):
        assert b"simulated DVS128" in recording.read_bytes()[:512]


@pytest.mark.parametrize("name", ["simulated_digits", "simulated_nodules", "simulated_jester"])
def test_another_run_makes_the_same_bytes(
    name: str, made: dict[str, DataSet], tmp_path: Path
) -> None:
    again = data_set(name, tmp_path / "again")
    again.make(LocalEngine(2), quiet)
    assert files(again.folder) == files(made[name].folder)


def test_another_seed_makes_other_events(made: dict[str, DataSet], tmp_path: Path) -> None:
    other = data_set("simulated_digits", tmp_path, simulation_seed=2)
    other.make(LocalEngine(1), quiet)
    one, two = files(other.folder), files(made["simulated_digits"].folder)
    assert one.keys() == two.keys()
    assert all(one[key] != two[key] for key in one)


def test_what_is_there_is_kept_and_what_is_missing_made(tmp_path: Path) -> None:
    nodules = data_set("simulated_nodules", tmp_path)
    nodules.make(LocalEngine(1), quiet)
    whole = files(tmp_path)
    calls: list[tuple[str, int, int]] = []
    nodules.make(LocalEngine(1), lambda *call: calls.append(call))
    assert calls == []

    # As after a kill: a piece is missing, and the mark says that not all is there.
    (tmp_path / "train" / "1_simulated00001_0_aug0.npy").unlink()
    mark = tmp_path / MARK
    mark.write_text(mark.read_text().replace("true", "false"))
    nodules.make(LocalEngine(1), lambda *call: calls.append(call))
    assert calls == [("simulating", 1, 1)]
    assert files(tmp_path) == whole


def test_a_piece_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: Path, *_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    nodules = data_set("simulated_nodules", tmp_path)
    monkeypatch.setattr(type(nodules), "write", staticmethod(half))
    with pytest.raises(RecordingError, match=r"cannot be written: No space left on device"):
        nodules.make(LocalEngine(1), quiet)
    assert list(files(tmp_path)) == [MARK]


def test_another_set_in_the_folder_is_not_written_over(tmp_path: Path) -> None:
    data_set("simulated_nodules", tmp_path).make(LocalEngine(1), quiet)
    before = files(tmp_path)
    with pytest.raises(ConfigError) as caught:
        data_set("simulated_nodules", tmp_path, per_class=3).make(LocalEngine(1), quiet)
    assert str(caught.value) == (
        f"{tmp_path}: holds another simulated set, see simulated.json there; name a new folder, or"
        " remove this one"
    )
    assert files(tmp_path) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="holds something else than a simulated set"):
        data_set("simulated_nodules", tmp_path).make(LocalEngine(1), quiet)
    assert list(files(tmp_path)) == ["thesis.txt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError) as caught:
        data_set("simulated_reviews", tmp_path / "file" / "in").make(LocalEngine(1), quiet)
    assert str(caught.value) == (
        f"{tmp_path / 'file' / 'in'}: cannot be written: Not a directory; check the path and its"
        " permissions"
    )


def test_a_set_that_was_not_made_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"get the simulated set from `pipeline simulate`"):
        data_set("simulated_nodules", tmp_path).items()


def test_digits_are_n_mnist_words(made: dict[str, DataSet]) -> None:
    path = next((made["simulated_digits"].folder / "Train" / "0").glob("*.bin"))
    with open_recording(path) as reader:
        events = np.concatenate([packet.events for packet in reader.packets()])
        assert reader.format == "N-MNIST"
    from models.simulation import digits

    index = int(path.stem) - 1
    expected = digits.saccades(digits.load().pictures[index], 10_000 + index)
    for column in ("t", "x", "y", "p"):
        np.testing.assert_array_equal(events[column], getattr(expected, column))


def test_a_digit_has_the_same_number_at_every_scale(made: dict[str, DataSet]) -> None:
    groups = [item.group for item in made["simulated_mnist_dvs"].items()]
    assert sorted(groups) == sorted(2 * list(set(groups)))


def test_reviews_are_balanced_and_never_the_same(made: dict[str, DataSet]) -> None:
    path = made["simulated_reviews"].folder / "IMDB Dataset.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sentiment"] for row in rows] == ["positive", "negative"] * 5
    assert len({row["review"] for row in rows}) == 10


def test_hands_are_grouped_by_whose_they_are(made: dict[str, DataSet]) -> None:
    items = made["simulated_jester"].items()
    assert {item.group for item in items} == {"person 1", "person 2", "person 3"}
