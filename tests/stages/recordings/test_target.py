"""What is to be written is looked at before any work is done, and without heavy imports."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.stage import PortError
from stages.formats import writable_endings
from stages.recordings.target import camera_name, check_target


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("DVXplorer DXB00010", "DVXplorer DXB00010"),
        ("/home/somebody/some.aedat4", "some.aedat4"),
        ("udp://127.0.0.1:3333", "udp://127.0.0.1:3333"),
        ("two\nlines\t", "twolines"),
        (" \n", "pipeline"),
        ("", "pipeline"),
    ],
)
def test_a_camera_s_name_is_on_one_line_and_says_no_folder(text: str, name: str) -> None:
    assert camera_name(text) == name


def test_a_compression_is_one_that_the_format_has(tmp_path: Path) -> None:
    check_target(tmp_path / "some.npz", "refuse", "deflate")
    check_target(tmp_path / "some.es", "refuse", None)
    with pytest.raises(PortError, match=r"must be one of none, deflate for NPZ, got 'lz4'"):
        check_target(tmp_path / "some.npz", "refuse", "lz4")
    with pytest.raises(PortError, match="must be left out for ES, got 'lz4'"):
        check_target(tmp_path / "some.es", "refuse", "lz4")


def test_nothing_heavy_is_loaded_for_it(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from stages.recordings.target import check_target
for ending in {list(writable_endings())}:
    check_target(Path({str(tmp_path)!r}) / f"some{{ending}}", "refuse", None)
print(*{{"numba", "h5py", "torch", "scipy", "dv_processing"}}.intersection(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
