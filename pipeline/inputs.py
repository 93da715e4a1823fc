"""Who takes from whom: ``from`` of every stage, resolved; copies are stages of their own."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.config import RESERVED, PipelineConfig, StageTable
from pipeline.copies import MARK, deal_out
from pipeline.errors import ConfigError
from pipeline.registry import load_stage, nearest
from pipeline.stage import AnyStage, Sink, Source

__all__ = ["dealt", "host_of", "inputs_of", "order_of", "output_of", "stage_of", "table_of"]


def inputs_of(config: PipelineConfig) -> dict[str, tuple[str, ...]]:
    """Return the stages that each stage takes from.

    Raises:
        ConfigError: an unknown stage, or a missing or wrong input.
    """
    return _inputs(config, _by_name(config))


def dealt(
    config: PipelineConfig,
) -> tuple[dict[str, StageTable], dict[str, tuple[str, ...]]]:
    """Return the stages and what each takes from, copies as stages of their own."""
    tables = _by_name(config)
    inputs = _inputs(config, tables)
    order_of(inputs, config.path)  # a cycle would have no end
    tables, inputs = deal_out(tables, inputs, str(config.path))
    for name, sources in inputs.items():
        found = _kind(tables[name], config.path)
        place = f"{config.path}: stage.{table_of(name)}"
        if len(sources) > 1 and not found.many_inputs:
            copied = " in the place of copies" if any(MARK in source for source in sources) else ""
            remedy = f"write a table for each of them{copied}, and a {tables[name].use} behind each"
            if not issubclass(found, Sink):
                remedy = 'copies = "each" makes one of it for each of them'
            raise ConfigError(
                f"{place}.from: {tables[name].use} takes one input, got {list(sources)}; {remedy}"
            )
        if MARK in name and issubclass(found, Sink):
            remedy = "it takes from all of them, or write" if found.many_inputs else "write"
            raise ConfigError(
                f"{place}.copies: {tables[name].use} is a sink, and copies would deliver to the"
                f" same place; {remedy} a table for each"
            )
    return tables, inputs


def stage_of(source: str) -> str:
    """Return the stage of an input, which is named as ``STAGE`` or ``STAGE.OUTPUT``."""
    return source.partition(".")[0]


def table_of(name: str) -> str:
    """Return the table of a stage that may be a copy."""
    return name.partition(MARK)[0]


def host_of(table: StageTable) -> str:
    """Return where a stage, or one copy of it, runs."""
    return table.host if isinstance(table.host, str) else ""


def output_of(source: str) -> str:
    """Return the side output that an input is, "" for a main one."""
    return source.partition(".")[2]


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
    name, output = stage_of(source), output_of(source)
    if name not in kinds:
        return f"no stage '{name}'{nearest(name, kinds)}"
    outputs = kinds[name].side_outputs
    if output in outputs or source == name:
        return ""
    if not outputs:
        return f"'{name}' has no side outputs, so no '{source}'; name the stage alone"
    return f"'{name}' has no side output '{output}'{nearest(output, outputs)}"


def order_of(inputs: dict[str, tuple[str, ...]], path: Path) -> list[str]:
    """Sort so that every stage stands behind its inputs, keeping the file's order where it can."""
    done: list[str] = []
    waiting = dict(inputs)
    while waiting:
        ready = [name for name, sources in waiting.items() if {*map(stage_of, sources)} <= {*done}]
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
        name = next(one for one in map(stage_of, waiting[name]) if one in waiting)
    return name
