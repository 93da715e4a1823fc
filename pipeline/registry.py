"""Stages by name. Built-in ones are listed here; others come from installed packages.

A package adds stages through the entry-point group ``pipeline.stages``; while one is being written
``use = "module:Class"`` names it directly. Only the stages that a graph names are imported.
"""

import difflib
import importlib
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from pipeline.errors import ConfigError
from pipeline.stage import AnyStage, Source, Transform

__all__ = ["BUILT_IN", "load_stage", "nearest", "stage_names"]

BUILT_IN: dict[str, str] = {
    "replay": "stages.sources.replay:Replay",
    "dv_camera": "stages.sources.dv_camera:DvCamera",
    "dv_network": "stages.sources.dv_network:DvNetwork",
    "neuromorphic_camera": "stages.sources.neuromorphic_camera:NeuromorphicCamera",
    "udp": "stages.sources.udp:Udp",
    "text": "stages.sources.text:Text",
    "video": "stages.sources.video:Video",
    "images": "stages.sources.images:Images",
    "slices": "stages.sources.slices:Slices",
    "roi": "stages.filters.roi:Roi",
    "polarity": "stages.filters.polarity:Polarity",
    "downsample": "stages.filters.downsample:Downsample",
    "orient": "stages.filters.orient:Orient",
    "refractory": "stages.filters.refractory:Refractory",
    "background_activity": "stages.filters.background_activity:BackgroundActivity",
    "hot_pixel": "stages.filters.hot_pixel:HotPixel",
    "rate_limit": "stages.filters.rate_limit:RateLimit",
    "time_shift": "stages.filters.time_shift:TimeShift",
    "undistort": "stages.filters.undistort:Undistort",
    "time_bin": "stages.binning.time_bin:TimeBin",
    "count_bin": "stages.binning.count_bin:CountBin",
    "slice_bin": "stages.binning.slice_bin:SliceBin",
    "resize": "stages.frames.resize:Resize",
    "frame_difference": "stages.frames.frame_difference:FrameDifference",
    "steps": "stages.frames.steps:Steps",
    "snn": "stages.inference.snn:Snn",
    "ka200": "stages.ka200.stage:Ka200",
    "aggregate": "stages.aggregation.aggregate:Aggregate",
    "fault_drop": "stages.faults.drop:FaultDrop",
    "fault_duplicate": "stages.faults.duplicate:FaultDuplicate",
    "fault_reorder": "stages.faults.reorder:FaultReorder",
    "fault_delay": "stages.faults.delay:FaultDelay",
    "fault_corrupt": "stages.faults.corrupt:FaultCorrupt",
    "fault_slow": "stages.faults.slow:FaultSlow",
    "fault_kill": "stages.faults.kill:FaultKill",
    "fault_hang": "stages.faults.hang:FaultHang",
    "fault_raise": "stages.faults.fail:FaultRaise",
    "fault_full_disk": "stages.faults.full_disk:FaultFullDisk",
    "console": "stages.sinks.console:Console",
    "dashboard": "stages.sinks.dashboard:Dashboard",
    "jsonl": "stages.sinks.jsonl:JsonLines",
    "csv": "stages.sinks.csv:Csv",
    "hdf5": "stages.sinks.hdf5:Hdf5",
    "sqlite": "stages.sinks.sqlite:Sqlite",
    "record": "stages.sinks.record:Record",
}


def stage_names() -> dict[str, str]:
    """Return every known stage name and where its class is.

    Raises:
        ConfigError: two owners claim one name.
    """
    names = dict(BUILT_IN)
    for entry in _installed():
        if entry.name in names:
            raise ConfigError(
                f"stage name '{entry.name}' is claimed by {names[entry.name]} and by {entry.value};"
                " uninstall one of them"
            )
        names[entry.name] = entry.value
    return names


def load_stage(name: str) -> type[AnyStage]:
    """Import the class of a stage.

    Raises:
        ConfigError: no stage has that name, or its module cannot be imported.
    """
    target = name if ":" in name else BUILT_IN.get(name)
    if target is None:
        names = stage_names()
        if name not in names:
            raise ConfigError(f"no stage is called '{name}'{nearest(name, names)}")
        target = names[name]
    module_name, _, class_name = target.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # importing runs foreign code, which may raise anything
        raise ConfigError(f"stage '{name}' cannot be imported from {target}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Source | Transform)):
        raise ConfigError(f"{target} is not a stage: it must derive from Source or Transform")
    if not hasattr(found, "Config"):
        raise ConfigError(f"{target} is not a stage: it has no Config")
    return found


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a remedy for a mistyped word: the nearest known one, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known are {', '.join(known)}" if known else ""


def _installed() -> Iterable[EntryPoint]:
    return entry_points(group="pipeline.stages")
