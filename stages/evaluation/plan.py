"""What of a pipeline is evaluated: the stages from its source to its decision, and no others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig, StageTable, validate
from pipeline.errors import ConfigError
from pipeline.inputs import inputs_of
from pipeline.ports import Port, PredictionsPort
from pipeline.registry import load_stage, nearest
from pipeline.stage import PortError, Sink, Source, Stage, Transform
from stages.datasets.data_set import STEPS, Item

__all__ = ["Plan", "StagePlan", "plan_of"]

_AT_ONCE = {"speed": 0, "loop": 1}
"""Options of sources, and what they are in an evaluation."""


@dataclass(frozen=True)
class StagePlan:
    """A stage, with paths that no longer depend on where it is read."""

    name: str
    use: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """The stages that each recording goes through.

    Attributes:
        path: the pipeline's file, for messages.
        source: the pipeline's own source; what it plays is replaced.
        stages: those behind it in order; the last gives the predictions.
    """

    path: Path
    source: StagePlan
    stages: tuple[StagePlan, ...]

    @property
    def decision(self) -> str:
        """Name of the stage whose predictions are evaluated."""
        return self.stages[-1].name

    def played(self, item: Item) -> Item:
        """Return an item as it is played here.

        Where its source is of the same kind as the pipeline's own, options that the item does not
        give are as the pipeline has them: the vocabulary of texts, the order of events.
        """
        table = {key: value for key, value in item.source.items() if value != STEPS}
        if table["use"] == self.source.use:
            known = load_stage(self.source.use).Config.model_fields
            neutral = {key: value for key, value in _AT_ONCE.items() if key in known}
            table = {**self.source.options, **neutral, **table}
        return item._replace(source=table)

    def build(self, port: Port | None) -> list[Transform[Any, Any]]:
        """Make the stages behind a source that gives ``port``; nothing is opened.

        Raises:
            ConfigError: they do not fit each other, or do not end in predictions.
        """
        built: list[Transform[Any, Any]] = []
        above = self.source.name
        for one in self.stages:
            stage, port = self._stage(one, above, port)
            built.append(stage)
            above = one.name
        if not isinstance(port, PredictionsPort):
            gives = "nothing" if port is None else port.kind
            raise ConfigError(
                f"{self.path}: stage.{self.decision}: gives {gives}; what is evaluated must give"
                " predictions: name such a stage with --decision"
            )
        return built

    def _stage(
        self, one: StagePlan, above: str, port: Port | None
    ) -> tuple[Transform[Any, Any], Port | None]:
        place, found = f"{self.path}: stage.{one.name}", load_stage(one.use)
        assert issubclass(found, Transform)
        if not isinstance(port, found.takes):
            gives = "nothing" if port is None else port.kind
            takes = " or ".join(kind.kind for kind in found.takes)
            raise ConfigError(f"{place}.from: {one.use} takes {takes}, '{above}' gives {gives}")
        # What can be counted beside is counted, unless it cannot be had with the other options.
        tries: list[dict[str, Any]] = [{}]
        if "statistics" in found.Config.model_fields:
            tries.insert(0, {"statistics": True})
        for number, more in enumerate(tries, start=1):
            stage = found(one.name, validate(found.Config, one.options | more, place, None), [port])
            try:
                return stage, stage.port()
            except PortError as error:
                if number == len(tries):
                    raise ConfigError(f"{place}.{error.key}: {error}") from None
        raise AssertionError


def plan_of(config: PipelineConfig, decision: str | None = None) -> Plan:
    """Return what of a pipeline is evaluated.

    Args:
        config: of the pipeline.
        decision: the stage whose predictions count; None: the only one that sinks take from.

    Raises:
        ConfigError: the stage is not there, or there are several; or what leads to it is no row of
            stages behind a source.
    """
    inputs = inputs_of(config)
    tables = {table.name: table for table in config.stages}
    kinds = {name: load_stage(table.use) for name, table in tables.items()}
    last = decision or _decision(config.path, inputs, kinds)
    if last not in tables:
        raise ConfigError(f"--decision: no stage '{last}'{nearest(last, tables)}")
    row = [last]
    while inputs[row[0]]:
        name = row[0]
        if len(inputs[name]) > 1 or "." in inputs[name][0]:
            what = " and ".join(inputs[name])
            raise ConfigError(
                f"{config.path}: stage.{name}.from: takes {what}; what is evaluated must be a row"
                " of stages, each behind the main output of one other"
            )
        row.insert(0, inputs[name][0])
    if not issubclass(kinds[row[0]], Source) or len(row) == 1:
        raise ConfigError(f"--decision: '{last}' is a source; name a stage that gives predictions")
    if issubclass(kinds[last], Sink):
        raise ConfigError(f"--decision: '{last}' is a sink; name the stage that it takes from")
    source, *others = (_absolute(tables[name], config) for name in row)
    return Plan(config.path, source, tuple(others))


def _decision(
    path: Path, inputs: Mapping[str, tuple[str, ...]], kinds: Mapping[str, type[Stage[Any]]]
) -> str:
    """Return the last of the stages from which sinks take what may be predictions."""
    taken = {
        source
        for name, kind in kinds.items()
        if issubclass(kind, Sink) and PredictionsPort in kind.takes
        for source in inputs[name]
        if "." not in source
    }
    front = {one for name in taken for one in _in_front(name, inputs)}
    found = sorted(taken - front)
    if len(found) == 1:
        return found[0]
    names = " and ".join(found) or "no stage"
    raise ConfigError(
        f"{path}: one stage that gives predictions is evaluated, and sinks take them from {names};"
        " name one with --decision"
    )


def _in_front(name: str, inputs: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Return all stages that lead to one."""
    above = {source.partition(".")[0] for source in inputs[name]}
    return above.union(*(_in_front(one, inputs) for one in above))


def _absolute(table: StageTable, config: PipelineConfig) -> StagePlan:
    """Return a stage with its options as they were meant by the file."""
    place = f"{config.path}: stage.{table.name}"
    options = validate(load_stage(table.use).Config, table.options, place, config.base)
    plain = options.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return StagePlan(table.name, table.use, plain)
