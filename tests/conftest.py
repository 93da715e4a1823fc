"""What holds for all tests."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from command_line import CommandLine
from shared import SHARED

# Machines are shared and the first call compiles: time is no property of the code. The examples
# are the same in every run.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True)
hypothesis.settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason="../shared is not there"))


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of the tests leave their manifests among the tests' own files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def shared() -> Path:
    """The folder of real recordings beside the checkout."""
    return SHARED


@pytest.fixture
def command_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """``pipeline`` and its arguments, within the test's process."""
    return CommandLine(capsys, monkeypatch)
