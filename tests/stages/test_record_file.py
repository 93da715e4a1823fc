"""Files of whole records: a draft is beside the file that it will be, until it has a record."""

from pathlib import Path

import pytest

from stages.record_file import DraftFile


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_the_first_record_gives_a_draft_its_name(tmp_path: Path) -> None:
    path = tmp_path / "some.bin"
    path.write_bytes(b"old")
    file = DraftFile(path)
    file.begin(b"header,")
    assert (names(tmp_path), path.read_bytes()) == (["some.bin", "some.bin.part"], b"old")
    assert not file.is_published
    assert file.append(b"one,") == len(b"header,")
    assert (names(tmp_path), path.read_bytes()) == (["some.bin"], b"header,one,")
    file.append(b"two")
    file.overwrite(0, b"HEADER")
    file.close()
    assert (names(tmp_path), path.read_bytes()) == (["some.bin"], b"HEADER,one,two")


def test_without_a_record_nothing_is_left(tmp_path: Path) -> None:
    file = DraftFile(tmp_path / "some.bin")
    file.begin(b"header")
    file.close()
    file.close()
    assert names(tmp_path) == []


def test_what_a_crash_left_behind_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "some.bin.part").write_bytes(b"half a header of a run that was killed")
    file = DraftFile(tmp_path / "some.bin")
    file.begin(b"header,")
    file.append(b"one")
    file.close()
    assert (tmp_path / "some.bin").read_bytes() == b"header,one"
    assert names(tmp_path) == ["some.bin"]


def test_one_at_a_time_writes_a_file_before_it_has_its_name_and_after(tmp_path: Path) -> None:
    path = tmp_path / "some.bin"
    first = DraftFile(path)
    with pytest.raises(BlockingIOError):
        DraftFile(path)
    first.append(b"one")
    with pytest.raises(BlockingIOError):
        DraftFile(path)
    first.close()
    second = DraftFile(path)
    assert path.read_bytes() == b"one"
    second.append(b"two")
    second.close()
    assert path.read_bytes() == b"two"


def test_a_file_that_another_began_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path, draft = tmp_path / "some.bin", tmp_path / "some.bin.part"
    late = DraftFile(path)
    # As if it had looked for another before the other was there.
    draft.rename(tmp_path / "late")
    other = DraftFile(path)
    other.append(b"theirs")
    (tmp_path / "late").rename(draft)
    with pytest.raises(BlockingIOError):
        late.append(b"ours")
    assert path.read_bytes() == b"theirs"
    other.close()
    late.close()
    assert path.read_bytes() == b"theirs"
