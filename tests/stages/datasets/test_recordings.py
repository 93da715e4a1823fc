"""Recordings of one's own, listed in a table."""

from pathlib import Path

import numpy as np
import pytest
from shared import SHARED
from trees import listed, prepared

import models
from models.training import load_recipe
from pipeline.errors import ConfigError
from pipeline.events import concatenate_events
from recordings import some_events, write_recording
from stages.datasets.training_set import prepare

RECIPES = Path(models.__file__).parent / "recipes"
BIN = {"use": "time_bin", "window_us": 10_000, "size": [32, 32]}
START_US = 1_600_000_000_000_000


def write_table(folder: Path, text: str, name: str = "labels.tsv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, file in enumerate(("a.aedat4", "b.aedat4", "c.aedat4")):
        write_recording(folder / file, some_events(seed=seed))
    (folder / name).write_text(text)
    return folder


def test_a_recording_is_an_item_and_a_group(tmp_path: Path) -> None:
    folder = write_table(tmp_path, "file\tlabel\tnote\na.aedat4\tcup\thm\nb.aedat4\tball\t\n")
    items = listed("recordings", folder)
    assert [(item.key, item.label, item.group) for item in items] == [
        ("a.aedat4", 1, "a.aedat4"),
        ("b.aedat4", 0, "b.aedat4"),
    ]


def test_a_recording_may_be_cut_into_stretches_of_one_group(tmp_path: Path) -> None:
    table = "file\tlabel\na.aedat4\tcup\nb.aedat4\tball\nc.aedat4\tball\n"
    folder = write_table(tmp_path / "set", table)
    parts = prepared("recordings", folder, 10, BIN, stretch_us=100_000, validation=0.3, seed=2)
    # Events of random times within half a second: four whole stretches fit between them.
    assert len(parts.train) + len(parts.validation) == 12
    assert not set(parts.train.groups) & set(parts.validation.groups)
    assert np.unique(np.concatenate([parts.train.groups, parts.validation.groups])).size == 3
    assert all(parts.train.example(k).any(axis=(1, 2, 3)).all() for k in range(len(parts.train)))


def test_stretches_may_be_cut_by_number_of_events(tmp_path: Path) -> None:
    """A quiet second makes no item of its own, and what is left over at the end is left out."""
    busy, quiet = some_events(2_400, 100_000), some_events(50, 1_000_000, seed=1)
    quiet["t"] += 100_000
    write_recording(tmp_path / "a.aedat4", concatenate_events([busy, quiet]))
    write_recording(tmp_path / "b.aedat4", some_events(300))  # fewer than asked for: all of it
    (tmp_path / "labels.tsv").write_text("file\tlabel\na.aedat4\tcup\nb.aedat4\tball\n")
    long, short, small = listed("recordings", tmp_path, stretch_events=1_000)
    assert (long.start_us, long.end_us) == (busy["t"][0], busy["t"][1_000])
    assert (short.start_us, short.end_us) == (busy["t"][1_000], busy["t"][2_000])
    assert small.end_us == some_events(300)["t"][-1] + 1
    with pytest.raises(ConfigError, match=r"stretch_us: leave it out where stretch_events is giv"):
        listed("recordings", tmp_path, stretch_events=1_000, stretch_us=1_000)


def test_group_part_and_times_may_be_told(tmp_path: Path) -> None:
    rows = [
        ("file", "label", "group", "part", "start_us", "end_us"),
        ("a.aedat4", "cup", "Ann", "train", "", ""),
        ("a.aedat4", "ball", "Ann", "train", str(START_US + 100), str(START_US + 200_000)),
        ("b.aedat4", "cup", "Bob", "validation", "", ""),
    ]
    folder = write_table(tmp_path / "set", "\n".join("\t".join(row) for row in rows))
    items = listed("recordings", folder)
    assert [(item.group, item.part, item.start_us) for item in items] == [
        ("Ann", "train", None),
        ("Ann", "train", START_US + 100),
        ("Bob", "validation", None),
    ]
    parts = prepared("recordings", folder, 20, BIN)
    assert parts.train.example(1).any(axis=(1, 2, 3)).all()


def test_any_source_can_play_the_files(tmp_path: Path) -> None:
    for number in range(4):
        np.save(tmp_path / f"{number}.npy", np.full((8, 4, 4), number, np.uint8))
    rows = [f"{number}.npy\t{number % 2}" for number in range(4)]
    (tmp_path / "labels.tsv").write_text("\n".join(["file\tlabel", *rows]))
    parts = prepared(
        "recordings", tmp_path, 8, source={"use": "slices"}, validation=0.5, beside=tmp_path / "c"
    )
    assert parts.train.example(0).shape == (8, 1, 4, 4)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path\tlabel\n", r"its first line must name file and label, separated by tabs, it is"),
        ("file\tlabel\na.aedat4\n", r"line 2 lacks a column"),
        ("\n\nfile\tlabel\n\na.aedat4\n", r"line 5 lacks a column"),
        ("file\tlabel\nz.aedat4\tcup\n", r"line 2: no z\.aedat4 is there"),
        ("file\tlabel\tpart\na.aedat4\tx\ty\n", r"line 2: part must be train, validation, test or"),
        (
            "file\tlabel\tstart_us\tend_us\na.aedat4\tx\t9\t9\n",
            r"line 2: end_us must be > start_us",
        ),
        ("file\tlabel\tend_us\na.aedat4\tx\t1.5\n", r"line 2: end_us must be a whole number of µs"),
    ],
    ids=["header", "column", "blank lines", "file", "part", "order", "time"],
)
def test_a_wrong_table_is_refused(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        listed("recordings", write_table(tmp_path, table))


def test_no_table_says_what_it_must_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"labels\.tsv does not exist; .* the columns file and"):
        listed("recordings", tmp_path)


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["wheel_view_aedat4", "objects_dvs128_aedat2"])
def test_the_real_recordings(folder: str) -> None:
    items = listed("recordings", SHARED / "recordings" / "labelled" / folder, stretch_us=300_000)
    assert len({item.group for item in items}) == {"w": 9, "o": 2}[folder[0]]
    assert len(items) == {"w": 50, "o": 123}[folder[0]]


@pytest.mark.shared
def test_no_stretch_of_a_real_recording_that_is_held_out_is_learnt(tmp_path: Path) -> None:
    """The recipe of the wheel holds out one recording of each class that has several."""
    views = SHARED / "recordings" / "labelled" / "wheel_view_aedat4"
    recipe = load_recipe(RECIPES / "wheel_views.toml", changes=[{"data": {"path": str(views)}}])
    parts = prepare(recipe, tmp_path, 1, lambda what, done, of: None)
    assert not set(parts.train.groups) & set(parts.validation.groups)
    assert (len(set(parts.train.groups)), len(set(parts.validation.groups))) == (6, 3)
    assert set(parts.train.labels) == set(range(5))
    frames = parts.train.example(0)
    assert frames.shape == (8, 2, 25, 25)
    assert frames.sum() == 4_000
