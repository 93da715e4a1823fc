"""``pipeline models import``, ``new`` and ``export``: weights files that no training wrote.

Networks and weights are `models`', stages are `stages`', which this package may only load by name.
"""

import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from pipeline.cli.options import Replace, Set, Size, plain, refuse_existing, size_of

__all__ = ["export", "import_checkpoint", "new"]

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


def import_checkpoint(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A checkpoint: .pth, .safetensors; or .nir.")
    ],
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

    With --as nir the file is a graph of NIR; --option origin=NAME says who wrote it: snntorch,
    norse, sinabs or spikingjelly, each of which steps its neurons in its own way.
    """
    target = out or Path(f"{os.path.splitext(file)[0]}.safetensors")
    refuse_existing(target, replace)
    names = _class_names(classes)
    options = _options(option, names)
    if network == "nir":
        built, step_us = import_module("models.interchange.nir_in").read(file, options)
        window_us = _window_us(file, step_us, window_us)
    else:
        library = import_module("models.checkpoint")
        checkpoint = library.read_checkpoint(file)
        built = library.from_checkpoint(network, checkpoint, str(file), options)
    facts = {"data": data, "accuracy": accuracy, "licence": licence}
    card = _card(built, names, size_of(size), window_us, frame, facts)
    import_module("models.weights").save(built, card, target, built.dtype)
    print(f"written: {target}")


def new(
    network: Annotated[
        str | None, typer.Argument(metavar="NETWORK", help="A network's name; --for may tell it.")
    ] = None,
    for_: Annotated[
        Path | None,
        typer.Option(
            "--for", metavar="PIPELINE.toml", help="Make what fits this pipeline, where it looks."
        ),
    ] = None,
    stage: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which of several networks of --for.")
    ] = None,
    set_: Set = None,
    out: Annotated[Path | None, typer.Option(help="The weights file to write.")] = None,
    option: _Options = None,
    classes: _Classes = None,
    window_us: _WindowUs = None,
    size: Size = None,
    frame: _Frame = None,
    seed: Annotated[int, typer.Option(help="Of the weights.")] = 0,
    replace: Replace = False,
) -> None:
    """Write untrained weights, to try a pipeline before there are trained ones.

    With --for the pipeline's file says the network, its options and the file; a vocabulary that is
    not there is made of the texts that the pipeline reads. Running statistics are taken from random
    frames, so that deep layers fire too.
    """
    library, untrained = import_module("models"), import_module("models.untrained")
    names = _class_names(classes)
    options = _options(option, names)
    if for_ is None:
        network, target = _without_pipeline(network, out, stage, set_)
        refuse_existing(target, replace)
        words = None
    else:
        from pipeline.config import read_config

        fits = import_module("stages.inference.untrained")
        config = read_config(for_, set_ or [])
        place = fits.network_place(config, stage)
        network = _network_of(place, network)
        target = out or place.config.weights
        refuse_existing(target, replace)
        fitting = fits.fitting(config, place)
        options, frames = plain(fitting.options) | options, fitting.frames
        frame = frame or frames.frame
        window_us = window_us or (frames.window_us if frames.step_us == frames.window_us else None)
        words = frames.words
        for path in fitting.made:
            print(f"written: {_near(path)}, of the pipeline's own texts")
    import_module("torch").manual_seed(seed)
    built = library.build(network, **options)
    untrained.calibrate(built, seed)
    facts = {
        "data": "none: untrained weights",
        "accuracy": f"none: untrained weights, drawn with seed {seed}",
        "licence": "none: random numbers",
    }
    card = _card(built, names, size_of(size), window_us, frame, facts, words)
    import_module("models.weights").save(built, card, target)
    print(f"written: {_near(target)}; these weights are untrained")
    silent = untrained.silent_layers(built)
    if silent:
        layers = "layer" if len(silent) == 1 else "layers"
        told = ", ".join(silent[:5]) + (", ..." if len(silent) > 5 else "")
        print(f"untrained: silent on random frames, {len(silent)} {layers}: {told}")


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A weights file, .safetensors.")],
    to: Annotated[
        Literal["nir", "onnx", "torch"], typer.Option(help="What other programs are to read.")
    ],
    out: Annotated[Path | None, typer.Option(help="The file; FILE.nir, .onnx or .pt2.")] = None,
    window_us: _WindowUs = None,
    replace: Replace = False,
) -> None:
    """Write a network for other programs.

    nir: the whole network, for neuromorphic simulators and chips, where NIR can say it exactly.
    onnx: one time step, the state goes in and comes out; `snn` runs it with engine = "onnx".
    torch: likewise, as a program of torch.export, which nothing here reads: reading one can run
    any program.
    """
    target = out or file.with_suffix({"nir": ".nir", "onnx": ".onnx", "torch": ".pt2"}[to])
    refuse_existing(target, replace)
    library = import_module("models")
    card, network = library.read_card(file), library.load(file)
    with suppress(OSError):  # which is told when the file is written
        target.parent.mkdir(parents=True, exist_ok=True)
    if to == "nir":
        writer = import_module("models.interchange.nir_out")
        writer.write(network, target, _window_us(file, card.window_us, window_us))
    else:
        writer = import_module("models.interchange.step")
        if to == "onnx":
            writer.export_onnx(network, target, writer.digest(file))
        else:
            writer.export_torch(network, target)
    print(f"written: {target}")


def _window_us(file: Path, known: int | None, given: int | None) -> int | None:
    """Return the length of a time step, of what a file says and what is given.

    Raises:
        ConfigError: The two differ.
    """
    from pipeline.errors import ConfigError

    if known is not None and given not in (None, known):
        raise ConfigError(
            f"--window-us: {file} says that a step is {known} µs, got {given}; leave it out"
        )
    return given if known is None else known


def _without_pipeline(
    network: str | None, out: Path | None, stage: str | None, set_: list[str] | None
) -> tuple[str, Path]:
    """Return the network and the file, which nothing else tells."""
    from pipeline.errors import ConfigError

    for name, given in (("--stage", stage), ("--set", set_)):
        if given:
            raise ConfigError(f"{name}: has no meaning without --for PIPELINE.toml")
    if network is None or out is None:
        missing = "NETWORK" if network is None else "--out"
        raise ConfigError(f"{missing}: is required, unless --for PIPELINE.toml tells it")
    return network, out


def _network_of(place: Any, named: str | None) -> str:
    """Return the network of a place in a pipeline.

    Raises:
        ConfigError: nobody names it, or the two that do differ.
    """
    from pipeline.errors import ConfigError

    expected: str | None = place.config.expects.get("network")
    network = named or expected
    if network is None:
        raise ConfigError(
            f"{place.key}.expects: does not say which network; add expects = {{ network = "
            '"NAME" }, or give NETWORK'
        )
    if network != (expected or network):
        raise ConfigError(f"NETWORK: {place.key}.expects asks for {expected}, got {network}")
    return network


def _card(
    network: Any,
    classes: list[str] | None,
    sensor: tuple[int, int] | None,
    window_us: int | None,
    frame: str | None,
    facts: dict[str, str],
    words: Any = None,
) -> Any:
    """Describe a network that was not trained here."""
    from pipeline import __version__
    from pipeline.errors import ConfigError

    count = network.options["classes"]
    names = classes or [f"class {k}" for k in range(count)]
    if len(names) != count:
        raise ConfigError(f"--classes: must name the network's {count} classes, got {len(names)}")
    frame_size = network.input_shape[1:]
    library = import_module("models.card")
    return library.ModelCard(
        network=network.name,
        options=network.options,
        classes=tuple(names),
        sensor_size=sensor or frame_size,
        input_size=frame_size,
        window_us=window_us,
        steps=network.options["steps"],
        frame=frame or network.frame,
        created_by=f"pipeline {__version__}",
        vocabulary=None if words is None else library.TrainedWords(words.ids, words.sha256),
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


def _near(path: Path) -> str:
    """Return a path as one would type it here, if it lies in the working directory."""
    return os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path)
