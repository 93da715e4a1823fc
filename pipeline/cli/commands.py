"""The commands and what becomes of their errors; `pipeline.cli` imports this when it is called."""

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from pipeline import __version__
from pipeline.cli.agent import agent
from pipeline.cli.bench import bench
from pipeline.cli.cameras import cameras
from pipeline.cli.check import check
from pipeline.cli.compile import compile
from pipeline.cli.convert import convert
from pipeline.cli.doctor import doctor
from pipeline.cli.evaluate import evaluate
from pipeline.cli.examples import epilog
from pipeline.cli.fault import fault
from pipeline.cli.info import info
from pipeline.cli.init import init
from pipeline.cli.keys import keys
from pipeline.cli.models import models
from pipeline.cli.record import record
from pipeline.cli.run import run
from pipeline.cli.runs import runs
from pipeline.cli.schema import schema
from pipeline.cli.simulate import simulate
from pipeline.cli.stages import stages
from pipeline.cli.top import top
from pipeline.cli.train import train
from pipeline.cli.view import view
from pipeline.kernel_cache import provide_kernel_cache

__all__ = ["app", "call"]


def _without_type(params: list[Any]) -> list[Any]:
    """Let help show flags without a type: they take no value."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _without_type(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _without_type(super().get_params(ctx))


app = typer.Typer(
    name="pipeline",
    cls=_Group,
    help="Event cameras in, predictions of a spiking network out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _help(text: str) -> str:
    """Return a docstring as text whose lines a terminal may break where it needs to."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


_PANELS = {
    "Run and watch": (run, top, view, runs, agent),
    "Pipeline files": (init, check, fault, stages, schema, doctor),
    "Recordings and cameras": (info, convert, record, cameras, simulate),
    "Networks": (train, evaluate, compile, bench),
}
"""Commands under the headings that help shows them under."""

for panel, commands in _PANELS.items():
    for command in commands:
        app.command(
            cls=_Command,
            help=_help(command.__doc__ or ""),
            epilog=epilog(command.__name__),
            rich_help_panel=panel,
        )(command)
for name, group, panel in (("models", models, "Networks"), ("keys", keys, "Run and watch")):
    for entry in group.registered_commands:
        entry.cls = _Command
        entry.help = _help(getattr(entry.callback, "__doc__", "") or "")
        entry.epilog = epilog(f"{name} {entry.name or getattr(entry.callback, '__name__', '')}")
    app.add_typer(group, name=name, cls=_Group, rich_help_panel=panel)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pipeline {__version__}")
        raise typer.Exit


def _leave_colour_out(wanted: bool) -> None:
    if wanted:
        # Rich and the processes that are started look there, as other programs do.
        os.environ["NO_COLOR"] = "1"


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
    no_color: Annotated[
        bool,
        typer.Option(
            "--no-color",
            callback=_leave_colour_out,
            is_eager=True,
            help="Print without colour, as with NO_COLOR=1 in the environment.",
        ),
    ] = False,
) -> None:
    pass


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def call() -> None:
    """Run the command line; a user's mistake never shows a traceback."""
    # Pydantic would search every installed package for plugins, for each command anew.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    provide_kernel_cache()
    try:
        app(prog_name="pipeline")
    except BrokenPipeError:
        # The reader of our output has left, as `head` does; that is no error of the run.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        sys.exit(_explain(_of_the_user(error)))


def _of_the_user(error: Exception) -> Exception:
    """Return an error of the machine as one of ours: a full disk is no bug of anybody's."""
    from pipeline.errors import ConfigError

    if not isinstance(error, OSError) or error.strerror is None or hasattr(error, "exit_code"):
        return error
    try:
        # What could not be written is gone, so only writing again tells whether it was here.
        if error.errno in _FULL:
            os.write(sys.stdout.fileno(), b"\n")
    except OSError as full:
        # Python flushes standard output once more when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ConfigError(f"standard output cannot be written: {full.strerror}")
    if "--install-completion" in sys.argv:
        return ConfigError(
            f"--install-completion: {error.filename or Path.home()}: cannot be written:"
            f" {error.strerror}; put what --show-completion prints where your shell reads it"
        )
    return error


def _explain(error: Exception) -> int:
    import traceback

    exit_code: int | None = getattr(error, "exit_code", None)
    details: str = getattr(error, "details", "")
    if exit_code is None:
        exit_code, details = 1, "".join(traceback.format_exception(error))
        error = RuntimeError(f"unexpected {type(error).__name__}: {error}")
    for line in str(error).splitlines() or [type(error).__name__]:
        print(f"error: {line}", file=sys.stderr)
    if details:
        _keep(f"pipeline {__version__}\n{' '.join(sys.argv)}\n\n{details}")
    return exit_code


def _keep(report: str) -> None:
    """Write what a bug left behind to a file, or show it where no file can be written."""
    import tempfile

    try:
        handle, name = tempfile.mkstemp(prefix="pipeline-crash-", suffix=".txt")
        with os.fdopen(handle, "w") as file:
            file.write(report)
    except OSError:
        print(f"this is a bug; report it to whoever wrote the stage:\n{report}", file=sys.stderr)
        return
    print(f"this is a bug; report it with {name} to whoever wrote the stage", file=sys.stderr)
