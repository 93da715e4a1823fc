"""Volumes as a source: a slice a step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from shared import SHARED

from pipeline.errors import RecordingError
from pipeline.messages import EndRecording, Frames, Message, Start
from pipeline.stage import PortError
from stages.sources.slices import Slices, SlicesConfig


def slices(path: Path | list[Path], **options: Any) -> Slices:
    return Slices("scan", SlicesConfig(**{"path": path, **options}))


def save(path: Path, volume: NDArray[Any]) -> Path:
    np.save(path, volume)
    return path


def messages_of(source: Slices) -> list[Message]:
    return [m for turn in source.play(source.initial_state()) for m in turn.messages]


def frames_of(source: Slices) -> NDArray[np.uint8]:
    arrays = [m.array for m in messages_of(source) if isinstance(m.header, Frames)]
    return np.concatenate(arrays)


BYTES = np.arange(4 * 6 * 5, dtype=np.uint8).reshape(4, 6, 5)


def test_bytes_are_sent_as_they_are(tmp_path: Path) -> None:
    source = slices(save(tmp_path / "1_a.npy", BYTES))
    start, frames, end = messages_of(source)
    assert isinstance(start.header, Start)
    assert (start.header.height, start.header.width) == (6, 5)
    assert start.header.source == str(tmp_path / "1_a.npy")
    np.testing.assert_array_equal(frames.array, BYTES[:, None])
    assert isinstance(end.header, EndRecording)
    port = source.port()
    assert (port.channels, port.height, port.width, port.frame) == (1, 6, 5, "slices")


def test_hounsfield_units_are_scaled_and_cut(tmp_path: Path) -> None:
    units = np.array([-3000, -1200, -300, 599, 600, 2000], dtype=np.int16).reshape(1, 1, 6)
    source = slices(save(tmp_path / "a.npy", units), range=(-1200, 600))
    assert frames_of(source).ravel().tolist() == [0, 0, 127, 254, 255, 255]
    source = slices(save(tmp_path / "b.npy", units.astype(">f4")), range=(-1200, 600))
    assert frames_of(source).ravel().tolist() == [0, 0, 127, 254, 255, 255]


def test_the_middle_is_taken(tmp_path: Path) -> None:
    source = slices(save(tmp_path / "a.npy", np.asfortranarray(BYTES)), steps=2, size=(4, 3))
    np.testing.assert_array_equal(frames_of(source), BYTES[1:3, None, 1:5, 1:4])
    assert (source.port().height, source.port().width) == (4, 3)


def test_volumes_of_several_sizes_have_no_size_in_common(tmp_path: Path) -> None:
    save(tmp_path / "a.npy", BYTES)
    save(tmp_path / "b.npy", BYTES[:, :5])
    assert slices(tmp_path).port().height is None
    source = slices(tmp_path, size=(5, 5))
    assert source.port().height == 5
    *_, last = source.play(source.initial_state())
    account = source.account(last.state)
    assert (account.taken, account.used, account.made, account.due) == (2, 2, 8, 8)


WRONG: dict[str, tuple[NDArray[Any], dict[str, Any], str]] = {
    "flat": (BYTES[0], {}, r"must be numbers \(slices, height, width\), is uint8 \(6, 5\)"),
    "empty": (BYTES[:0], {}, "is no whole .npy file|must be numbers"),
    "complex": (BYTES.astype(complex), {}, "must be numbers"),
    "floats": (BYTES.astype(np.float32), {}, r"holds float32, .*set range = \[low, high\]"),
    "few": (BYTES, {"steps": 5}, r"smaller than what is asked for: 5 of 4 slices; ask for fewer"),
    "narrow": (BYTES, {"size": (6, 6)}, "asked for: 6 of 5 columns"),
}


@pytest.mark.parametrize("what", WRONG)
def test_volumes_that_do_not_fit_are_refused_by_the_check(what: str, tmp_path: Path) -> None:
    volume, options, problem = WRONG[what]
    source = slices(save(tmp_path / "a.npy", volume), **options)
    with pytest.raises(PortError, match=rf"a\.npy: .*({problem})") as caught:
        source.port()
    assert caught.value.key == "path"
    with pytest.raises(RecordingError, match=problem):
        messages_of(source)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04 not an array", b"cut"])
def test_files_that_are_no_arrays_are_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    if content == b"cut":
        save(path, BYTES)
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"a\.npy: is no whole \.npy file"):
        messages_of(slices(path))


def test_pickles_are_never_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(RecordingError, match=r"is no whole \.npy file"):
        messages_of(slices(tmp_path / "a.npy"))


def test_what_is_no_number_is_told(tmp_path: Path) -> None:
    volume = np.zeros((2, 3, 3), np.float32)
    volume[1, 1, 1] = np.nan
    source = slices(save(tmp_path / "a.npy", volume), range=(0, 1), on_damage="drop")
    (turn,) = source.play(source.initial_state())
    assert "a.npy: holds values that are no numbers" in turn.remark
    assert source.account(turn.state).refused == {"damaged": 1}
    # What is cut off does not matter.
    assert frames_of(slices(tmp_path, range=(0, 1), size=(1, 1), steps=1)).shape == (1, 1, 1, 1)


def test_a_range_goes_upwards(tmp_path: Path) -> None:
    with pytest.raises(
        PortError, match=r"must be \[low, high\] with low < high, got \[5"
    ) as caught:
        slices(save(tmp_path / "a.npy", BYTES), range=(5, 5)).port()
    assert caught.value.key == "range"


OUTSIDE: dict[str, tuple[NDArray[Any], tuple[float, float], str]] = {
    "above": (
        BYTES.astype(np.int16) + 1000,
        (-1200, 600),
        "from 1000 to 1119, none of them within",
    ),
    "below": (BYTES.astype(np.int16) - 2000, (-1200, 600), "from -2000 to -1881, none of them"),
    "all one grey": (BYTES / 255, (-1200, 600), "from 0 to 0.466667, which are all one grey with"),
    "bytes": (BYTES, (-1200, 600), "from 0 to 119, as bytes, which cannot fill"),
}


@pytest.mark.parametrize("what", OUTSIDE)
def test_a_volume_whose_values_are_elsewhere_is_refused(what: str, tmp_path: Path) -> None:
    volume, wanted, problem = OUTSIDE[what]
    source = slices(save(tmp_path / "a.npy", volume), range=wanted)
    text = rf"a\.npy: holds values {problem} .*range = \[-1200, 600\]; "
    with pytest.raises(PortError, match=text) as caught:
        source.port()
    assert caught.value.key == "range"
    with pytest.raises(RecordingError, match=text):
        messages_of(source)


def test_a_volume_of_one_value_within_the_range_is_good(tmp_path: Path) -> None:
    air = np.full((2, 3, 3), -1000, np.int16)
    source = slices(save(tmp_path / "a.npy", air), range=(-1200, 600))
    source.port()
    assert np.unique(frames_of(source)).tolist() == [28]


def test_values_that_are_cut_are_counted(tmp_path: Path) -> None:
    units = np.array([-3000, -1300, -300, 0, 100, 2000], dtype=np.int16).reshape(1, 2, 3)
    save(tmp_path / "a.npy", units)
    save(tmp_path / "b.npy", units.clip(-1200, 600))
    source = slices(tmp_path, range=(-1200, 600))
    turns = list(source.play(source.initial_state()))
    assert source.account(turns[-1].state).notes == {
        "values below -1200": 2,
        "values above 600": 1,
    }
    assert not any(turn.remark for turn in turns), "half of them are usual"


def test_a_volume_that_is_mostly_cut_is_named_at_once(tmp_path: Path) -> None:
    units = np.array([0, 1000, 1100, 1200], dtype=np.int16).reshape(1, 2, 2)
    source = slices(save(tmp_path / "a.npy", units), range=(-1200, 600))
    first, *others = source.play(source.initial_state())
    assert first.remark == (
        f"{tmp_path}/a.npy: holds values from 0 to 1200, range = [-1200, 600] cuts 75% of them; is"
        " it right?"
    )
    assert not any(turn.remark for turn in others)


@pytest.mark.shared
def test_real_patches_give_what_the_network_takes() -> None:
    folder = SHARED / "other" / "ct_nodule"
    source = slices(folder, range=(0, 1), steps=8, size=(32, 32))
    frames = frames_of(source)
    assert frames.shape == (16, 1, 32, 32)
    patch = np.load(folder / "luna16_negative_patch.npy")[28:36, 16:48, 16:48]
    np.testing.assert_allclose(frames[:8, 0], patch * 255, atol=1)
    assert frames.std() > 20
