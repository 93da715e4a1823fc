"""``pipeline agent``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from typer import Option

from pipeline.cli.options import File, Json, Set

__all__ = ["agent", "serve"]


def agent(
    host: Annotated[
        str, Option(metavar="HOST", help="Whose stages to run: this one's name in the file.")
    ],
    file: File = Path("pipeline.toml"),
    set_: Set = None,
    json: Json = False,
) -> None:
    """Run the stages of this host for every run that is started on another, until Ctrl-C.

    Both have the same file, except for --set, and know each other's keys (`pipeline keys`). The
    file is read anew for each run. Where a run fails, or is another, that is told, and the agent
    tries again. For a single run: `pipeline run FILE --only HOST`.
    """
    serve(file, set_ or [], host, json, forever=True)


def serve(file: Path, overrides: Sequence[str], only: str, json: bool, forever: bool) -> None:
    """Run the stages of a host, named by its name or theirs.

    Raises:
        ConfigError: there is no such host in the file, or the stages are on several.
    """
    from pipeline.config import PipelineConfig, read_config
    from pipeline.copies import hosts_of
    from pipeline.errors import ConfigError
    from pipeline.graph import Graph, build_graph
    from pipeline.hosts.agent import serve_host
    from pipeline.registry import nearest
    from pipeline.run.interrupts import Interrupts

    config = read_config(file, overrides)
    of_stage = {table.name: {host or "" for host in hosts_of(table)} for table in config.stages}
    hosts = set[str]().union(*of_stage.values()) - {""}
    asked = [{name} if name in hosts else of_stage.get(name, {name}) for name in only.split(",")]
    named = set[str]().union(*asked)
    host = named.pop()
    if named or host not in hosts:
        several = f"these stages are on several; name one of {', '.join(sorted(hosts))}"
        none = f"no stage is on it{nearest(host, hosts)}"
        raise ConfigError(f"host '{only}': {several if named else none}")

    def load() -> tuple[PipelineConfig, Graph]:
        config = read_config(file, overrides)
        # What was written here is looked at when a run begins, which knows whether it goes on.
        return config, build_graph(config, resumes=True, host=host)

    with Interrupts() as interrupts:
        prints_to = sys.stderr if json else None
        serve_host(load, host, forever, lambda: interrupts.count > 0, prints_to)
    if interrupts.count:
        sys.exit(130)
