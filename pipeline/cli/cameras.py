"""``pipeline cameras``."""

from importlib import import_module
from typing import Any

from pipeline.cli.options import Json

__all__ = ["cameras"]


def cameras(json: Json = False) -> None:
    """List the cameras that are connected, and how to use each in a pipeline file."""
    found = import_module("stages.sources.cameras").connected_cameras()
    if json:
        import msgspec

        listed = [camera._asdict() for camera in found.cameras]
        told = {"cameras": listed, "looked": found.looked, "problems": found.problems}
        print(msgspec.json.encode(told).decode())
        return
    _print(found)


def _print(found: Any) -> None:
    from rich.console import Console

    # Lines are to be copied into a file: they are not wrapped, and brackets are no markup.
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for camera in found.cameras:
        name = f"{camera.model} {camera.serial}".rstrip()
        console.print(f"{name} ({camera.connection})", style="bold")
        if camera.problem:
            console.print(f"    cannot be opened: {camera.problem}")
            continue
        console.print('    [[stage]]\n    name = "camera"')
        console.print(f'    use = "{camera.use}"')
        if camera.serial:
            console.print(f'    serial = "{camera.serial}"')
    if not found.looked:
        console.print("cameras could not be looked for")
    elif not found.cameras:
        drivers = " and ".join(found.looked)
        console.print(
            f"{drivers} found no camera; plug one in, and check that you may use USB devices"
        )
    for problem in found.problems:
        console.print(f"note: {problem}")
