"""``pipeline doctor``."""

import sys

from pipeline.cli.options import Json

__all__ = ["doctor"]

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(json: Json = False) -> None:
    """Look whether this machine has what pipelines need, and say what to do where it has not.

    Python and packages, folders, limits, cameras and who may open them, GPU, Lynxi's SDK. Exit
    codes: 0 nothing is missing that a run will fail of, 1 something is.
    """
    from pipeline.doctor import examine

    findings = list(examine())
    failed = any(finding.state == "fail" for finding in findings)
    if json:
        import msgspec

        told = {"ok": not failed, "findings": [finding._asdict() for finding in findings]}
        print(msgspec.json.encode(told).decode())
    else:
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False, markup=False, soft_wrap=True)
        for what, state, said, remedy in findings:
            console.print(Text.assemble((f"{state:<5}", _STYLES[state]), f"{what:<10}{said}"))
            if remedy:
                console.print(f"{'':15}→ {remedy}")
    if failed:
        sys.exit(1)
