"""``pipeline models``: the networks that can be built, and the weights files made of them.

Networks and weights are `models`', which this package may only load by name.
"""

import json
import os
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.options import Json
from pipeline.cli.weights import export, import_checkpoint, new

__all__ = ["list_networks", "models", "show"]

models = typer.Typer(
    help="List the networks; show, import and export weights; make untrained ones.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@models.command("list")
def list_networks(json: Json = False) -> None:
    """List the networks: parameters, input, steps, and the recipes and pipelines that use them."""
    rows = [*_networks()]
    if json:
        _print_json(rows)
        return
    for row in rows:
        count = f"{row['parameters'] / 1e6:.2f} M"
        shape = f"{'×'.join(map(str, row['input_shape']))} {row['frame']}"
        print(
            f"{row['network']:<22} {count:>8} {shape:<17} {row['steps']:>3} steps"
            f" {row['classes']:>4} classes {row['mode']}"
        )
        for use in ("recipes", "pipelines"):
            if row[use]:
                print(f"    {use:<9} {', '.join(Path(path).stem for path in row[use])}")
    folder = Path(str(import_module("models").__file__)).parent
    print(f"recipes and pipelines: {folder}{os.sep}{{recipes,pipelines}}{os.sep}NAME.toml")


@models.command("show")
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A weights file, .safetensors.")],
    json: Json = False,
) -> None:
    """Show the card of a weights file: what it is, what it takes, what it was trained on."""
    import msgspec

    card = msgspec.to_builtins(import_module("models").read_card(file))
    if json:
        _print_json({"path": str(file), "bytes": file.stat().st_size, **card})
        return
    print(f"{file}  {file.stat().st_size / 1e6:.2f} MB")
    options = card.pop("options")
    classes, words = card.pop("classes"), card.pop("vocabulary")
    if words is not None:
        card["vocabulary"] = f"{words['ids']} ids, sha256 {words['sha256'][:16]}…"
    pixels = "(height, width), px"
    units = {"window_us": "µs", "sensor_size": pixels, "input_size": pixels}
    for key, value in card.items():
        text = "none" if value is None else f"{_text(value)} {units.get(key, '')}"
        print(f"  {key:<13} {text}".rstrip())
    print(f"  {'classes':<13} {len(classes)}: {_few(classes)}")
    print("  options")
    for key, value in options.items():
        print(f"    {key:<15} {_text(value)}")


models.command("import")(import_checkpoint)
models.command("new")(new)
models.command("export")(export)


def _networks() -> Iterator[dict[str, Any]]:
    """Describe every network with its default options."""
    library, torch = import_module("models"), import_module("torch")
    folder = Path(str(library.__file__)).parent
    recipes = {path: _network_of(path) for path in sorted((folder / "recipes").glob("*.toml"))}
    for name in library.NETWORKS:
        with torch.device("meta"):  # nothing is drawn: only shapes are asked for
            network = library.build(name)
        own = [path for path, of in recipes.items() if of == name]
        beside = [
            folder / "pipelines" / stem
            for stem in dict.fromkeys([f"{name}.toml", *(path.name for path in own)])
        ]
        yield {
            "network": name,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "frame": network.frame,
            "input_shape": list(network.input_shape),
            "steps": network.options["steps"],
            "classes": network.options["classes"],
            "mode": network.options["mode"],
            "recipes": [str(path) for path in own],
            "pipelines": [str(path) for path in beside if path.exists()],
        }


def _network_of(recipe: Path) -> str | None:
    """Return the network that a recipe trains."""
    try:
        section = tomllib.loads(recipe.read_text()).get("network", {})
    except (OSError, tomllib.TOMLDecodeError):
        return None  # `pipeline train` says what is wrong with it
    name: str | None = section.get("name")
    return name


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _few(names: list[str], most: int = 30) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))
