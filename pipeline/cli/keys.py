"""``pipeline keys``: one's own key, and those of the peers that may join one's queues."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from pipeline.cli.options import Json

if TYPE_CHECKING:
    from pipeline.queue.keys import KeyFolder

__all__ = ["allow", "keys", "list_keys", "make", "revoke", "show"]

keys = typer.Typer(
    help="Make a key, show it, and say whose keys may join the tcp queues of this user.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Folder: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Where the keys lie; $XDG_CONFIG_HOME/pipeline/keys, or that in ~/.config."),
]
_Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="What the peer is called.")]


@keys.command("make")
def make(folder: _Folder = None) -> None:
    """Make a key of your own, and print its public part, which peers need to let you in."""
    print(_folder(folder).make().public.hex())


@keys.command("show")
def show(folder: _Folder = None) -> None:
    """Print the public part of your key, to be allowed on other hosts."""
    print(_folder(folder).own().public.hex())


@keys.command("allow")
def allow(
    name: _Name,
    key: Annotated[str, typer.Argument(metavar="KEY", help="What 'keys show' prints there.")],
    folder: _Folder = None,
) -> None:
    """Let a peer in by its public key; a key that it had before is forgotten."""
    _folder(folder).allow(name, key)


@keys.command("list")
def list_keys(folder: _Folder = None, json: Json = False) -> None:
    """List who is allowed, and by which key."""
    allowed = {name: key.hex() for name, key in _folder(folder).allowed().items()}
    if json:
        import msgspec

        print(msgspec.json.encode(allowed).decode())
        return
    for name, key in allowed.items():
        print(f"{key} {name}")


@keys.command("revoke")
def revoke(name: _Name, folder: _Folder = None) -> None:
    """No longer let a peer in; a connection that stands already is not cut."""
    _folder(folder).revoke(name)


def _folder(folder: Path | None) -> "KeyFolder":
    from pipeline.queue.keys import KeyFolder, keys_folder

    return KeyFolder(folder if folder is not None else keys_folder())
