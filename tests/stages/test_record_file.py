"""Files of whole records: a draft is beside the file that it will be, until it has a record."""

from pathlib import Path

import pytest

from stages.record_file import DraftFile, LostRecordsError, RecordFile, mark_of


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


def test_a_file_is_cut_back_to_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "some.bin"
    file = RecordFile(path)
    file.append(b"one,")
    mark = file.commit()
    file.append(b"two,")
    file.close()
    again = RecordFile(path, mark=mark)
    assert (path.read_bytes(), again.end) == (b"one,", 4)
    again.append(b"three")
    again.close()
    assert path.read_bytes() == b"one,three"
    assert mark_of(path) == (0, 9, mark_of(path).check)
    assert mark_of(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("spoilt", "how"), [(None, "removed"), (b"header,on", "shortened"), (b"header,ONE,", "changed")]
)
def test_what_is_not_there_any_more_cannot_be_cut_back(
    spoilt: bytes | None, how: str, tmp_path: Path
) -> None:
    path = tmp_path / "some.bin"
    file = DraftFile(path)
    file.begin(b"header,")
    file.append(b"one,")
    mark = file.commit()
    file.close()
    path.unlink()
    if spoilt is not None:
        path.write_bytes(spoilt)
    with pytest.raises(LostRecordsError, match=f"was {how}"):
        DraftFile(path, mark, is_published=True)
    assert names(tmp_path) == (["some.bin"] if spoilt else [])


def test_a_header_may_change_behind_a_mark(tmp_path: Path) -> None:
    file = DraftFile(tmp_path / "some.bin")
    file.begin(b"header,")
    file.append(b"one,")
    mark = file.commit()
    file.append(b"table")
    file.overwrite(0, b"HEADER")
    file.close()
    again = DraftFile(tmp_path / "some.bin", mark, is_published=True)
    again.overwrite(0, b"header")
    again.close()
    assert (tmp_path / "some.bin").read_bytes() == b"header,one,"


def test_a_mark_looks_at_the_end_of_a_large_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "some.bin"
    file = RecordFile(path)
    file.append(bytes(3 << 20))
    mark = file.commit()
    file.close()
    for place, is_seen in ((0, False), ((2 << 20) + 1, True)):
        with path.open("r+b") as other:
            other.seek(place)
            other.write(b"x")
        if is_seen:
            with pytest.raises(LostRecordsError, match="was changed"):
                RecordFile(path, mark=mark)
        else:
            RecordFile(path, mark=mark).close()


def test_a_device_is_written_and_never_cut_back(tmp_path: Path) -> None:
    file = RecordFile(Path("/dev/null"))
    file.append(b"one")
    mark = file.commit()
    file.close()
    again = RecordFile(Path("/dev/null"), mark=mark)
    again.append(b"two")
    again.close()
    assert mark_of(Path("/dev/null")) == mark == (0, 0, 0)
