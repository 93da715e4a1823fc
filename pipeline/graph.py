"""The graph: stages joined by queues, checked edge by edge before anything starts."""

import json
import os
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import RESERVED, PipelineConfig, StageTable, parse_config, validate
from pipeline.copies import MARK, deal_out, hosts_of
from pipeline.errors import ConfigError
from pipeline.ports import EventsPort, Port
from pipeline.queue.backlog import WhenFull
from pipeline.queue.overload import IN_FLIGHT, may_shed
from pipeline.registry import load_stage, nearest
from pipeline.stage import AnyStage, PortError, Sink, Source, StageConfig

__all__ = ["Edge", "Graph", "Node", "build_graph", "inputs_of", "ports_into", "without_hosts"]


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
                _stage(source),
                node.name,
                node.queue,
                _output(source),
                node.policy,
                self.overload and self._on_ladder(source),
            )
            for node in self.nodes
            for source in node.inputs
        )

    def port(self, source: str) -> Port | None:
        """Return what an input carries, named as ``from`` does."""
        (node,) = (node for node in self.nodes if node.name == _stage(source))
        return _port(node, _output(source))

    def _on_ladder(self, source: str) -> bool:
        (node,) = (node for node in self.nodes if node.name == _stage(source))
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
        return frozenset[str]().union(*(self.origins(_stage(source)) for source in node.inputs))

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
    tables, inputs = _dealt(config)
    _check_groups(config, tables)
    _check_hosts(config, tables)
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
    _check_files(path, nodes.values())
    if config.overload is not None:
        _check_in_time(path, nodes.values())
    graph = Graph(
        config.run.name,
        path,
        config.run.transport,
        tuple(nodes.values()),
        config.overload is not None,
    )
    _check_recordings(graph)
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


def inputs_of(config: PipelineConfig) -> dict[str, tuple[str, ...]]:
    """Return the stages that each stage takes from.

    Raises:
        ConfigError: an unknown stage, or a missing or wrong input.
    """
    return _inputs(config, _by_name(config))


def _dealt(
    config: PipelineConfig,
) -> tuple[dict[str, StageTable], dict[str, tuple[str, ...]]]:
    """Return the stages and what each takes from, copies as stages of their own."""
    tables = _by_name(config)
    inputs = _inputs(config, tables)
    _order(inputs, config.path)  # a cycle would have no end
    tables, inputs = deal_out(tables, inputs, str(config.path))
    for name, sources in inputs.items():
        found = _kind(tables[name], config.path)
        place = f"{config.path}: stage.{_table(name)}"
        if len(sources) > 1 and not found.many_inputs:
            raise ConfigError(
                f"{place}.from: {tables[name].use} takes one input, got {list(sources)};"
                ' copies = "each" makes one of it for each of them'
            )
        if MARK in name and issubclass(found, Sink):
            raise ConfigError(
                f"{place}.copies: {tables[name].use} is a sink, and copies would deliver to the"
                " same place; it takes from all of them, or write a table for each"
            )
    return tables, inputs


def ports_into(config: PipelineConfig, name: str) -> tuple[Port | None, ...]:
    """Return what feeds one stage, or the first of its copies.

    It, and what does not stand in front of it, is not made.

    Raises:
        ConfigError: see `build_graph`, of the stages in front of it.
    """
    tables, inputs = _dealt(config)
    name = next(one for one in inputs if _table(one) == name)
    front, new = set[str](), set(map(_stage, inputs[name]))
    while new:
        front |= new
        new = {_stage(source) for one in new for source in inputs[one]} - front
    nodes = _nodes(config, tables, {one: inputs[one] for one in inputs if one in front})
    return tuple(_port(nodes[_stage(source)], _output(source)) for source in inputs[name])


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
    for name in _order(inputs, config.path):
        ports = {one: _port(nodes[_stage(one)], _output(one)) for one in inputs[name]}
        outputs = frozenset(_output(one) for one in taken if _stage(one) == name and _output(one))
        sheds = config.overload is not None or tables[name].policy != "block"
        sheds = sheds or any(nodes[_stage(one)].stage.sheds for one in inputs[name])
        live = any(nodes[_stage(one)].stage.is_live for one in inputs[name])
        written = resumes or _host(tables[name]) != host
        nodes[name] = _make(tables[name], ports, outputs, config, written, sheds, live)
    return nodes


def _stage(source: str) -> str:
    """Return the stage of an input, which is named as ``STAGE`` or ``STAGE.OUTPUT``."""
    return source.partition(".")[0]


def _table(name: str) -> str:
    """Return the table of a stage that may be a copy."""
    return name.partition(MARK)[0]


def _host(table: StageTable) -> str:
    """Return where a stage, or one copy of it, runs."""
    return table.host if isinstance(table.host, str) else ""


def _output(source: str) -> str:
    """Return the side output that an input is, "" for a main one."""
    return source.partition(".")[2]


def _port(node: Node, output: str) -> Port | None:
    return node.stage.side_port(output) if output else node.port


def _by_name(config: PipelineConfig) -> dict[str, StageTable]:
    tables: dict[str, StageTable] = {}
    for table in config.stages:
        if table.name in tables or table.name in RESERVED:
            taken = "taken by another stage" if table.name in tables else "reserved"
            raise ConfigError(f"{config.path}: stage.{table.name}.name: is {taken}; choose another")
        tables[table.name] = table
    return tables


def _inputs(config: PipelineConfig, tables: dict[str, StageTable]) -> dict[str, tuple[str, ...]]:
    """Resolve ``from``; a transform without it takes the table above."""
    inputs: dict[str, tuple[str, ...]] = {}
    kinds = {table.name: _kind(table, config.path) for table in config.stages}
    above: str | None = None
    for table in config.stages:
        place, found = f"{config.path}: stage.{table.name}", kinds[table.name]
        sources = table.inputs
        if issubclass(found, Source):
            if sources:
                raise ConfigError(f"{place}.from: a source has no input, got {list(sources)}")
            sources = ()
        elif sources is None:
            if above is None:
                raise ConfigError(f"{place}.from: is missing, and no stage stands above it")
            sources = (above,)
        elif not sources:
            raise ConfigError(f"{place}.from: is empty; name at least one stage")
        for source in sources:
            problem = _unknown(source, kinds)
            if problem:
                raise ConfigError(f"{place}.from: {problem}")
        if len(set(sources)) != len(sources):
            raise ConfigError(f"{place}.from: names a stage twice, got {list(sources)}")
        inputs[table.name] = sources
        above = table.name
    return inputs


def _kind(table: StageTable, path: Path) -> type[AnyStage]:
    try:
        return load_stage(table.use)
    except ConfigError as error:
        raise ConfigError(f"{path}: stage.{table.name}.use: {error}") from None


def _unknown(source: str, kinds: Mapping[str, type[AnyStage]]) -> str:
    """Return why an input is nothing that could be taken, "" if it can be."""
    name, output = _stage(source), _output(source)
    if name not in kinds:
        return f"no stage '{name}'{nearest(name, kinds)}"
    outputs = kinds[name].side_outputs
    if output in outputs or source == name:
        return ""
    if not outputs:
        return f"'{name}' has no side outputs, so no '{source}'; name the stage alone"
    return f"'{name}' has no side output '{output}'{nearest(output, outputs)}"


def _order(inputs: dict[str, tuple[str, ...]], path: Path) -> list[str]:
    """Sort so that every stage stands behind its inputs, keeping the file's order where it can."""
    done: list[str] = []
    waiting = dict(inputs)
    while waiting:
        ready = [name for name, sources in waiting.items() if {*map(_stage, sources)} <= {*done}]
        if not ready:
            raise ConfigError(f"{path}: stage.{_cycle(waiting)}.from: the stages form a cycle")
        done.append(ready[0])
        del waiting[ready[0]]
    return done


def _cycle(waiting: dict[str, tuple[str, ...]]) -> str:
    """Return a stage that is on the cycle itself and not only behind it."""
    name, seen = next(iter(waiting)), set[str]()
    while name not in seen:
        seen.add(name)
        name = next(one for one in map(_stage, waiting[name]) if one in waiting)
    return name


def _check_hosts(config: PipelineConfig, tables: Mapping[str, StageTable]) -> None:
    hosts: dict[str, tuple[str, str]] = {}
    for table in tables.values():
        place = f"{config.path}: stage.{_table(table.name)}"
        if table.host is not None and config.run.address is None:
            raise ConfigError(
                f'{place}.host: needs run.address = "ADDRESS:PORT", where the hosts join the one'
                " that runs the pipeline"
            )
        if table.host is not None and config.run.transport == "tcp":
            raise ConfigError(
                f'{config.path}: run.transport: must be "ipc" where stages have a host, got "tcp"'
            )
        own = (_table(table.name), _host(table))
        name, host = hosts.setdefault(table.group or table.name, own)
        if host != _host(table):
            raise ConfigError(
                f"{place}.host: is another than that of stage.{name}, with which it shares a group"
            )


def _check_groups(config: PipelineConfig, tables: dict[str, StageTable]) -> None:
    for table in config.stages:
        if table.group in tables and tables[table.group].group != table.group:
            raise ConfigError(
                f"{config.path}: stage.{table.name}.group: '{table.group}' is the name of a stage;"
                " choose another"
            )


def _check_files(path: Path, nodes: Iterable[Node]) -> None:
    """Refuse a file that one stage writes and another reads or writes too."""
    named = [
        (os.path.realpath(file), node.name, key, key in node.stage.writes)
        for node in nodes
        for key, value in dict(node.stage.config).items()
        for file in (value if isinstance(value, list) else [value])
        if isinstance(file, Path)
    ]
    for file, name, key, written in named:
        for other_file, other, other_key, _ in named:
            # A folder may be named whose files are read.
            both = other_file in (file, os.path.dirname(file))
            if written and both and (name, key) != (other, other_key):
                raise ConfigError(
                    f"{path}: stage.{name}.{key}: would be written over {file}, which is"
                    f" stage.{other}.{other_key}; name another file"
                )


def _check_in_time(path: Path, nodes: Iterable[Node]) -> None:
    """Refuse ``[overload]`` for sources that come at no time of their own."""
    for node in nodes:
        live = node.stage.is_live
        if isinstance(node.stage, Source) and not live and not node.stage.speed:
            raise ConfigError(
                f"{path}: overload: '{node.name}' plays as fast as it can and waits for the stages,"
                " so that nothing is ever late; give it a speed, or leave [overload] out"
            )


def _check_recordings(graph: Graph) -> None:
    """Let every sink look at what lies beside the recordings that it will be told of."""
    stages = {node.name: node.stage for node in graph.nodes}
    played = {name: one.recordings() for name, one in stages.items() if isinstance(one, Source)}
    for name, stage in stages.items():
        if isinstance(stage, Sink):
            try:
                stage.check_recordings([p for o in sorted(graph.origins(name)) for p in played[o]])
            except PortError as error:
                raise ConfigError(f"{graph.path}: stage.{name}.{error.key}: {error}") from None


def _make(
    table: StageTable,
    inputs: Mapping[str, Port | None],
    taken_outputs: frozenset[str],
    config: PipelineConfig,
    resumes: bool,
    sheds: bool,
    is_live: bool,
) -> Node:
    place = f"{config.path}: stage.{_table(table.name)}"
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
        host=_host(table),
        queue=table.queue,
        policy=table.policy,
        stage=stage,
        port=port,
    )


def _for(config: PipelineConfig) -> str:
    """Return the options by which a command is told this pipeline."""
    overrides = [word for override in config.overrides for word in ("--set", override)]
    return shlex.join(["--for", str(config.path), *overrides])
