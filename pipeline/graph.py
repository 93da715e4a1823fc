"""The graph: stages joined by queues, checked edge by edge before anything starts."""

import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import PipelineConfig, StageTable, parse_config, validate
from pipeline.copies import hosts_of
from pipeline.errors import ConfigError
from pipeline.graph_checks import (
    check_files,
    check_groups,
    check_hosts,
    check_in_time,
    check_recordings,
)
from pipeline.inputs import dealt, host_of, order_of, output_of, stage_of, table_of
from pipeline.ports import EventsPort, Port
from pipeline.queue.backlog import WhenFull
from pipeline.queue.overload import IN_FLIGHT, may_shed
from pipeline.registry import load_stage
from pipeline.stage import AnyStage, PortError, Source, StageConfig

__all__ = ["Edge", "Graph", "Node", "build_graph", "ports_into", "without_hosts"]


@dataclass(frozen=True)
class Node:
    """A stage in its place."""

    name: str
    use: str
    inputs: tuple[str, ...]
    """As ``from`` names them: stages, or side outputs of stages."""
    group: str
    host: str
    """Where it runs; "" is the host that runs the pipeline."""
    queue: int
    policy: WhenFull
    stage: AnyStage
    port: Port | None


@dataclass(frozen=True)
class Edge:
    """A queue between two stages."""

    sender: str
    receiver: str
    capacity: int
    output: str = ""
    """The sender's side output that it carries, "" for its main one."""
    policy: WhenFull = "block"
    """What is done when it is full."""
    ladder: bool = False
    """Whether the steps of ``[overload]`` apply to it."""

    @property
    def sheds(self) -> bool:
        """Whether anything may be given up of what it carries."""
        return self.ladder or self.policy != "block"

    @property
    def credit(self) -> int:
        """Messages that its receiver may have; the others wait where they can still be shed."""
        return min(self.capacity, IN_FLIGHT) if self.sheds else self.capacity

    @property
    def source(self) -> str:
        """What the receiver takes from, as ``from`` names it."""
        return f"{self.sender}.{self.output}" if self.output else self.sender

    @property
    def name(self) -> str:
        """Name of the queue, also used for its socket."""
        return f"{self.source}→{self.receiver}"


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which every stage stands behind its inputs."""

    name: str
    path: Path
    transport: str
    nodes: tuple[Node, ...]
    overload: bool = False
    """Whether the file has an ``[overload]`` table."""

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All queues, in the order of their receivers."""
        return tuple(
            Edge(
                stage_of(source),
                node.name,
                node.queue,
                output_of(source),
                node.policy,
                self.overload and self._on_ladder(source),
            )
            for node in self.nodes
            for source in node.inputs
        )

    def port(self, source: str) -> Port | None:
        """Return what an input carries, named as ``from`` does."""
        (node,) = (node for node in self.nodes if node.name == stage_of(source))
        return _port(node, output_of(source))

    def _on_ladder(self, source: str) -> bool:
        (node,) = (node for node in self.nodes if node.name == stage_of(source))
        return may_shed(self.port(source), isinstance(node.stage, Source))

    @property
    def groups(self) -> dict[str, tuple[Node, ...]]:
        """Nodes by the process that runs them."""
        groups: dict[str, tuple[Node, ...]] = {}
        for node in self.nodes:
            groups[node.group] = (*groups.get(node.group, ()), node)
        return groups

    @property
    def live(self) -> frozenset[str]:
        """The sources that are live."""
        return frozenset(node.name for node in self.nodes if node.stage.is_live and not node.inputs)

    @property
    def hosts(self) -> dict[str, tuple[str, ...]]:
        """The groups that run on other hosts, by host."""
        hosts: dict[str, tuple[str, ...]] = {}
        for group, nodes in self.groups.items():
            if nodes[0].host:
                hosts[nodes[0].host] = (*hosts.get(nodes[0].host, ()), group)
        return hosts

    def host_of(self, name: str) -> str:
        """Return where a stage runs."""
        return next(node.host for node in self.nodes if node.name == name)

    def origins(self, name: str) -> frozenset[str]:
        """Return the sources that a stage's stream comes from."""
        (node,) = (node for node in self.nodes if node.name == name)
        if not node.inputs:
            return frozenset({name})
        return frozenset[str]().union(*(self.origins(stage_of(source)) for source in node.inputs))

    def edge_scheme(self, edge: Edge) -> str:
        """Return the ZeroMQ transport that joins the ends of an edge."""
        if self.host_of(edge.sender) != self.host_of(edge.receiver):
            return "tcp"
        group = {node.name: node.group for node in self.nodes}
        return "inproc" if group[edge.sender] == group[edge.receiver] else self.transport


def build_graph(config: PipelineConfig, resumes: bool = False, host: str = "") -> Graph:
    """Make every stage and check every edge.

    Args:
        config: the file.
        resumes: whether the run goes on from a checkpoint, so that it finds the files that it
            wrote.
        host: on which this is; "" is the one that runs the pipeline. Files that are written on
            others are not looked for here.

    Raises:
        ConfigError: an unknown stage or key, a missing or wrong input, a cycle, shapes or types
            that do not fit.
    """
    path = config.path
    tables, inputs = dealt(config)
    check_groups(config, tables)
    check_hosts(config, tables)
    nodes = _nodes(config, tables, inputs, resumes, host)
    fed = {source for sources in inputs.values() for source in sources}
    for name, node in nodes.items():
        if node.port is not None and name not in fed:
            raise ConfigError(
                f"{path}: stage.{name}: nobody takes its {node.port.kind};"
                f' add a stage with from = "{name}"'
            )
        if node.port is None and name in fed:
            taker = next(taker for taker, sources in inputs.items() if name in sources)
            raise ConfigError(
                f"{path}: stage.{taker}.from: '{name}' is a sink and puts nothing out"
            )
    check_files(path, nodes.values())
    if config.overload is not None:
        check_in_time(path, nodes.values())
    graph = Graph(
        config.run.name,
        path,
        config.run.transport,
        tuple(nodes.values()),
        config.overload is not None,
    )
    check_recordings(graph)
    return graph


def without_hosts(
    config: PipelineConfig, missing: Collection[str]
) -> tuple[Graph, list[str]] | None:
    """Return a pipeline whose copies run on other hosts of their lists, and all its overrides.

    None where a stage can run nowhere else.
    """
    overrides = [*config.overrides]
    for table in config.stages:
        left = [host for host in hosts_of(table) if host not in missing]
        if not left:
            return None
        if len(left) < len(hosts_of(table)):
            overrides.append(f"{table.name}.host={json.dumps(left)}")
    changed = parse_config(config.tables, config.path, overrides)
    return build_graph(changed, resumes=True), overrides


def ports_into(config: PipelineConfig, name: str) -> tuple[Port | None, ...]:
    """Return what feeds one stage, or the first of its copies.

    It, and what does not stand in front of it, is not made.

    Raises:
        ConfigError: see `build_graph`, of the stages in front of it.
    """
    tables, inputs = dealt(config)
    name = next(one for one in inputs if table_of(one) == name)
    front, new = set[str](), set(map(stage_of, inputs[name]))
    while new:
        front |= new
        new = {stage_of(source) for one in new for source in inputs[one]} - front
    nodes = _nodes(config, tables, {one: inputs[one] for one in inputs if one in front})
    return tuple(_port(nodes[stage_of(source)], output_of(source)) for source in inputs[name])


def _nodes(
    config: PipelineConfig,
    tables: dict[str, StageTable],
    inputs: dict[str, tuple[str, ...]],
    resumes: bool = False,
    host: str = "",
) -> dict[str, Node]:
    """Make stages, each behind its inputs."""
    nodes: dict[str, Node] = {}
    taken = {source for sources in inputs.values() for source in sources}
    for name in order_of(inputs, config.path):
        ports = {one: _port(nodes[stage_of(one)], output_of(one)) for one in inputs[name]}
        outputs = frozenset(output_of(one) for one in taken if stage_of(one) == name) - {""}
        sheds = config.overload is not None or tables[name].policy != "block"
        sheds = sheds or any(nodes[stage_of(one)].stage.sheds for one in inputs[name])
        live = any(nodes[stage_of(one)].stage.is_live for one in inputs[name])
        written = resumes or host_of(tables[name]) != host
        nodes[name] = _make(tables[name], ports, outputs, config, written, sheds, live)
    return nodes


def _port(node: Node, output: str) -> Port | None:
    return node.stage.side_port(output) if output else node.port


def _make(
    table: StageTable,
    inputs: Mapping[str, Port | None],
    taken_outputs: frozenset[str],
    config: PipelineConfig,
    resumes: bool,
    sheds: bool,
    is_live: bool,
) -> Node:
    place = f"{config.path}: stage.{table_of(table.name)}"
    found = load_stage(table.use)
    if table.policy != "block" and not inputs:
        raise ConfigError(
            f"{place}.policy: a source has no input queue; set it where a queue may be full"
        )
    options: StageConfig = validate(found.Config, table.options, place, config.base)
    ports = []
    for source, given in inputs.items():
        if not isinstance(given, found.takes):
            gives = "nothing" if given is None else given.kind
            takes = " or ".join(port.kind for port in found.takes)
            raise ConfigError(f"{place}.from: {table.use} takes {takes}, '{source}' gives {gives}")
        ports.append(given)
    stage: AnyStage = found(table.name, options, ports)
    stage.taken_outputs = taken_outputs
    stage.resumes = resumes
    stage.sheds = sheds
    stage.is_live = is_live
    try:
        port = stage.port()
    except PortError as error:
        text = str(error).replace("--for PIPELINE.toml", _for(config))
        raise ConfigError(f"{place}.{error.key}: {text}") from None
    if not inputs:
        stage.is_live = isinstance(port, EventsPort) and port.live
    return Node(
        name=table.name,
        use=table.use,
        inputs=tuple(inputs),
        group=table.group or table.name,
        host=host_of(table),
        queue=table.queue,
        policy=table.policy,
        stage=stage,
        port=port,
    )


def _for(config: PipelineConfig) -> str:
    """Return the options by which a command is told this pipeline."""
    overrides = [word for override in config.overrides for word in ("--set", override)]
    return shlex.join(["--for", str(config.path), *overrides])
