"""Opening: formats by content, every mistake one line with place, finding and remedy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import RecordingError
from recordings import some_events, write_recording
from stages.formats import open_recording


def refusal(path: Path | str) -> str:
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


CONTENTS = {
    "nothing": (b"", "is empty (0 bytes); record or copy it again"),
    "text": (
        b"hello, this is no recording\n",
        "is of no known format: it begins with b'hello, this is n'; known formats: AEDAT4",
    ),
    "lines": (
        b"x,y\n1,2\n",
        "is of no known format: it begins with b'x,y\\n1,2\\n'; known formats: AEDAT4",
    ),
    "AEDAT 2.0": (
        b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n",
        "is an AEDAT 2.0 recording, which cannot be read yet; known formats: AEDAT4",
    ),
    "AEDAT 3.1": (
        b"#!AER-DAT3.1\r\n#Format: RAW\r\n",
        "is an AEDAT 3.1 recording, which cannot be read yet; known formats: AEDAT4",
    ),
    "AEDAT4 begun": (
        b"#!AER-DAT4.0",
        "its AEDAT4 header is damaged: it begins with b'#!AER-DAT4.0', expected"
        " b'#!AER-DAT4.0\\r\\n'; copy or record it again",
    ),
}


@pytest.mark.parametrize(("content", "text"), CONTENTS.values(), ids=CONTENTS.keys())
def test_what_is_no_recording_is_refused(content: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "named.aedat4"
    path.write_bytes(content)
    assert refusal(path) == f"{path}: {text}"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing.aedat4"
    assert refusal(missing) == f"{missing}: no such file; check the path to the recording"
    assert refusal(str(missing)) == refusal(missing)
    assert refusal(tmp_path) == f"{tmp_path}: is a folder; name a recording in it"
    below = write_recording(tmp_path / "file", some_events(10)) / "below"
    assert refusal(below) == f"{below}: cannot be read: Not a directory; check the path"
    odd = tmp_path / "odd\0"
    assert refusal(odd) == f"{odd}: cannot be read: embedded null byte; check the path"


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert refusal(pipe) == f"{pipe}: is a device or a pipe; name a file"


def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may read everything, so permissions alone would not test it everywhere.
    def refuse(self: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write_recording(tmp_path / "closed.aedat4", some_events(10))
    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(path) == f"{path}: may not be read; check its permissions"


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    with open_recording(write_recording(tmp_path / "picture.png", some_events(10))) as reader:
        assert reader.format == "AEDAT4"


def test_a_policy_that_is_none_is_refused(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "some.aedat4", some_events(10))
    with pytest.raises(ValueError, match="on_damage must be 'raise' or 'drop', got 'keep'"):
        open_recording(path, "keep")


def test_importing_loads_nothing_heavy() -> None:
    heavy = ["numba", "torch", "lz4", "zstandard", "dv_processing", "stages.formats.aedat4"]
    code = f"import sys, stages.formats; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
