"""What untrained weights must be to fit a pipeline: its file says it, and what feeds them."""

from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config import PipelineConfig, StageTable, validate
from pipeline.errors import ConfigError
from pipeline.graph import ports_into
from pipeline.inputs import inputs_of
from pipeline.ports import FramesPort
from pipeline.registry import load_stage, nearest
from pipeline.stage import PortError
from stages.aggregation.aggregate import Aggregate
from stages.inference.snn import Snn, SnnConfig
from stages.sources.text import Text

__all__ = ["Fitting", "Place", "fitting", "network_place"]


class Place(NamedTuple):
    """The stage in which a pipeline runs its network."""

    name: str
    key: str
    """What a message calls it: the file and the stage."""
    config: SnnConfig


class Fitting(NamedTuple):
    """What fits the place."""

    options: dict[str, Any]
    """Options of the network, by name."""
    frames: FramesPort
    """What it is fed with."""
    made: list[Path]
    """Vocabularies that were not there, and were made of the texts that the pipeline reads."""


def network_place(config: PipelineConfig, name: str | None) -> Place:
    """Return the stage of a network.

    Args:
        config: The pipeline.
        name: Which stage; None: the only one there is.

    Raises:
        ConfigError: there is none, or several and no name.
    """
    inputs_of(config)  # every stage is known
    tables = {table.name: table for table in config.stages if issubclass(_kind(table), Snn)}
    if name is None and len(tables) > 1:
        raise ConfigError(f"{config.path}: has several networks; say --stage {' or '.join(tables)}")
    if not tables:
        raise ConfigError(f"{config.path}: has no stage that uses snn, so no weights fit it")
    if name is not None and name not in tables:
        raise ConfigError(
            f"--stage {name}: no such network in {config.path}{nearest(name, tables)}"
        )
    table = tables[name or next(iter(tables))]
    key = f"{config.path}: stage.{table.name}"
    return Place(table.name, key, validate(SnnConfig, table.options, key, config.base))


def fitting(config: PipelineConfig, place: Place) -> Fitting:
    """Return what weights must be to fit a place.

    Raises:
        ConfigError: what feeds it cannot be told, or is no frames.
    """
    made = _vocabularies(config)
    frames, *_ = ports_into(config, place.name)
    if not isinstance(frames, FramesPort):
        raise ConfigError(
            f"{place.key}.from: snn takes frames, it is given "
            f"{'nothing' if frames is None else frames.kind}"
        )
    options: dict[str, Any] = {"input_channels": frames.channels}
    if frames.height is not None and frames.width is not None:
        options["size"] = [frames.height, frames.width]
    steps = _aggregated(config, place.name) or frames.steps
    if steps is not None:
        options["steps"] = steps
    if frames.words is not None:
        options["vocabulary"] = frames.words.ids
    expected = {key: value for key, value in place.config.expects.items() if key != "network"}
    return Fitting(options | expected, frames, made)


def _aggregated(config: PipelineConfig, name: str) -> int | None:
    """Return how many steps the stage behind a network says that it takes together."""
    inputs = inputs_of(config)
    for table in config.stages:
        if name in inputs[table.name] and issubclass(_kind(table), Aggregate):
            steps = table.options.get("steps")
            if isinstance(steps, int):
                return steps
    return None


def _vocabularies(config: PipelineConfig) -> list[Path]:
    """Make the vocabularies that are not there."""
    made = []
    for table in config.stages:
        if issubclass(_kind(table), Text):
            place = f"{config.path}: stage.{table.name}"
            text = Text(table.name, validate(Text.Config, table.options, place, config.base))
            try:
                text.port()
            except PortError as error:
                if error.key == "vocabulary" and not text.config.vocabulary.exists():
                    text.learn_vocabulary()
                    made.append(text.config.vocabulary)
    return made


def _kind(table: StageTable) -> type[Any]:
    return load_stage(table.use)
