"""From a recipe to examples: played, binned and cached by the stages that run in a stream."""

import json
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from nmnist import digit_events, write_digits, write_nmnist

from models.training import Recipe, read_recipe
from pipeline.errors import ConfigError, RecordingError
from pipeline.events import events_from_columns
from pipeline.messages import Frames
from pipeline.offline import play, run_chain
from recordings import write_recording
from stages.binning.time_bin import TimeBin
from stages.datasets.training_set import TrainingSet, prepare
from stages.sources.replay import Replay, ReplayConfig

BIN = {"use": "time_bin", "window_us": 15_000, "size": [17, 17]}


def recipe(
    folder: Path | str = "digits",
    stages: list[dict[str, Any]] | None = None,
    events: dict[str, Any] | None = None,
    steps: int = 20,
    **data: Any,
) -> Recipe:
    return read_recipe(
        {
            "data": {"set": "nmnist", "path": str(folder), "validation": 0.25, **data},
            "input": {"stage": [BIN] if stages is None else stages},
            "network": {"name": "mnist_dvs", "options": {"steps": steps}},
            "training": {"epochs": 1},
            "augment": {"events": events or {}},
            "card": {"data": "made up", "licence": "Apache-2.0"},
        }
    )


def prepared(asked: Recipe, folder: Path, processes: int = 1) -> TrainingSet:
    return prepare(asked, folder, processes, lambda what, done, of: None)


def caches(folder: Path) -> list[Path]:
    return sorted((folder / "cache").glob("*.h5"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the set ``digits`` lies."""
    folder = tmp_path_factory.mktemp("data")
    write_digits(folder / "digits")
    return folder


def test_an_example_is_what_the_stream_gives_for_its_recording(folder: Path) -> None:
    parts = prepared(recipe(), folder)
    keys = json.loads(parts.parts.read_text())["parts"]
    for part, name in ((parts.train, "train"), (parts.validation, "validation")):
        for index, key in enumerate(keys[name]):
            source = Replay("digit", ReplayConfig(path=folder / "digits" / key))
            stage = TimeBin("bin", TimeBin.Config(window_us=15_000, size=(17, 17)), [source.port()])
            messages = run_chain(play(source), [stage])
            frames = [one.array for one in messages if isinstance(one.header, Frames)]
            assert np.array_equal(part.example(index), np.concatenate(frames)[:20])
            assert part.classes[part.labels[index]] == Path(key).parent.name


def test_what_a_card_says_is_known(folder: Path) -> None:
    train, validation, test, *_ = prepared(recipe(), folder)
    assert (len(train), len(validation), test) == (30, 10, None)
    assert train.classes == tuple("0123456789")
    assert (train.sensor_size, train.window_us, train.frame) == ((34, 34), 15_000, "counts")
    assert np.bincount(train.labels).tolist() == [3] * 10
    assert not set(train.groups) & set(validation.groups)
    assert train.example(0).shape == (20, 2, 17, 17)


def test_events_binned_as_needed_are_the_frames_of_the_cache(folder: Path) -> None:
    frames = prepared(recipe(), folder)
    events = prepared(recipe(events={"time_jitter_us": 100.0}), folder)
    for kept, made in zip(frames[:2], events[:2], strict=True):
        assert np.array_equal(kept.labels, made.labels)
        for index in range(len(kept)):
            assert np.array_equal(kept.example(index), made.example(index))


def test_changes_are_drawn_from_the_generator_given(folder: Path) -> None:
    asked = recipe(events={"time_jitter_us": 2000.0, "drop_probability": 0.5, "shift_px": 2})
    train = prepared(asked, folder).train
    one, again, other = (train.example(0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, train.example(0))


def test_frames_have_no_events_to_change(folder: Path) -> None:
    train = prepared(recipe(), folder).train
    assert np.array_equal(train.example(0, np.random.default_rng(1)), train.example(0))


@pytest.mark.parametrize("events", [{}, {"shift_px": 1}], ids=["frames", "events"])
def test_an_example_may_be_written_to(folder: Path, events: dict[str, Any]) -> None:
    train = prepared(recipe(events=events), folder).train
    before = train.example(3)
    train.example(3)[...] = 99
    assert np.array_equal(train.example(3), before)


@pytest.mark.parametrize("events", [{}, {"shift_px": 1}], ids=["frames", "events"])
def test_examples_go_to_other_processes_and_need_not_fit_in_memory(
    folder: Path, events: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = prepared(recipe(events=events), folder).train
    in_memory = [train.example(index) for index in range(len(train))]
    sent = pickle.loads(pickle.dumps(train))
    monkeypatch.setattr("stages.datasets.examples._IN_MEMORY_BYTES", 0)
    for index, frames in enumerate(in_memory):
        assert np.array_equal(sent.example(index), frames)


@pytest.mark.parametrize("events", [{}, {"shift_px": 1}], ids=["frames", "events"])
def test_processes_make_no_difference(folder: Path, events: dict[str, Any], tmp_path: Path) -> None:
    asked = recipe(folder / "digits", events=events)
    one, several = (prepared(asked, tmp_path / str(count), count).train for count in (1, 3))
    for index in range(len(one)):
        assert np.array_equal(one.example(index), several.example(index))


def test_a_cache_is_made_once_and_told_of(folder: Path, tmp_path: Path) -> None:
    asked, told = recipe(folder / "digits"), []
    prepare(asked, tmp_path, 1, lambda *now: told.append(now))
    assert told == [("reading nmnist", done, 40) for done in range(1, 41)]
    (path,) = caches(tmp_path)
    before = path.stat().st_mtime_ns
    prepare(asked, tmp_path, 1, lambda *now: told.append(now))
    assert path.stat().st_mtime_ns == before
    assert len(told) == 40


def test_all_splits_share_a_cache(folder: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        prepared(recipe(folder / "digits", seed=seed), tmp_path)
    assert len(caches(tmp_path)) == 1
    assert len(list(tmp_path.glob("cache/*/parts.json"))) == 2


def test_other_stages_steps_and_files_are_another_cache(tmp_path: Path) -> None:
    write_digits(tmp_path / "digits", each=2)
    asked = recipe(validation=0.5)
    prepared(asked, tmp_path)
    prepared(recipe(validation=0.5, steps=10), tmp_path)
    prepared(recipe(validation=0.5, stages=[BIN | {"frame": "binary"}]), tmp_path)
    assert len(caches(tmp_path)) == 3
    changed = tmp_path / "digits" / "Train" / "3" / "00001.bin"
    write_nmnist(changed, digit_events(count=50))
    train, validation, *_ = prepared(asked, tmp_path)
    assert len(caches(tmp_path)) == 4
    frames = [part.example(index) for part in (train, validation) for index in range(len(part))]
    assert min(int(one.sum()) for one in frames) <= 50


@pytest.mark.parametrize("damage", ["cut", "empty", "of another"])
def test_a_cache_that_is_not_whole_is_made_again(folder: Path, tmp_path: Path, damage: str) -> None:
    asked = recipe(folder / "digits")
    before = prepared(asked, tmp_path).train.example(0)
    (path,) = caches(tmp_path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        with h5py.File(path, "a") as file:
            file.attrs["made_from"] = "something else"
    assert np.array_equal(prepared(asked, tmp_path).train.example(0), before)


def test_an_interrupted_cache_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    def stop(what: str, done: int, of: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(recipe(folder / "digits"), tmp_path, 1, stop)
    assert not list((tmp_path / "cache").glob("*.h5"))


def test_a_cache_that_is_gone_is_named(folder: Path, tmp_path: Path) -> None:
    train = prepared(recipe(folder / "digits"), tmp_path).train
    (path,) = caches(tmp_path)
    path.unlink()
    with pytest.raises(RecordingError, match="remove it, it is made again"):
        train.example(0)


def test_the_split_is_on_record(folder: Path, tmp_path: Path) -> None:
    asked = recipe(folder / "digits", seed=3, validation=0.25, test=0.25)
    parts = prepared(asked, tmp_path)
    record = json.loads(parts.parts.read_text())
    assert (record["set"], record["seed"]) == ("nmnist", 3)
    assert record["shares"] == {"validation": 0.25, "test": 0.25}
    assert parts.test is not None
    dealt = [record["parts"][name] for name in ("train", "validation", "test")]
    examples = (parts.train, parts.validation, parts.test)
    assert [len(keys) for keys in dealt] == [len(part) for part in examples]
    assert len({key for keys in dealt for key in keys}) == 40


def table(folder: Path, rows: str) -> None:
    (folder / "labels.tsv").write_text("file\tlabel\tpart\n" + rows)


def write_pair(folder: Path, busy: int = 3) -> None:
    """Two recordings of 4 ms and 9 ms; one pixel of the second has ``busy`` events at once."""
    folder.mkdir()
    short = events_from_columns([0, 3_999], [1, 2], [3, 4], [1, 1])
    times = [0] * busy + [8_999]
    long = events_from_columns(times, [5] * len(times), [5] * len(times), [1] * len(times))
    write_recording(folder / "short.aedat4", short)
    write_recording(folder / "long.aedat4", long)
    table(folder, "short.aedat4\ta\ttrain\nlong.aedat4\tb\tvalidation\n")


def pair(**options: Any) -> Recipe:
    stages = [{"use": "time_bin", "window_us": 1000, "size": [8, 8]}]
    return recipe("pair", stages, steps=6, set="recordings", validation=None, **options)


def test_what_is_filled_up_or_cut_is_counted_and_said(tmp_path: Path) -> None:
    write_pair(tmp_path / "pair")
    parts = prepared(pair(), tmp_path)
    assert parts.notes == (
        "1 of 1 training examples shorter than 6 steps, filled up with empty ones",
        "1 of 1 validation examples longer than 6 steps, the rest left out",
    )
    assert parts.train.example(0).sum(axis=(1, 2, 3)).tolist() == [1, 0, 0, 1, 0, 0]
    assert parts.validation.example(0).sum(axis=(1, 2, 3)).tolist() == [3, 0, 0, 0, 0, 0]


def test_what_source_and_stages_refuse_is_counted_and_said(tmp_path: Path) -> None:
    write_pair(tmp_path / "pair")
    asked = pair(source={"use": "replay", "size": [5, 5]})
    roi = {"use": "roi", "x": 2, "y": 0, "width": 3, "height": 5}
    stages = asked.input.model_copy(update={"stage": [roi, {"use": "time_bin", "window_us": 1000}]})
    parts = prepared(asked.model_copy(update={"input": stages}), tmp_path)
    assert parts.notes[-2:] == (
        "left out of all examples: 1 events outside the region",
        "left out of all examples: 4 events outside the sensor",
    )


def test_frames_are_of_the_smallest_dtype_that_holds_all(tmp_path: Path) -> None:
    write_pair(tmp_path / "pair", busy=300)
    parts = prepared(pair(), tmp_path)
    assert parts.train.example(0).dtype == parts.validation.example(0).dtype == np.uint16
    assert parts.train.example(0).sum() == 2
    assert parts.validation.example(0).max() == 300


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"set": "nmist"},
            "data.set: no data set is called 'nmist'; did you mean 'nmnist'?",
        ),
        ({"digits": 3}, "data.digits: unknown key"),
        ({"vaildation": 0.1}, "data.vaildation: unknown key; did you mean 'validation'"),
        (
            {"stages": [BIN | {"step_us": 5000}]},
            "input.stage: windows must follow each other, leave step_us out",
        ),
        ({"stages": []}, "input.stage: must end in frames, ends in events"),
        (
            {"stages": [BIN, BIN]},
            "input.stage.1.use: 'time_bin' takes events, it is given frames",
        ),
        (
            {"stages": [{"use": "replay", "path": "x"}]},
            "input.stage.0.use: 'replay' is a source; the data set has its own",
        ),
        (
            {"stages": [BIN | {"size": [0, 9]}]},
            "input.stage.0.size: height must be > 0, got 0",
        ),
        ({"stages": [{"use": "time_bin"}]}, "input.stage.0.window_us: is required"),
        (
            {"stages": [BIN, {"use": "console"}]},
            "input.stage.1.use: 'console' takes predictions, it is given frames",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_a_wrong_recipe_is_refused_in_one_line(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        prepared(recipe(**changes), folder)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_steps_must_be_given(folder: Path) -> None:
    asked = recipe()
    bare = asked.network.model_copy(update={"options": {}})
    with pytest.raises(ConfigError) as caught:
        prepared(asked.model_copy(update={"network": bare}), folder)
    assert str(caught.value) == "network.options.steps: must be given and at least 1, got None"


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("digit", [0, 7])
def test_a_broken_recording_is_named(tmp_path: Path, digit: int, processes: int) -> None:
    write_digits(tmp_path / "digits", each=2)
    broken = tmp_path / "digits" / "Train" / str(digit) / "00000.bin"
    broken.write_bytes(b"\x01\x02\x03")
    with pytest.raises((ConfigError, RecordingError), match=rf"{digit}/00000\.bin"):
        prepared(recipe(validation=0.5), tmp_path, processes)


def test_a_process_that_is_killed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    write_digits(tmp_path / "digits", each=4)
    monkeypatch.setattr("stages.datasets.training_set.prepared", die)
    with pytest.raises(RecordingError, match=r"was killed, maybe .* use fewer --processes"):
        prepared(recipe(), tmp_path, 2)


def test_events_of_a_source_of_frames_cannot_be_changed(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    lines = [f"word{k} film number{k}\t{k % 2}" for k in range(8)]
    (tmp_path / "texts" / "imdb_labelled.txt").write_text("\n".join(lines))
    asked = recipe("texts", [], {"shift_px": 1}, set="sentences")
    with pytest.raises(ConfigError) as caught:
        prepared(asked, tmp_path)
    assert str(caught.value) == (
        "augment: changes of events need a source of events, 'text' is none; use those of frames"
    )


def test_a_cache_that_cannot_be_written_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(RecordingError, match=r"cannot be written: Not a directory; check the path"):
        prepared(recipe(folder / "digits"), tmp_path)
