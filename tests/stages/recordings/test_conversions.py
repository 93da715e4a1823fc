"""All recordings of a folder: which they are, what they become, and that one failure is one."""

from pathlib import Path

import pytest
from nmnist import digit_events, write_digits, write_nmnist

from pipeline.errors import ConfigError
from stages.batch.local import LocalEngine
from stages.formats import Policies
from stages.recordings.conversion import convert
from stages.recordings.conversions import Asked, Converted, convert_all, pairs_of

ASKED = Asked(Policies())


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Write a tree of ten recordings, with a text beside them that is none."""
    write_digits(tmp_path / "digits", 1)
    (tmp_path / "digits" / "README").write_text("ten digits")
    return tmp_path / "digits"


def converted(
    source: Path, target: Path, processes: int = 1, replace: bool = False
) -> list[Converted]:
    pairs = pairs_of(source, target, ".aedat4")
    return list(convert_all(pairs, target, ASKED, replace, LocalEngine(processes)))


def test_the_tree_stays_as_it_is(digits: Path, tmp_path: Path) -> None:
    pairs = pairs_of(digits, tmp_path / "out", ".npy")
    assert len(pairs) == 10
    assert pairs[3].source == digits / "Train" / "3" / "00000.bin"
    assert pairs[3].target == tmp_path / "out" / "Train" / "3" / "00000.npy"


@pytest.mark.parametrize("processes", [1, 2])
def test_each_is_as_if_converted_alone(digits: Path, tmp_path: Path, processes: int) -> None:
    for one in converted(digits, tmp_path / "out", processes):
        alone = tmp_path / "alone.aedat4"
        convert(one.pair.source, alone, Policies())
        assert one.done is not None
        assert one.done.path == str(one.pair.target)
        assert one.pair.target.read_bytes() == alone.read_bytes()
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 10


def test_what_is_there_is_kept_or_replaced(digits: Path, tmp_path: Path) -> None:
    old = tmp_path / "out" / "Train" / "3" / "00000.aedat4"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    kept = [one for one in converted(digits, tmp_path / "out") if one.done is None]
    assert [one.pair.target for one in kept] == [old]
    assert old.read_bytes() == b"old"
    assert all(one.done for one in converted(digits, tmp_path / "out", replace=True))
    assert old.read_bytes() != b"old"


def test_one_that_is_broken_does_not_stop_the_others(digits: Path, tmp_path: Path) -> None:
    broken = digits / "Train" / "3" / "00000.bin"
    broken.write_bytes(broken.read_bytes()[:-2])
    ended = converted(digits, tmp_path / "out")
    (failed,) = [one for one in ended if one.failed]
    assert str(broken) in failed.failed
    assert "holds" not in failed.failed  # nothing of it is left
    assert not failed.pair.target.parent.joinpath("00000.aedat4").exists()
    assert [*failed.pair.target.parent.iterdir()] == []
    assert sum(one.done is not None for one in ended) == 9


def test_two_that_would_become_one(digits: Path, tmp_path: Path) -> None:
    write_nmnist(digits / "a.bin", digit_events())
    convert(digits / "a.bin", digits / "a.es", Policies())
    with pytest.raises(ConfigError, match=r"a\.npy: both .* would become this file; rename one"):
        pairs_of(digits, tmp_path / "out", ".npy")


@pytest.mark.parametrize("name", ["", "Train"])
def test_a_target_in_the_folder_that_is_read(digits: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="lies in the folder that is read"):
        pairs_of(digits, digits / name, ".npy")


def test_a_folder_whose_name_looks_like_a_pattern(digits: Path, tmp_path: Path) -> None:
    place = digits.rename(tmp_path / "digits[1]")
    assert len(pairs_of(place, tmp_path / "out", ".npy")) == 10
