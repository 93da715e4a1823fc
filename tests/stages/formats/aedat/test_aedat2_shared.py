"""AEDAT 2.0 recordings of real cameras: our arrays are those known for them."""

from pathlib import Path

import pytest
from known import assert_as_known, recordings

from stages.formats import open_recording

pytestmark = pytest.mark.shared


@pytest.mark.parametrize("path", recordings(".aedat"), ids=lambda path: path.name)
def test_a_real_recording_is_read_as_it_is_known(path: Path) -> None:
    with open_recording(path) as reader:
        assert reader.format == "AEDAT 2.0"
    assert_as_known(path)
