"""``pipeline stages``."""

from typing import Annotated, Any

import typer

from pipeline.cli.completion import stage_kinds
from pipeline.cli.options import Json

__all__ = ["stages"]


def stages(
    name: Annotated[
        str | None,
        typer.Argument(help="Show this stage and its options.", autocompletion=stage_kinds),
    ] = None,
    json: Json = False,
) -> None:
    """List the stages that can be used, or show one with its options."""
    from pipeline.registry import load_stage, stage_names

    names = [name] if name is not None else list(stage_names())
    found = [_describe(each, load_stage(each)) for each in names]
    if json:
        import msgspec

        print(msgspec.json.encode(found).decode())
    elif name is None:
        _list(found)
    else:
        _show(found[0])


def _list(found: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    kinds = {kind for stage in found for kind in stage["takes"]}
    table = Table("stage", "takes", "what it does", box=box.SIMPLE_HEAD, pad_edge=False)
    for stage in found:
        often, _, _ = (stage["delivers"] or "").partition(":")
        delivers = f" Delivers {often}." if often else ""
        takes = "anything" if kinds == {*stage["takes"]} else " or ".join(stage["takes"])
        table.add_row(stage["name"], takes, escape(stage["summary"]) + delivers)
    console = Console(highlight=False)
    console.print(table)
    console.print("pipeline stages NAME shows the options of a stage")


def _show(stage: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding
    from rich.table import Table

    console = Console(highlight=False)
    takes = " or ".join(stage["takes"]) or "nothing: a source"
    console.print(f"[bold]{stage['name']}[/bold] (takes {takes})")
    console.print(Padding(escape(stage["summary"]), (0, 0, 0, 4)))
    if stage["side_outputs"]:
        outputs = ", ".join(stage["side_outputs"])
        console.print(Padding(f"side output: {outputs}", (0, 0, 0, 4)))
    if stage["delivers"] is not None:
        console.print(Padding(f"delivers {escape(stage['delivers'])}", (0, 0, 0, 4)))
    options = Table.grid(padding=(0, 2, 0, 0))
    for option in stage["options"]:
        options.add_row(
            f"[cyan]{option['name']}[/cyan]",
            f"[dim]{escape(option['default'])}[/dim]",
            escape(option["help"]),
        )
    console.print(Padding(options, (0, 0, 0, 4)))


def _describe(name: str, stage: Any) -> dict[str, Any]:
    from pipeline.options import options_of
    from pipeline.stage import delivery_of

    return {
        "name": name,
        "summary": (stage.__doc__ or "").strip().partition("\n")[0],
        "takes": [port.kind for port in stage.takes],
        "many_inputs": stage.many_inputs,
        "side_outputs": list(stage.side_outputs),
        "delivers": delivery_of(stage),
        "options": options_of(stage.Config),
    }
