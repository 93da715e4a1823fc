"""What follows from costs: whether cameras are kept up with, what binds, and how many hosts."""

import math
from collections.abc import Callable, Mapping

import msgspec

from pipeline.capacity.costs import Costs

__all__ = ["MACHINE", "Forecast", "Load", "forecast"]

_ENDLESS_HZ = 1e12
"""More events a second than anything gives."""
_EXACT = 1e-9
MACHINE = "all cores"
"""What binds where no process does."""


class Load(msgspec.Struct, frozen=True):
    """What one process needs, or all of them together."""

    share: float
    """Cores that are needed at the rate that was asked for."""
    limit: float
    """Cores that can be had."""
    most_hz: float | None
    """The highest rate of each camera that is kept up with; None: any."""

    @property
    def keeps_up(self) -> bool:
        """Whether what is needed can be had."""
        return self.share <= self.limit


class Forecast(msgspec.Struct, frozen=True):
    """What is to be expected."""

    rate_hz: float
    """Events a second of each camera, as asked for."""
    processes: dict[str, Load]
    machine: Load
    binds: str
    """The process that will be short of time first, or `MACHINE`."""
    most_hz: float | None
    """The highest rate of each camera that the pipeline, as it is, keeps up with on one host."""
    sustained_hz: float
    """Events a second of each camera that one host gets through when that rate is offered; what it
    does not get through waits, or is given up."""
    keeps_up: bool
    """Whether it does so at the rate that was asked for, with all cameras, on one host."""
    cameras: int
    cameras_a_host: int
    """How many a host can work on; 0: not even one."""
    hosts: int | None
    """How many are needed for all cameras; None where more of them do not help."""
    copies: dict[str, int]
    """How many of each process a host with as many cameras as it can work on needs."""


def forecast(
    costs: Costs,
    rate_hz: float,
    cameras: int | None = None,
    cores: float | None = None,
    in_file: int = 1,
    shared: Mapping[str, bool] | None = None,
) -> Forecast:
    """Tell what is to be expected of a pipeline.

    Args:
        costs: what it was measured to cost.
        rate_hz: events a second of each camera.
        cameras: how many; those of the file when left out.
        cores: of each host; those of the machine that it was measured on when left out.
        in_file: how many cameras the file has, of which the costs are.
        shared: whether a process can be one for several cameras; those left out cannot.
    """
    cameras = in_file if cameras is None else cameras
    cores = costs.cores if cores is None else cores
    times = cameras / in_file
    processes = {
        name: Load(cost.share(rate_hz), cost.limit, _most(cost.share, cost.limit))
        for name, cost in costs.processes.items()
    }

    def all_share(rate_hz: float) -> float:
        # More cameras than there are in the file have their own stages in front.
        return times * sum(cost.share(rate_hz) for cost in costs.processes.values())

    room = costs.reach * cores
    machine = Load(all_share(rate_hz), room, _most(all_share, room))
    rates = {name: load.most_hz for name, load in processes.items()}
    rates[MACHINE] = machine.most_hz
    binds = min(rates, key=lambda name: math.inf if rates[name] is None else rates[name] or 0.0)
    each = machine.share / cameras
    within = all(load.keeps_up for load in processes.values())
    a_host = math.floor(room / each + 1e-9) if within and each else 0
    if not within:
        hosts = None
    elif a_host:
        hosts = math.ceil(cameras / a_host)
    else:
        hosts = cameras * math.ceil(each / room)
    on_host = min(cameras, max(1, a_host))
    copies = {
        name: max(1, math.ceil(load.share / in_file * on_host / load.limit - 1e-9))
        if (shared or {}).get(name)
        else max(1, math.ceil(on_host / in_file))
        for name, load in processes.items()
    }
    return Forecast(
        rate_hz,
        processes,
        machine,
        binds,
        rates[binds],
        rate_hz / max(1.0, *(load.share / load.limit for load in [*processes.values(), machine])),
        within and machine.keeps_up,
        cameras,
        a_host,
        hosts,
        copies,
    )


def _most(share: Callable[[float], float], limit: float) -> float | None:
    """Return the highest rate at which a share, that never falls, is within a limit; None: any."""
    if share(0.0) >= limit:
        return 0.0
    if share(_ENDLESS_HZ) <= limit:
        return None
    low_hz, high_hz = 0.0, _ENDLESS_HZ
    while high_hz - low_hz > _EXACT * high_hz:
        middle_hz = (low_hz + high_hz) / 2
        low_hz, high_hz = (middle_hz, high_hz) if share(middle_hz) <= limit else (low_hz, middle_hz)
    return low_hz
