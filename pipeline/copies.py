"""Copies of a stage: its inputs are dealt out to several of it, as the file asks by ``copies``.

Each copy has the options of the stage, one of its hosts in turn where they are several, and a
process of its own, unless they share a ``group``. It keeps the state of the streams that it is
dealt. Who takes from the stage takes from all copies.
"""

from collections.abc import Mapping

from pipeline.config import HOME, StageTable
from pipeline.errors import ConfigError

__all__ = ["MARK", "deal_out", "hosts_of"]

MARK = "@"
"""Stands between the name of a stage and what tells its copies apart."""


def deal_out(
    tables: Mapping[str, StageTable], inputs: Mapping[str, tuple[str, ...]], path: str
) -> tuple[dict[str, StageTable], dict[str, tuple[str, ...]]]:
    """Return tables and inputs with each copy as a stage of its own.

    Args:
        tables: the stages of a file by name.
        inputs: what each takes from; only those of its tables that have inputs may have copies.
        path: the file, for messages.

    Raises:
        ConfigError: there are fewer inputs than copies, or nothing to deal out.
    """
    names = {name: _names(name, tables, inputs, path) for name in tables}
    new_tables, new_inputs = dict[str, StageTable](), dict[str, tuple[str, ...]]()
    for name, copies in names.items():
        fed, hosts = _all(inputs[name], names), hosts_of(tables[name])
        if len(hosts) > len(copies):
            raise ConfigError(
                f"{path}: stage.{name}.host: names {len(hosts)} hosts for {len(copies)} of the"
                " stage; name fewer, or set copies"
            )
        for k, copy in enumerate(copies):
            host = hosts[k % len(hosts)]
            new_tables[copy] = tables[name].model_copy(
                update={"name": copy, "host": None if host == HOME else host}
            )
            new_inputs[copy] = fed[k :: len(copies)]
    return new_tables, new_inputs


def hosts_of(table: StageTable) -> tuple[str | None, ...]:
    """Return the hosts among which the copies of a stage are dealt out; None is the run's own."""
    return table.host if isinstance(table.host, tuple) else (table.host,)


def _all(sources: tuple[str, ...], names: Mapping[str, list[str]]) -> tuple[str, ...]:
    """Return what a stage takes from, all copies for the stage that they are of."""
    split = [source.partition(".") for source in sources]
    return tuple(f"{copy}{dot}{out}" for name, dot, out in split for copy in names[name])


def _names(
    name: str,
    tables: Mapping[str, StageTable],
    inputs: Mapping[str, tuple[str, ...]],
    path: str,
) -> list[str]:
    """Return the names of a stage's copies, its own where there is but one."""
    copies = tables[name].copies
    if copies == 1:
        return [name]
    place = f"{path}: stage.{name}.copies"
    if not inputs[name]:
        raise ConfigError(f"{place}: a source has no inputs to deal out; write a table for each")
    fed = [one for source in inputs[name] for one in _fed(source, tables, inputs, path)]
    if copies == "each":
        if len(set(fed)) < len(fed):  # two outputs of one stage
            fed = [str(k + 1) for k in range(len(fed))]
        return [f"{name}{MARK}{one}" for one in fed]
    if len(fed) < copies:
        raise ConfigError(
            f"{place}: there are {len(fed)} inputs to deal out to {copies} copies;"
            f' at most {len(fed)}, or "each"'
        )
    return [f"{name}{MARK}{k + 1}" for k in range(copies)]


def _fed(
    source: str,
    tables: Mapping[str, StageTable],
    inputs: Mapping[str, tuple[str, ...]],
    path: str,
) -> list[str]:
    """Return what tells apart the copies that an input is, or its stage where there is but one."""
    copies = _names(source.partition(".")[0], tables, inputs, path)
    return [copy.rpartition(MARK)[2] for copy in copies]
