"""What cannot be in a graph as a whole: each is refused with its place before anything starts."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import PipelineConfig, StageTable
from pipeline.errors import ConfigError
from pipeline.inputs import host_of, table_of
from pipeline.stage import PortError, Sink, Source

if TYPE_CHECKING:
    from pipeline.graph import Graph, Node

__all__ = ["check_files", "check_groups", "check_hosts", "check_in_time", "check_recordings"]


def check_hosts(config: PipelineConfig, tables: Mapping[str, StageTable]) -> None:
    """Refuse hosts that nobody can join, and groups that are on several."""
    hosts: dict[str, tuple[str, str]] = {}
    for table in tables.values():
        place = f"{config.path}: stage.{table_of(table.name)}"
        if table.host is not None and config.run.address is None:
            raise ConfigError(
                f'{place}.host: needs run.address = "ADDRESS:PORT", where the hosts join the one'
                " that runs the pipeline"
            )
        if table.host is not None and config.run.transport == "tcp":
            raise ConfigError(
                f'{config.path}: run.transport: must be "ipc" where stages have a host, got "tcp"'
            )
        own = (table_of(table.name), host_of(table))
        name, host = hosts.setdefault(table.group or table.name, own)
        if host != host_of(table) and name == table_of(table.name):
            raise ConfigError(
                f"{place}.host: a group is one process, and copies that share group"
                f" '{table.group}' would be on several hosts; leave group out, or name one host"
            )
        if host != host_of(table):
            raise ConfigError(
                f"{place}.host: is another than that of stage.{name}, with which it shares a group"
            )


def check_groups(config: PipelineConfig, tables: dict[str, StageTable]) -> None:
    """Refuse a group that is called like a stage outside it."""
    for table in config.stages:
        if table.group in tables and tables[table.group].group != table.group:
            raise ConfigError(
                f"{config.path}: stage.{table.name}.group: '{table.group}' is the name of a stage;"
                " choose another"
            )


def check_files(path: Path, nodes: "Iterable[Node]") -> None:
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


def check_in_time(path: Path, nodes: "Iterable[Node]") -> None:
    """Refuse ``[overload]`` for sources that come at no time of their own."""
    for node in nodes:
        live = node.stage.is_live
        if isinstance(node.stage, Source) and not live and not node.stage.speed:
            raise ConfigError(
                f"{path}: overload: '{node.name}' plays as fast as it can and waits for the stages,"
                " so that nothing is ever late; give it a speed, or leave [overload] out"
            )


def check_recordings(graph: "Graph") -> None:
    """Let every sink look at what lies beside the recordings that it will be told of."""
    stages = {node.name: node.stage for node in graph.nodes}
    played = {name: one.recordings() for name, one in stages.items() if isinstance(one, Source)}
    for name, stage in stages.items():
        if isinstance(stage, Sink):
            try:
                stage.check_recordings([p for o in sorted(graph.origins(name)) for p in played[o]])
            except PortError as error:
                raise ConfigError(f"{graph.path}: stage.{name}.{error.key}: {error}") from None
