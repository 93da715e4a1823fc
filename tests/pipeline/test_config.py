"""Configuration: every mistake is named with its place, what was expected and what was found."""

import copy
from pathlib import Path
from typing import Any, Literal

import pytest

from pipeline.config import FilePath, PipelineConfig, parse_config, read_config, validate
from pipeline.errors import ConfigError
from pipeline.graph import build_graph
from pipeline.stage import StageConfig

GRAPH = """
[run]
name = "trial"

[[stage]]
name = "camera"
use = "worker_stages:Noise"
events = 500

[[stage]]
name = "tally"
use = "worker_stages:Tally"
from = "camera"
path = "tally.txt"
"""
BINS = '[[stage]]\nname = "bins"\nuse = "time_bin"\nfrom = "camera"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files are named as a user would, from the folder they are in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str, *overrides: str) -> PipelineConfig:
    path = Path("pipeline.toml")
    path.write_text(text)
    return read_config(path, overrides)


def options(text: str, stage: str, *overrides: str) -> StageConfig:
    """What the stage itself gets to see."""
    nodes = build_graph(read(text, *overrides)).nodes
    (found,) = (node.stage.config for node in nodes if node.name == stage)
    assert isinstance(found, StageConfig)
    return found


def refusal(text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        build_graph(read(text, *overrides))
    return str(caught.value)


def test_a_file_is_read_into_tables() -> None:
    config = read(GRAPH)
    assert config.run.name == "trial"
    assert config.run.transport == "ipc"
    camera, tally = config.stages
    assert (camera.name, camera.use, camera.inputs, camera.queue) == (
        "camera",
        "worker_stages:Noise",
        None,
        8,
    )
    assert camera.options == {"events": 500}
    assert tally.inputs == ("camera",)
    assert config.base == Path()


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(Path("pipelin.toml"))
    assert str(caught.value) == "pipelin.toml: no such file; name a pipeline TOML file"


def test_a_folder_is_no_file(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder; name a pipeline TOML file; to play .*"):
        read_config(folder)


def test_bytes_that_are_no_text_are_refused() -> None:
    Path("p.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"p\.toml: is no TOML file; to play a"):
        read_config(Path("p.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run", "pipeline.toml: not valid TOML: Expected ']' at the end of a table declaration"),
        ("[runn]", "pipeline.toml: runn: unknown table; did you mean 'run'?"),
        (
            "[other]",
            "pipeline.toml: other: unknown table; known are checkpoint, metrics, overload, run,"
            " stage, supervision",
        ),
        ("run = 5", "pipeline.toml: run: must be a table, got 5"),
        (
            '[stage]\nname = "a"',
            "pipeline.toml: stage: must be [[stage]] tables, got {'name': 'a'}",
        ),
        ("", "pipeline.toml: stage: there is no [[stage]] table, so there is nothing to run"),
        ('[[stage]]\nuse = "replay"', "pipeline.toml: stage.1.name: is required"),
        ('[[stage]]\nname = "a"', "pipeline.toml: stage.a.use: is required"),
        (
            '[[stage]]\nname = "a b"\nuse = "replay"',
            "pipeline.toml: stage.a b.name: must match ^[A-Za-z][A-Za-z0-9_-]{0,39}$, got 'a b'",
        ),
        (
            '[[stage]]\nname = "a"\nuse = "replay"\nqueue = 0',
            "pipeline.toml: stage.a.queue: must be >= 1, got 0",
        ),
        (
            '[[stage]]\nname = "a"\nuse = "replay"\nqueue = 10001',
            "pipeline.toml: stage.a.queue: must be <= 10000, got 10001",
        ),
        (
            '[[stage]]\nname = "a"\nuse = "replay"\nqueue = "many"',
            "pipeline.toml: stage.a.queue: must be a whole number, got 'many'",
        ),
        (
            '[[stage]]\nname = "a"\nuse = "replay"\nqueue = true',
            "pipeline.toml: stage.a.queue: must be a whole number, got True",
        ),
        (
            '[[stage]]\nname = "a"\nuse = "replay"\nfrom = 5',
            "pipeline.toml: stage.a.from: must be a list, got 5",
        ),
        (
            '[[stage]]\nname = "a"\nuse = "replay"\nfrom = [5]',
            "pipeline.toml: stage.a.from.0: must be a text, got 5",
        ),
        (
            '[run]\ntransprot = "ipc"\n[[stage]]\nname = "a"\nuse = "replay"',
            "pipeline.toml: run.transprot: unknown key; did you mean 'transport'?",
        ),
    ],
)
def test_a_mistake_in_the_file_is_told_in_full(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("window_us = -5", "must be > 0, got -5"),
        ("window_us = 3_600_000_001", "must be <= 3600000000, got 3600000001"),
        ("window_us = 2.5", "must be a whole number, got 2.5"),
        ('window_us = "long"', "must be a whole number, got 'long'"),
        ("", "is required"),
    ],
)
def test_a_wrong_option_is_told_in_full(keys: str, message: str) -> None:
    assert refusal(GRAPH + BINS + keys) == f"pipeline.toml: stage.bins.window_us: {message}"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (f"origin_us={10**30}", f"must be < {2**62}, got {10**30}"),
        (f"origin_us=-{2**62}", f"must be > -{2**62}, got -{2**62}"),
        (f"max_gap_us={10**30}", f"must be <= {2**61}, got {10**30}"),
    ],
)
def test_a_time_beyond_all_event_times_is_refused(setting: str, message: str) -> None:
    key = setting.partition("=")[0]
    text = refusal(GRAPH + BINS + "window_us = 5", f"bins.{setting}")
    assert text == f"pipeline.toml: stage.bins.{key}: {message}"


@pytest.mark.parametrize(
    ("keys", "messages"),
    [
        ("size = [40, true]", ["stage.bins.size.1: must be a whole number, got True"]),
        (
            'size = ["40", "40"]',
            [
                "stage.bins.size.0: must be a whole number, got '40'",
                "stage.bins.size.1: must be a whole number, got '40'",
            ],
        ),
    ],
)
def test_within_a_list_too_only_numbers_are_numbers(keys: str, messages: list[str]) -> None:
    text = refusal(GRAPH + BINS + "window_us = 5\n" + keys)
    assert text.splitlines() == [f"pipeline.toml: {message}" for message in messages]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("~nosuch/x", "there is no home folder ~nosuch; name the folder itself, got '~nosuch/x'"),
        ("", "must not be empty, got ''"),
        ("a\\u0000b", r"must not hold a NUL character, got 'a\x00b'"),
    ],
)
def test_a_path_that_can_be_none_is_refused(path: str, message: str) -> None:
    expected = f"pipeline.toml: stage.tally.path: {message}"
    assert refusal(GRAPH, f'tally.path="{path}"') == expected
    assert refusal(GRAPH.replace("tally.txt", path)) == expected


def test_an_unknown_option_offers_the_nearest() -> None:
    text = refusal(GRAPH + BINS + "window_us = 5\nwindow_ms = 5")
    assert text == ("pipeline.toml: stage.bins.window_ms: unknown key; did you mean 'window_us'?")


def test_the_inner_name_of_from_is_no_key() -> None:
    text = refusal(GRAPH.replace("from =", "inputs ="))
    assert text.startswith("pipeline.toml: stage.tally.inputs: unknown key; ")


def test_each_mistake_has_a_line_of_its_own() -> None:
    text = refusal(GRAPH + BINS + "size = [1, 2, 3]\nwindow_us = 0\nboxes = 1")
    assert text.splitlines() == [
        "pipeline.toml: stage.bins.size: must have 2 values, got [1, 2, 3]",
        "pipeline.toml: stage.bins.window_us: must be > 0, got 0",
        "pipeline.toml: stage.bins.boxes: unknown key; known are bins, copies, frame, from, group,"
        " host, max_gap_us, memory, name, origin_us, policy, queue, size, step_us, tau_us, use,"
        " window_us",
    ]


class Everything(StageConfig):
    number: float = 0.0
    flag: bool = False
    text: str = ""
    pair: tuple[int, int] = (0, 0)
    table: dict[str, int] | None = None
    numbers: tuple[float, ...] = ()
    rows: list[tuple[int, bool, str]] | None = None
    choice: int | Literal["auto"] = 0
    anything: Any = None
    file: FilePath = Path()
    files: tuple[FilePath, ...] = ()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("number", "much", "p: number: must be a number, got 'much'"),
        ("flag", 7, "p: flag: must be true or false, got 7"),
        ("text", 7, "p: text: must be a text, got 7"),
        ("pair", 7, "p: pair: must be a list, got 7"),
        ("table", 7, "p: table: must be a table, got 7"),
        ("file", 7, "p: file: must be a path, got 7"),
    ],
)
def test_a_value_of_the_wrong_type_is_told_in_full(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Everything, {key: value}, "p:", None)
    assert str(caught.value).replace("p:.", "p: ") == message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("choice", True, "p.choice: must be a whole number, got True"),
        ("table", {"a": 1, "b": True}, "p.table.b: must be a whole number, got True"),
        ("numbers", [0.5, "1"], "p.numbers.1: must be a number, got '1'"),
        ("rows", [[1, True, "x"], ["2", True, "x"]], "p.rows.1.0: must be a whole number, got '2'"),
    ],
)
def test_no_text_and_no_flag_is_taken_for_a_number(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Everything, {key: value}, "p", None)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("choice", "auto"),
        ("table", {"a": 1}),
        ("numbers", [1, 2.5]),
        ("rows", [[1, True, "2"]]),
        ("anything", ["1", True]),
    ],
)
def test_texts_and_flags_where_they_belong_are_taken(key: str, value: Any) -> None:
    assert key in validate(Everything, {key: value}, "p", None).model_fields_set


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("camera.events=7", "events", 7),
        ("stage.camera.events = 7", "events", 7),
        ("camera.endless=true", "endless", True),
        ("camera.events=1_000", "events", 1_000),
    ],
)
def test_a_value_can_be_set_on_the_command_line(override: str, key: str, value: object) -> None:
    assert getattr(options(GRAPH, "camera", override), key) == value


def test_the_last_of_several_settings_holds() -> None:
    found = options(GRAPH, "camera", "camera.events=7", "camera.events=8")
    assert found.model_dump()["events"] == 8


@pytest.mark.parametrize("text", ["tcp", '"tcp"', "'tcp'"])
def test_a_text_needs_no_quotes(text: str) -> None:
    assert read(GRAPH, f"run.transport={text}").run.transport == "tcp"


@pytest.mark.parametrize("text", ["tally", '["tally"]'])
def test_inputs_can_be_set(text: str) -> None:
    assert read(GRAPH, f"tally.from={text}").stages[1].inputs == ("tally",)


def test_a_key_within_a_table_can_be_set() -> None:
    tables = {"stage": [{"name": "a", "use": "x", "grid": {"rows": 1, "columns": 2}}]}
    before = copy.deepcopy(tables)
    config = parse_config(tables, Path("p.toml"), ["a.grid.rows=5", "a.colours.red=1"])
    assert config.stages[0].options == {
        "grid": {"rows": 5, "columns": 2},
        "colours": {"red": 1},
    }
    assert config.tables == tables == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("camera.events", "must be STAGE.KEY=VALUE or run.KEY=VALUE"),
        ("camera=5", "must be STAGE.KEY=VALUE or run.KEY=VALUE"),
        ("=5", "must be STAGE.KEY=VALUE or run.KEY=VALUE"),
        ("camera..x=5", "must be STAGE.KEY=VALUE or run.KEY=VALUE"),
        ("camra.events=5", "no stage 'camra'; did you mean 'camera'?"),
        (
            "zzz.events=5",
            "no stage 'zzz'; known are camera, checkpoint, metrics, overload, run, supervision,"
            " tally",
        ),
        ("camera.events.most=5", "'events' is not a table"),
    ],
)
def test_a_wrong_setting_is_told_in_full(override: str, message: str) -> None:
    assert refusal(GRAPH, override) == f"--set {override}: {message}"


def test_a_wrong_value_on_the_command_line_is_told_as_one_in_the_file() -> None:
    text = refusal(GRAPH + BINS + "window_us = 5", "bins.window_us=-5")
    assert text == "pipeline.toml: stage.bins.window_us: must be > 0, got -5"


def test_paths_start_at_the_file_and_on_the_command_line_where_the_user_is(folder: Path) -> None:
    (folder / "sub").mkdir()
    path = folder / "sub" / "p.toml"
    path.write_text(GRAPH)

    def tally(*overrides: str) -> Path:
        found = build_graph(read_config(path, overrides)).nodes[-1].stage.config
        return Path(found.model_dump()["path"])

    assert tally() == folder / "sub" / "tally.txt"
    assert tally("tally.path=other.txt") == folder / "other.txt"
    assert tally('tally.path="../other.txt"') == folder.parent / "other.txt"
    assert tally("tally.path=/tmp/other.txt") == Path("/tmp/other.txt")
    assert tally("tally.path=~/other.txt") == Path.home() / "other.txt"


def test_paths_in_a_list_on_the_command_line_start_where_the_user_is(folder: Path) -> None:
    tables = {"stage": [{"name": "a", "use": "x", "files": ["in.txt"]}]}
    for overrides, base in (([], Path("/data")), (['a.files=["in.txt"]'], folder)):
        table = parse_config(tables, Path("/data/p.toml"), overrides).stages[0]
        found = validate(Everything, table.options, "p", Path("/data"))
        assert found.files == (base / "in.txt",)
