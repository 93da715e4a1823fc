"""The examples: each is a pipeline that `check` accepts, and is named where examples are shown."""

from pathlib import Path

import pytest

from pipeline.config import read_config
from pipeline.graph import build_graph

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.toml"))
PAGE = DOCS / "how-to" / "write-a-file.md"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_check_accepts_it(path: Path) -> None:
    graph = build_graph(read_config(path))
    # Runs are told apart by it.
    assert graph.name == path.stem


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_editors_know_it_and_readers_find_it(path: Path) -> None:
    first, second, *_ = path.read_text().splitlines()
    assert first == "#:schema ../reference/pipeline.schema.json"
    assert second.startswith("# ")
    assert f"(../examples/{path.name})" in PAGE.read_text()
