"""The graph: who takes from whom, in which order, and what cannot be."""

from pathlib import Path
from typing import TypeAlias

import pytest
import worker_stages

from pipeline.config import parse_config
from pipeline.errors import ConfigError
from pipeline.graph import Edge, Graph, build_graph, ports_into
from pipeline.inputs import inputs_of
from pipeline.ports import EventsPort

Table: TypeAlias = dict[str, object]
USES = {
    "camera": "worker_stages:Noise",
    "relay": "worker_stages:Relay",
    "merge": "worker_stages:Merge",
    "tally": "worker_stages:Tally",
    "frames": "worker_stages:FrameTally",
    "mean": "aggregate",
}


def graph(*tables: Table, **run: object) -> Graph:
    """A graph of light stages; ``use`` is one of `USES`."""
    rows = []
    for table in tables:
        kind = str(table.get("use", table["name"]))
        row = {**table, "use": USES.get(kind, kind)}
        if kind in ("tally", "frames"):
            row["path"] = f"{kind}.txt"
        rows.append(row)
    return build_graph(parse_config({"run": run, "stage": rows}, Path("p.toml")))


def refusal(*tables: Table) -> str:
    with pytest.raises(ConfigError) as caught:
        graph(*tables)
    return str(caught.value)


CAMERA: Table = {"name": "camera"}
RELAY: Table = {"name": "relay"}
MERGE: Table = {"name": "merge"}
TALLY: Table = {"name": "tally"}


def joins(found: Graph) -> list[tuple[str, str]]:
    return [(edge.sender, edge.receiver) for edge in found.edges]


def test_a_stage_takes_from_the_table_above() -> None:
    found = graph(CAMERA, RELAY, TALLY)
    assert joins(found) == [("camera", "relay"), ("relay", "tally")]
    assert [node.port is None for node in found.nodes] == [False, False, True]
    assert found.edges[0].name == "camera→relay"


def test_tables_may_stand_in_any_order() -> None:
    found = graph(TALLY | {"from": "relay"}, RELAY | {"from": ["camera"]}, CAMERA)
    assert [node.name for node in found.nodes] == ["camera", "relay", "tally"]
    assert joins(found) == [("camera", "relay"), ("relay", "tally")]


def test_one_stage_may_feed_many_and_a_sink_may_take_from_many() -> None:
    found = graph(
        CAMERA,
        {"name": "left", "use": "relay", "from": "camera"},
        {"name": "right", "use": "relay", "from": "camera", "queue": 3},
        TALLY | {"from": ["right", "left"], "queue": 2},
    )
    assert found.edges == (
        Edge("camera", "left", 8),
        Edge("camera", "right", 3),
        Edge("right", "tally", 2),
        Edge("left", "tally", 2),
    )


def test_stages_of_a_group_share_a_process() -> None:
    found = graph(CAMERA | {"group": "front"}, RELAY | {"group": "front"}, TALLY)
    assert {group: [node.name for node in nodes] for group, nodes in found.groups.items()} == {
        "front": ["camera", "relay"],
        "tally": ["tally"],
    }
    assert [found.edge_scheme(edge) for edge in found.edges] == ["inproc", "ipc"]
    tcp = graph(CAMERA, RELAY, TALLY, transport="tcp")
    assert [tcp.edge_scheme(edge) for edge in tcp.edges] == ["tcp", "tcp"]


def test_a_group_may_be_called_like_a_stage_in_it() -> None:
    found = graph(CAMERA | {"group": "camera"}, RELAY | {"group": "camera"}, TALLY)
    assert list(found.groups) == ["camera", "tally"]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            (CAMERA, TALLY | {"from": "camra"}),
            "stage.tally.from: no stage 'camra'; did you mean 'camera'?",
        ),
        (
            (CAMERA | {"use": "replai"}, TALLY),
            "stage.camera.use: no stage is called 'replai'; did you mean 'replay'?",
        ),
        ((TALLY,), "stage.tally.from: is missing, and no stage stands above it"),
        ((CAMERA, TALLY | {"from": []}), "stage.tally.from: is empty; name at least one stage"),
        ((CAMERA, RELAY | {"from": []}), "stage.relay.from: is empty; name at least one stage"),
        ((CAMERA, RELAY | {"from": "relay"}), "stage.relay.from: the stages form a cycle"),
        (
            (CAMERA | {"from": "tally"}, TALLY),
            "stage.camera.from: a source has no input, got ['tally']",
        ),
        (
            (CAMERA, {"name": "b", "use": "camera"}, RELAY | {"from": ["camera", "b"]}),
            "stage.relay.from: worker_stages:Relay takes one input, got ['camera', 'b'];"
            ' copies = "each" makes one of it for each of them',
        ),
        (
            (CAMERA, TALLY | {"from": ["camera", "camera"]}),
            "stage.tally.from: names a stage twice, got ['camera', 'camera']",
        ),
        (
            (CAMERA, {"name": "mean"}, TALLY),
            "stage.mean.from: aggregate takes outputs, 'camera' gives events",
        ),
        (
            (CAMERA, TALLY, RELAY),
            "stage.relay.from: worker_stages:Relay takes events, 'tally' gives nothing",
        ),
        (
            (CAMERA, RELAY),
            'stage.relay: nobody takes its events; add a stage with from = "relay"',
        ),
        ((CAMERA, CAMERA, TALLY), "stage.camera.name: is taken by another stage; choose another"),
        (
            ({"name": "run", "use": "camera"}, TALLY),
            "stage.run.name: is reserved; choose another",
        ),
        (
            (CAMERA, RELAY | {"group": "camera"}, TALLY | {"group": "other"}),
            "stage.relay.group: 'camera' is the name of a stage; choose another",
        ),
        (
            (CAMERA, TALLY, {"name": "b", "use": "tally", "from": "camera", "evnts": 5}),
            "stage.b.evnts: unknown key; known are copies, from, group, host,"
            " name, needs, opened, opens_slowly, path, policy, queue, use",
        ),
    ],
)
def test_what_cannot_be_is_told_in_full(tables: tuple[Table, ...], message: str) -> None:
    assert refusal(*tables) == f"p.toml: {message}"


def test_a_cycle_is_named_by_a_stage_on_it() -> None:
    text = refusal(
        CAMERA,
        {"name": "behind", "use": "relay", "from": "b"},
        {"name": "a", "use": "relay", "from": "b"},
        {"name": "b", "use": "relay", "from": "a"},
        TALLY | {"from": "behind"},
    )
    assert text in {f"p.toml: stage.{name}.from: the stages form a cycle" for name in ("a", "b")}


def test_an_option_that_does_not_fit_its_input_has_its_place() -> None:
    text = refusal(
        CAMERA, {"name": "bins", "use": "time_bin", "window_us": 5, "size": [48, 64]}, TALLY
    )
    assert text == (
        "p.toml: stage.bins.size: height must be <= 24, the sensor's, got 48;"
        " bins can only be made coarser than the sensor"
    )


def test_what_feeds_a_stage_is_told_without_making_it() -> None:
    rows = [CAMERA, RELAY, {"name": "bins", "use": "time_bin"}, TALLY | {"from": "relay"}]
    tables = [
        {**row, "use": USES.get(str(row.get("use", row["name"])), "time_bin")} for row in rows
    ]
    config = parse_config({"stage": tables}, Path("p.toml"))
    assert inputs_of(config)["bins"] == ("relay",)
    assert [str(port) for port in ports_into(config, "bins")] == ["events 32×24"]
    with pytest.raises(ConfigError, match=r"p.toml: stage.bins.window_us: is required"):
        build_graph(config)


def test_a_command_that_is_advised_names_the_file_and_what_was_set() -> None:
    network = {"name": "network", "use": "snn", "weights": "none.st"}
    bins = {"name": "bins", "use": "time_bin", "window_us": 5}
    tables = {"stage": [CAMERA | {"use": USES["camera"]}, bins, network]}
    config = parse_config(tables, Path("my pipeline.toml"), ["bins.size=[12, 16]"])
    with pytest.raises(ConfigError) as caught:
        build_graph(config)
    command = "`pipeline models new --for 'my pipeline.toml' --set 'bins.size=[12, 16]'`"
    assert str(caught.value).startswith("my pipeline.toml: stage.network.weights: ")
    assert command in str(caught.value)


def test_a_file_that_one_stage_writes_belongs_to_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_stages.Tally, "writes", ("path",))
    second = {"name": "second", "use": "tally", "from": "camera"}
    assert refusal(CAMERA, TALLY, second) == (
        f"p.toml: stage.tally.path: would be written over {Path('tally.txt').resolve()},"
        " which is stage.second.path; name another file"
    )


BINS: Table = {"name": "bins", "use": "time_bin", "window_us": 10, "from": "camera"}
FRAMES: Table = {"name": "frames", "use": "frames", "from": "bins"}


TAPE: Table = {"name": "tape", "use": "record", "path": "tape.aedat4"}
CAMERAS: tuple[Table, ...] = tuple({"name": name, "use": "camera"} for name in "abcd")


def test_inputs_are_dealt_out_to_copies() -> None:
    found = graph(*CAMERAS, RELAY | {"from": [*"abcd"], "copies": "each"}, TALLY)
    assert joins(found) == [
        *((name, f"relay@{name}") for name in "abcd"),
        *((f"relay@{name}", "tally") for name in "abcd"),
    ]
    assert [node.stage.table for node in found.nodes[4:]] == ["relay"] * 4 + ["tally"]
    assert len(found.groups) == 9
    each = graph(
        *CAMERAS,
        RELAY | {"from": [*"abcd"], "copies": "each", "group": "front"},
        {"name": "second", "use": "relay", "copies": "each", "from": "relay"},
        TALLY | {"from": "second"},
    )
    assert ("relay@b", "second@b") in joins(each)
    assert len(each.groups["front"]) == 4


def test_copies_are_given_inputs_in_turn() -> None:
    found = graph(*CAMERAS, MERGE | {"from": [*"abcd"], "copies": 3}, TALLY)
    assert joins(found) == [
        ("a", "merge@1"),
        ("d", "merge@1"),
        ("b", "merge@2"),
        ("c", "merge@3"),
        *((f"merge@{k}", "tally") for k in (1, 2, 3)),
    ]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            (CAMERA | {"copies": 2}, TALLY),
            "stage.camera.copies: a source has no inputs to deal out; write a table for each",
        ),
        (
            (*CAMERAS, RELAY | {"from": ["a", "b"], "copies": 3}, TALLY),
            'stage.relay.copies: there are 2 inputs to deal out to 3 copies; at most 2, or "each"',
        ),
        (
            (*CAMERAS[:2], TALLY | {"from": ["a", "b"], "copies": "each"}),
            "stage.tally.copies: worker_stages:Tally is a sink, and copies would deliver to the"
            " same place; it takes from all of them, or write a table for each",
        ),
        (
            (*CAMERAS[:2], TAPE | {"from": ["a", "b"]}),
            "stage.tape.from: record takes one input, got ['a', 'b']; write a table for each of"
            " them, and a record behind each",
        ),
        (
            (*CAMERAS[:2], RELAY | {"from": ["a", "b"], "copies": "each"}, TAPE),
            "stage.tape.from: record takes one input, got ['relay@a', 'relay@b']; write a table for"
            " each of them in the place of copies, and a record behind each",
        ),
        (
            (*CAMERAS[:2], TAPE | {"from": ["a", "b"], "copies": "each"}),
            "stage.tape.copies: record is a sink, and copies would deliver to the same place; write"
            " a table for each",
        ),
        (
            (CAMERA, RELAY | {"copies": 0}, TALLY),
            'stage.relay.copies: must be 1 or more, or "each", got 0',
        ),
    ],
)
def test_copies_that_cannot_be_are_refused(tables: tuple[Table, ...], message: str) -> None:
    assert refusal(*tables) == f"p.toml: {message}"


def test_a_side_output_is_named_behind_a_dot() -> None:
    late = TALLY | {"from": "bins.late", "queue": 3}
    found = graph(CAMERA, BINS, FRAMES, late)
    assert found.edges[2] == Edge("bins", "tally", 3, "late")
    assert (found.edges[2].name, found.edges[2].source) == ("bins.late→tally", "bins.late")
    assert [node.stage.taken_outputs for node in found.nodes] == [set(), {"late"}, set(), set()]
    assert found.nodes[3].stage.inputs == (EventsPort(32, 24),)
    assert found.origins("tally") == {"camera"}


def test_a_side_output_that_nobody_takes_is_not_asked_for() -> None:
    found = graph(CAMERA, BINS, FRAMES)
    assert found.nodes[1].stage.taken_outputs == frozenset()
    assert len(found.edges) == 2


def test_a_side_output_may_be_taken_by_a_stage_that_stands_before_it() -> None:
    late = TALLY | {"from": ["bins.late", "camera"]}
    found = graph(late, FRAMES, BINS, CAMERA)
    assert [node.name for node in found.nodes] == ["camera", "bins", "tally", "frames"]


def test_side_outputs_that_are_none_are_refused() -> None:
    late = TALLY | {"from": "bins.lade"}
    assert refusal(CAMERA, BINS, FRAMES, late) == (
        "p.toml: stage.tally.from: 'bins' has no side output 'lade'; did you mean 'late'?"
    )
    assert refusal(CAMERA, BINS, FRAMES, TALLY | {"from": "bin.late"}) == (
        "p.toml: stage.tally.from: no stage 'bin'; did you mean 'bins'?"
    )
    assert refusal(CAMERA, TALLY | {"from": "camera.late"}) == (
        "p.toml: stage.tally.from: 'camera' has no side outputs, so no 'camera.late'; name the"
        " stage alone"
    )
    assert refusal(CAMERA, BINS, TALLY | {"from": "bins.late"}).startswith(
        "p.toml: stage.bins: nobody takes its frames"
    )
    assert refusal(CAMERA, BINS, FRAMES | {"from": "bins.late"}) == (
        "p.toml: stage.frames.from: worker_stages:FrameTally takes frames, 'bins.late' gives events"
    )


def test_inputs_are_told_for_a_side_output_too() -> None:
    tables = [CAMERA | {"use": USES["camera"]}, BINS, TALLY | {"use": USES["tally"]}]
    tables[2] = tables[2] | {"from": "bins.late"}
    config = parse_config({"stage": tables}, Path("p.toml"))
    assert inputs_of(config)["tally"] == ("bins.late",)
    assert ports_into(config, "tally") == (EventsPort(32, 24),)


def test_what_a_queue_does_when_it_is_full_is_said_where_it_ends() -> None:
    found = graph(CAMERA, RELAY, TALLY | {"policy": "drop_oldest"})
    assert [(edge.policy, edge.sheds, edge.credit) for edge in found.edges] == [
        ("block", False, 8),
        ("drop_oldest", True, 2),
    ]
    assert [node.stage.sheds for node in found.nodes] == [False, False, True]
    assert refusal(CAMERA | {"policy": "thin"}, TALLY) == (
        "p.toml: stage.camera.policy: a source has no input queue; set it where a queue may be full"
    )


def test_stages_behind_a_device_know_that_something_may_be_lost() -> None:
    found = graph(
        {"name": "device", "use": "udp", "size": [24, 32]},
        CAMERA,
        RELAY | {"from": "device"},
        TALLY | {"from": ["camera", "relay"]},
    )
    assert {node.name: node.stage.is_live for node in found.nodes} == {
        "device": True,
        "camera": False,
        "relay": True,
        "tally": True,
    }
    assert found.live == {"device"}


def test_overload_is_for_what_comes_at_a_time_of_its_own() -> None:
    sink = {"name": "sink", "use": USES["tally"], "from": "camera", "path": "tally.txt"}
    stages = [CAMERA | {"use": USES["camera"]}, sink]
    tables = {"stage": stages, "overload": {"latency_ms": 50}}
    with pytest.raises(ConfigError) as caught:
        build_graph(parse_config(tables, Path("p.toml")))
    assert str(caught.value) == (
        "p.toml: overload: 'camera' plays as fast as it can and waits for the stages, so that"
        " nothing is ever late; give it a speed, or leave [overload] out"
    )
