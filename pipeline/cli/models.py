"""``pipeline models``: the networks that can be built, and the weights files made of them.

Networks and weights are `models`', which this package may only load by name.
"""

import json
import os
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from pipeline.cli.options import Json, Replace, Size, plain, refuse_existing, size_of

__all__ = ["import_checkpoint", "list_networks", "models", "new", "show"]

models = typer.Typer(
    help="List the networks, show a weights file, import a published checkpoint.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Out: TypeAlias = Annotated[Path, typer.Option(help="The weights file to write.")]
_Options: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="An option of the network, such as steps=8; may be given several times.",
    ),
]
_Classes: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="NAMES.txt", help="Names of the classes, one a line.")
]
_WindowUs: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, help="Length of a time step in µs; left out, none is asked for."),
]
_Frame: TypeAlias = Annotated[
    str | None, typer.Option(help="What a frame holds: counts, binary, bgr, tokens, ...")
]


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


@models.command("import")
def import_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint: .pth, .safetensors.")],
    network: Annotated[str, typer.Option("--as", metavar="NETWORK", help="Its network.")],
    out: Annotated[Path | None, typer.Option(help="Weights file; FILE.safetensors.")] = None,
    option: _Options = None,
    classes: _Classes = None,
    window_us: _WindowUs = None,
    size: Size = None,
    frame: _Frame = None,
    data: Annotated[str, typer.Option(help="What it was trained on.")] = "unknown",
    accuracy: Annotated[str, typer.Option(help="How often it is right, and on what.")] = "unknown",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "unknown",
    replace: Replace = False,
) -> None:
    """Turn a checkpoint with the published parameter names into a weights file with a card.

    The numbers keep their type. A checkpoint does not say how its network was built: --option says
    what differs from the defaults, such as mode=spike; head=per_step for the classifier at each
    step, as the published checkpoints of mnist_dvs, cifar10_dvs and luna16cls were trained;
    on_first=true for those of es_imagenet, which expect the ON events in channel 0.
    """
    target = out or Path(f"{os.path.splitext(file)[0]}.safetensors")
    refuse_existing(target, replace)
    library, names = import_module("models.checkpoint"), _class_names(classes)
    checkpoint = library.read_checkpoint(file)
    built = library.from_checkpoint(network, checkpoint, str(file), _options(option, names))
    facts = {"data": data, "accuracy": accuracy, "licence": licence}
    card = _card(built, names, size_of(size), window_us, frame, facts)
    import_module("models.weights").save(built, card, target, built.dtype)
    print(f"written: {target}")


@models.command("new")
def new(
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="A network's name.")],
    out: _Out,
    option: _Options = None,
    classes: _Classes = None,
    window_us: _WindowUs = None,
    size: Size = None,
    frame: _Frame = None,
    seed: Annotated[int, typer.Option(help="Of the weights.")] = 0,
    replace: Replace = False,
) -> None:
    """Write untrained weights, to try a pipeline before there are trained ones.

    Running statistics are taken from random frames, so that deep layers fire too.
    """
    refuse_existing(out, replace)
    library, untrained = import_module("models"), import_module("models.untrained")
    import_module("torch").manual_seed(seed)
    names = _class_names(classes)
    built = library.build(network, **_options(option, names))
    untrained.calibrate(built, seed)
    facts = {
        "data": "none: untrained weights",
        "accuracy": f"none: untrained weights, drawn with seed {seed}",
        "licence": "none: random numbers",
    }
    card = _card(built, names, size_of(size), window_us, frame, facts)
    import_module("models.weights").save(built, card, out)
    print(f"written: {out}; these weights are untrained")
    silent = untrained.silent_layers(built)
    if silent:
        layers = "layer" if len(silent) == 1 else "layers"
        told = _few(silent, most=5)
        print(f"untrained: silent on random frames, {len(silent)} {layers}: {told}")


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


def _card(
    network: Any,
    classes: list[str] | None,
    sensor: tuple[int, int] | None,
    window_us: int | None,
    frame: str | None,
    facts: dict[str, str],
) -> Any:
    """Describe a network that was not trained here."""
    from pipeline import __version__
    from pipeline.errors import ConfigError

    count = network.options["classes"]
    names = classes or [f"class {k}" for k in range(count)]
    if len(names) != count:
        raise ConfigError(f"--classes: must name the network's {count} classes, got {len(names)}")
    frame_size = network.input_shape[1:]
    return import_module("models").ModelCard(
        network=network.name,
        options=network.options,
        classes=tuple(names),
        sensor_size=sensor or frame_size,
        input_size=frame_size,
        window_us=window_us,
        steps=network.options["steps"],
        frame=frame or network.frame,
        created_by=f"pipeline {__version__}",
        **facts,
    )


def _options(given: list[str] | None, classes: list[str] | None) -> dict[str, Any]:
    """Read ``KEY=VALUE`` options; names of classes say how many there are."""
    from pipeline.config import value_of
    from pipeline.errors import ConfigError

    options: dict[str, Any] = {} if classes is None else {"classes": len(classes)}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--option {text}: must be KEY=VALUE, such as steps=8")
        options[key.strip()] = plain(value_of(value.strip()))
    return options


def _class_names(file: Path | None) -> list[str] | None:
    """Read names of classes, one a line."""
    if file is None:
        return None
    from pipeline.errors import ConfigError

    try:
        names = [line.strip() for line in file.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"--classes: {file} cannot be read ({reason}); check the path") from None
    if not names:
        raise ConfigError(f"--classes: {file} must have a name a line, it is empty")
    return names


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _few(names: list[str], most: int = 30) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))
