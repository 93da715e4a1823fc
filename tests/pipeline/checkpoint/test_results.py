"""What a finished run has left: put down, and held to later."""

from pathlib import Path

import pytest

from pipeline.checkpoint.results import check_results, results_of
from pipeline.config import parse_config, read_config
from pipeline.errors import CheckpointError
from pipeline.graph import Graph, build_graph

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    """A run that writes two files beside its folder, and to a device."""
    (tmp_path / "here").mkdir()
    config = read_config(REPOSITORY / "pipeline.toml")
    tables = [
        {"name": table.name, "use": table.use, **table.options} for table in config.stages[:4]
    ]
    tables[0]["path"] = str(REPOSITORY / "recordings" / "gestures_simulated.aedat4")
    tables[2]["weights"] = str(REPOSITORY / "models" / "weights" / "dvs_gesture.safetensors")
    for number, path in enumerate(("../there/one.txt", "/dev/null", "../there/two.txt")):
        tables.append({"name": f"f{number}", "use": "jsonl", "from": "decision", "path": path})
    return build_graph(parse_config({"stage": tables}, tmp_path / "here" / "p.toml"))


def test_files_are_named_from_the_pipeline_and_devices_are_left_out(
    graph: Graph, tmp_path: Path
) -> None:
    assert results_of(graph) == {}
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "one.txt").write_text("one")
    ((name, content),) = results_of(graph).items()
    assert (name, content.startswith("3 bytes, ")) == ("../there/one.txt", True)


def test_each_file_that_is_not_as_it_was_is_named(graph: Graph, tmp_path: Path) -> None:
    one, two = tmp_path / "there" / "one.txt", tmp_path / "there" / "two.txt"
    one.parent.mkdir()
    one.write_text("one")
    two.write_text("two")
    results = results_of(graph)
    check_results(results, graph)
    one.write_text("ONE!")
    with pytest.raises(CheckpointError) as caught:
        check_results(results, graph)
    said = str(caught.value)
    assert said.startswith(f"{one}: was changed since the run had come to its end (it was 3 bytes,")
    assert ", and is 4 bytes, " in said
    assert said.endswith("; put it back as it was, or start over with --fresh")
    two.unlink()
    with pytest.raises(CheckpointError, match=rf"; {two}: was removed since .*; put them back as"):
        check_results(results, graph)
