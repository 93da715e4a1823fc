"""Heavy work over many tasks, several at a time: on this machine, or on a cluster of Ray's.

An `Engine` sends tasks to workers that hold what the tasks need (`Work`), opened once each, and
hands their results back as they come. It stands beside the runtime of streams: a stream goes
through queues of ours, a heap of recordings through an engine.
"""

from pipeline.errors import ConfigError
from stages.batch.engine import Engine
from stages.batch.work import Work

__all__ = ["ENGINES", "Engine", "Work", "engine_of"]

ENGINES = ("local", "ray")


def engine_of(name: str, address: str | None, processes: int | None) -> Engine:
    """Return an engine; nothing is started before it is used.

    Args:
        name: one of `ENGINES`.
        address: of a cluster of Ray's that is running, ``auto`` or ``HOST:PORT``; None: Ray is
            started on this machine.
        processes: how many workers; None: one for each processor.

    Raises:
        ConfigError: there is no such engine, or it is not installed.
        DeviceError: nobody answers at the address.
    """
    if name not in ENGINES:
        raise ConfigError(f"--engine: must be {' or '.join(ENGINES)}, got '{name}'")
    if name == "ray":
        from stages.batch.cluster import RayEngine

        return RayEngine(address, processes)
    if address is not None:
        raise ConfigError("--address: is of a cluster; give --engine ray with it")
    from stages.batch.local import LocalEngine

    return LocalEngine(processes)
