"""The reference pages of the documentation, made from the code that they describe.

``python docs/reference_pages.py`` prints them; with ``--write docs/reference`` it writes them as
files. Names, types, defaults and texts come from the code itself: options of stages, data sets and
networks, sections of a recipe, the command line's functions, message headers, the error tree. So a
page cannot say what the code does not; a test holds the pages in ``docs/reference`` to what is made
here.
"""

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from api_page import api_parts
from pydantic import BaseModel

from pipeline.options import options_of, own_texts, toml_text, type_text

__all__ = ["PAGES", "SCHEMA", "main", "schema_text"]

SCHEMA = "pipeline.schema.json"
"""The JSON schema of a pipeline file, which lies beside the pages."""


def _page(title: str, *parts: str) -> str:
    note = "<!-- Made by `python docs/reference_pages.py --write docs/reference`; do not edit. -->"
    return "\n\n".join([f"# {title}", note, *(part for part in parts if part)]) + "\n"


def _text(owner: object) -> str:
    """Return a docstring as Markdown."""
    return (inspect.getdoc(owner) or "").replace("``", "`")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["-" * len(cell) for cell in head], *rows]
    cells = ([cell.replace("|", "\\|").replace("``", "`") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _options_table(config: type[BaseModel]) -> str:
    said = _entries(config, "Attributes")  # where the class says it all in one place
    rows = [
        (
            f"`{option['name']}`",
            _code(option["type"]),
            _code(option["default"]),
            option["help"] or said.get(option["name"], ""),
        )
        for option in options_of(config)
        if not _is_table(config, option["name"])
    ]
    return _table(("option", "type", "default", "meaning"), rows) if rows else "It has no options."


def _is_table(config: type[BaseModel], name: str) -> bool:
    """Tell whether an option is a section of its own, with a table of its own."""
    field = config.model_fields.get(name)
    kind = None if field is None else field.annotation
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _prose(owner: object) -> str:
    """Return a docstring as Markdown, without its sections of arguments, attributes and errors."""
    head, *_ = re.split(r"\n+(?:Args|Attributes|Raises):\n", _text(owner))
    return head


def _entries(owner: object, section: str) -> dict[str, str]:
    """Return name -> text of a section of a Google docstring."""
    found = re.search(
        rf"^{section}:\n((?:    .*\n?|\n)+)", inspect.getdoc(owner) or "", re.MULTILINE
    )
    entries = re.findall(
        r"^    (\w+): ((?:.*\n?)(?:     .*\n?)*)", found[1] if found else "", re.MULTILINE
    )
    return {name: " ".join(text.split()) for name, text in entries}


def _code(text: str) -> str:
    return text if text in ("required", "-") else f"`{text}`"


def _stages_page() -> str:
    """Render the built-in stages; what other packages add is shown by ``pipeline stages``."""
    from pipeline.config import RESERVED, StageTable
    from pipeline.registry import BUILT_IN, load_stage
    from pipeline.stage import delivery_of

    parts = [
        "Every stage that comes with the package. `pipeline stages NAME` shows the same, also of"
        " other packages that are installed. A default of `-` means: may be left out. Paths are"
        " relative to the TOML file's folder, with `--set` to the working directory.",
        *(
            part
            for name, table in RESERVED.items()
            for part in (f"## The `[{name}]` table", _text(table), _options_table(table))
        ),
        "## Keys of every `[[stage]]` table",
        "`name` is the stage's own name in the graph, `use` says which stage it is: a name from"
        ' this page, or `"module:Class"`. `from` names the stage or stages that feed it; without it'
        " the table above does. Stages of one `group` share a process. See"
        " [Place stages](../how-to/place-stages.md).",
        _options_table(StageTable),
    ]
    for name in BUILT_IN:
        stage = load_stage(name)
        takes = " or ".join(port.kind for port in stage.takes) or "nothing: it is a source"
        many = ", from one stage or from several" if stage.many_inputs else ""
        gives = get_type_hints(stage.port)["return"]
        # A union: the stage gives what it takes, whichever that is.
        passed = "what it takes" if get_args(gives) else "nothing: it is a sink"
        given = getattr(gives, "kind", passed)
        parts += [
            f"## `{name}`",
            _text(stage),
            f"Takes: {takes}{many}. Gives: {given}.{_side_outputs(stage)}",
            f"Delivers {delivery}." if (delivery := delivery_of(stage)) else "",
            _options_table(stage.Config),
        ]
    return _page("Stages", *parts)


def _side_outputs(stage: Any) -> str:
    """Return what a stage gives beside its main output, as a sentence."""
    names = " and ".join(f"`{name}`" for name in stage.side_outputs)
    return f" Side output: {names}." if names else ""


_EXPRESSIONS = {"os.cpu_count() or 1": "number of cores"}
"""Defaults that differ from machine to machine, as they stand in the code."""


def _cli_page() -> str:
    from pipeline.cli.commands import app

    parts = [
        "`pipeline COMMAND --help` shows the same on the terminal; `pipeline --version` shows the"
        " version.",
        "Exit codes: 0, done; 1, the work failed; 2, the request was wrong; 3, `check --capacity`"
        " found that it does not keep up; 130, stopped by the user.",
    ]
    commands = [("pipeline", command) for command in app.registered_commands]
    for group in app.registered_groups:
        inner = group.typer_instance
        assert inner is not None
        commands += [(f"pipeline {group.name}", command) for command in inner.registered_commands]
    for program, command in commands:
        callback = command.callback
        assert callback is not None
        rows, usage = [], [f"{program} {command.name or callback.__name__}"]
        for word, row in _parameters(callback):
            rows.append(row)
            usage.append(word)
        usage = [word for word in usage if word] + ["[OPTIONS]"]
        parts += [
            f"## `{usage[0]}`",
            f"```text\n{' '.join(usage)}\n```",
            _text(callback),
            _table(("argument", "type", "default", "meaning"), rows),
            *_examples(usage[0].removeprefix("pipeline ")),
        ]
    return _page("Command line", *parts)


def _examples(command: str) -> list[str]:
    from pipeline.cli.examples import EXAMPLES

    lines = EXAMPLES.get(command, ())
    return ["```text\n" + "\n".join(lines) + "\n```"] if lines else []


def _parameters(callback: Callable[..., Any]) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Yield the word in the usage line (none for an option) and the table row of each argument."""
    from typer.models import OptionInfo

    hints = get_type_hints(callback, include_extras=True)
    sources = _default_sources(callback)
    for name, parameter in inspect.signature(callback).parameters.items():
        hint = hints[name]
        info = next(each for each in _metadata(hint) if hasattr(each, "metavar"))
        kind = "flag" if get_args(hint)[0] is bool else f"`{type_text(hint)}`"
        if info.metavar and isinstance(info, OptionInfo):
            kind = f"`{info.metavar}`"
        limits = [f"`>= {info.min}`"] if info.min is not None else []
        required = parameter.default is inspect.Parameter.empty
        default = "required" if required else _code(toml_text(parameter.default))
        if sources.get(name) in _EXPRESSIONS:
            default = _EXPRESSIONS[sources[name]]
        if isinstance(info, OptionInfo):
            # Typer keeps the first name that an annotation gives where defaults used to stand.
            given = [info.default, *(info.param_decls or ())]
            names = [each for each in given if isinstance(each, str) and each.startswith("-")]
            shown = ", ".join(names) or f"--{name.replace('_', '-')}"
            word = ""
        else:
            shown = info.metavar or name.upper()
            word = shown if required else f"[{shown}]"
        yield word, (f"`{shown}`", ", ".join([kind, *limits]), default, info.help or "")


def _metadata(hint: Any) -> Iterable[Any]:
    """Yield what is annotated, also where the annotation is inside a union."""
    if get_origin(hint) is Annotated:
        yield from hint.__metadata__
    for part in get_args(hint):
        if get_origin(part) is not None:
            yield from _metadata(part)


def _default_sources(callback: Callable[..., Any]) -> dict[str, str]:
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(callback))).body
    assert isinstance(function, ast.FunctionDef)
    arguments = function.args.args
    with_default = arguments[len(arguments) - len(function.args.defaults) :]
    pairs = zip(with_default, function.args.defaults, strict=True)
    return {argument.arg: ast.unparse(default) for argument, default in pairs}


def _messages_page() -> str:
    from pipeline import events, messages
    from pipeline.queue import protocol

    headers = [messages.Header, messages.Data]
    headers += [
        kind for kind in vars(messages).values() if _is_kind(kind, messages.Header, headers)
    ]
    parts = [
        _text(messages),
        f"Limits: a header of {messages.MAX_HEADER_BYTES:_} bytes, a buffer of"
        f" {messages.MAX_BUFFER_BYTES:_} bytes. Names of dtypes on the wire:"
        f" {', '.join(f'`{name}`' for name in messages._DTYPES)}; all are little endian.",
        "## An event",
        _text(events),
        _table(
            ("field", "dtype", "offset"),
            [(f"`{n}`", str(f[0]), str(f[1])) for n, f in (events.EVENT.fields or {}).items()],
        ),
        f"A record has {events.EVENT.itemsize} bytes; the rest is padding. `t` is in µs, `x` is the"
        " column, `y` the row (downward), `p` is 1 for ON and 0 for OFF.",
    ]
    for header in headers:
        parts += _struct(header, headers)
    for part in (messages.Windows, messages.Span, messages.Clock):
        parts += _struct(part, headers)
    parts += ["## On a queue", _text(protocol)]
    return _page("Messages", *parts)


def _is_kind(kind: object, base: type, listed: Sequence[type]) -> bool:
    return isinstance(kind, type) and issubclass(kind, base) and kind not in listed


def _struct(struct: Any, headers: Sequence[type]) -> list[str]:
    tag = struct.__struct_config__.tag
    title = f"`{tag}`: {struct.__name__}" if "/" in str(tag) else f"`{struct.__name__}`"
    texts, own = own_texts(struct), inspect.get_annotations(struct)
    kinds = get_type_hints(struct)
    rows = [(f"`{name}`", f"`{_python_type(kinds[name])}`", texts.get(name, "")) for name in own]
    base = next((each for each in struct.__mro__[1:] if each in headers), None)
    inherited = f"It has the fields of {base.__name__}" if base is not None else ""
    if inherited:
        inherited += ", and:" if rows else " and no others."
    head = (
        ("field", "type", "meaning") if any(texts.get(name) for name in own) else ("field", "type")
    )
    table = _table(head, [row[: len(head)] for row in rows]) if rows else ""
    return [f"## {title}", _text(struct), inherited, table]


def _python_type(kind: Any) -> str:
    if isinstance(kind, type) and not get_args(kind):
        return kind.__name__
    text = re.sub(r"typing\.Optional\[(\w+)\]", r"\1 | None", str(kind))
    return text.replace("pipeline.messages.", "")


def _errors_page() -> str:
    from pipeline import errors

    summary, _, rest = (errors.__doc__ or "").partition("\n\n")
    tree, _, text = rest.partition("\n\n")
    rows = [
        (f"`{each.__name__}`", str(each.exit_code), _text(each))
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.PipelineError)
    ]
    return _page(
        "Errors",
        summary,
        f"```text\n{tree}\n```",
        text.replace("``", "`").strip(),
        _table(("error", "exit code", "meaning"), rows),
        "What the messages mean and what to do is in [When it fails](../how-to/when-it-fails.md).",
    )


def _formats_page() -> str:
    from stages.formats import FORMATS

    parts = [
        "Recordings are recognised by their content. New ones get the format that their name ends"
        " with. See [Use recordings](../how-to/recordings.md).",
    ]
    rows = []
    texts: dict[str, list[str]] = {}
    for name, form in FORMATS.items():
        endings = ", ".join(f"`{ending}`" for ending in form.endings)
        rows.append((name, endings or "-"))
        texts.setdefault(form.reader.partition(":")[0], []).append(name)
    parts.append(_table(("format", "written as"), rows))
    for module, names in texts.items():
        parts += [f"## {', '.join(names)}", _text(import_module(module))]
    return _page("Formats of recordings", *parts)


def _recipes_page() -> str:
    from models.training import recipe

    path = Path(__file__).parents[1] / "models" / "recipes"
    shipped = [f"[`{one.stem}`](../../models/recipes/{one.name})" for one in _tomls(path)]
    parts = [
        _text(recipe),
        f"Shipped: {', '.join(shipped)}. `pipeline train RECIPE --set TABLE.KEY=VALUE` overrides a"
        " value. *None* in a text below means: left out, for which `-` stands. See"
        " [Train a network](../how-to/train.md).",
    ]
    for title, section in _recipe_sections(recipe.Recipe):
        parts += [f"## `[{title}]`", _prose(section), _options_table(section)]
    return _page("Recipes", *parts)


def _recipe_sections(
    table: type[BaseModel], path: str = ""
) -> Iterable[tuple[str, type[BaseModel]]]:
    for name, field in table.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield f"{path}{name}", kind
            yield from _recipe_sections(kind, f"{path}{name}.")


def _tomls(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.toml"))


def _data_sets_page() -> str:
    from stages.datasets import DATA_SETS, load_data_set
    from stages.datasets.simulated.simulated_set import SimulatedSet

    parts = [
        "`set` in the `[data]` table of a recipe is one of these names; the options below are"
        " further keys of that table. A set lies in a folder of its name, or in `path`, below the"
        " folder that `pipeline train --data` names, `data` unless told otherwise. See"
        " [Data sets](../how-to/data-sets.md).",
    ]
    for name in DATA_SETS:
        kind = load_data_set(name)
        about = ""
        if issubclass(kind, SimulatedSet):
            about = f"Simulated: {kind.about}."
        elif not name.startswith("simulated_"):
            title, publisher, licence, layout = kind.origin
            about = _table(
                ("what to get", "from", "licence", "what must lie in the folder"),
                [(title, publisher, licence, layout)],
            )
        options = kind.Options
        parts += [
            f"## `{name}`",
            _text(inspect.getmodule(kind)),
            _prose(kind),
            about,
            _options_table(options) if options.model_fields else "",
        ]
    return _page("Data sets", *parts)


_MOST_MEMBRANES = 20


def _networks_page() -> str:
    import torch

    from models import NETWORKS, build
    from models.lif import Lif
    from models.network import Options
    from models.tau_lif import TauLif

    with torch.device("meta"):
        networks = {name: build(name) for name in NETWORKS}
    rows = [
        (
            f"[`{name}`](#{name})",
            f"{_sizes(network.input_shape)}, {network.frame}",
            str(network.options["steps"]),
            str(network.options["classes"]),
            str(network.options["mode"]),
            network.take,
            f"{sum(parameter.numel() for parameter in network.parameters()):,}",
        )
        for name, network in networks.items()
    ]
    heads = ("network", "a step", "steps", "classes", "mode", "taken together", "parameters")
    common = _entries(Options, "Attributes")
    parts = [
        "What is given below holds for the default options. `pipeline models list` shows the same"
        " table. Why networks are as they are is in [Networks](../explanation/networks.md).",
        _table(heads, rows),
        "## Options of every network",
        "They are the keys of `[network.options]` in a recipe, and of `--option` of `pipeline"
        " models`. Their defaults are those of the network; `mean` and `std` have none.",
        _table(("option", "meaning"), [(f"`{key}`", text) for key, text in common.items()]),
        "## `lif`: the neurons",
        _prose(import_module("models.neurons")).replace("::\n", ":\n"),
        _dataclass_table(Lif),
        "## `lif` of the transformer",
        _prose(import_module("models.tau_lif")).replace("::\n", ":\n"),
        _dataclass_table(TauLif),
    ]
    told: set[str] = set()
    for name, network in networks.items():
        kind = type(network)
        texts = {key: t for each in kind.__mro__ for key, t in _entries(each, "Args").items()}
        own = [
            (f"`{key}`", _code(_value(default)), texts[key])
            for key, default in kind.known_options().items()
            if key not in common
        ]
        parts.append(f"## `{name}`")
        if kind.__module__ not in told:
            told.add(kind.__module__)
            parts.append(_text(inspect.getmodule(kind)).replace("::\n", ":\n"))
        defaults = ", ".join(
            f"`{key} = {_value(value)}`" for key, value in network.options.items() if key in common
        )
        parts.append(f"Defaults: {defaults}.")
        if own:
            parts.append(_table(("option of its own", "default", "meaning"), own))
        parts.append(f"State: {_state(network.initial_state(1))}.")
    return _page("Networks", *parts)


def _dataclass_table(kind: Any) -> str:
    texts, fields = _entries(kind, "Attributes"), kind.__dataclass_fields__
    rows = [
        (f"`{name}`", _code(toml_text(field.default)), texts[name])
        for name, field in fields.items()
    ]
    return _table(("key", "default", "meaning"), rows)


def _value(value: Any) -> str:
    return "{}" if value == {} else toml_text(value)


def _sizes(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape))


def _state(state: Any) -> str:
    """Say which membranes there are; of many only how many."""
    numbers = sum(membrane.numel() for membrane in state)
    whole = f"{len(state)} membranes, {numbers:,} numbers a recording"
    if len(state) > _MOST_MEMBRANES:
        return whole
    each = ", ".join(
        f"`{n}` {_sizes(m.shape[1:])}" for n, m in zip(state._fields, state, strict=True)
    )
    return f"{each}; {whole}"


PAGES: dict[str, Callable[[], str]] = {
    "stages": _stages_page,
    "networks": _networks_page,
    "recipes": _recipes_page,
    "data-sets": _data_sets_page,
    "formats": _formats_page,
    "cli": _cli_page,
    "messages": _messages_page,
    "errors": _errors_page,
    "api": lambda: _page("Python interface", *api_parts()),
}
"""File name without ``.md`` → function that makes the page."""


def schema_text() -> str:
    """Return what `pipeline schema` prints where no other package adds stages."""
    from pipeline.registry import BUILT_IN
    from pipeline.schema import pipeline_schema

    return json.dumps(pipeline_schema(BUILT_IN), indent=1, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Print the pages named, or all; with ``--write FOLDER`` write all of them there."""
    if len(arguments) == 2 and arguments[0] == "--write":
        for name, make in PAGES.items():
            (Path(arguments[1]) / f"{name}.md").write_text(make(), encoding="utf-8")
        (Path(arguments[1]) / SCHEMA).write_text(schema_text(), encoding="utf-8")
        return
    unknown = [name for name in arguments if name not in PAGES]
    if unknown:
        sys.exit(f"no page '{unknown[0]}'; pages are {', '.join(PAGES)}, or --write FOLDER")
    print("\n".join(PAGES[name]() for name in arguments or PAGES), end="")


if __name__ == "__main__":
    # Not this module's own `main`: the classes of the package must be imported once, by one name.
    main(sys.argv[1:])
