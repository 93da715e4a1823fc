"""A pipeline file made of a few answers: where events come from, which network, where results go.

The text is meant to be read and changed; it says what the most useful keys do.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ConfigError
from pipeline.registry import nearest

__all__ = ["LIVE", "NO_NETWORK", "SINKS", "Answers", "Network", "file_text", "sinks_of"]

NO_NETWORK = "none"
"""The answer of who wants events alone, and no predictions."""

LIVE: dict[str, str] = {
    "dv_camera": '# serial = "DXA00093"                    # the first camera when left out\n',
    "neuromorphic_camera": '# serial = "00050423"                    # the first when left out\n',
    "dv_network": "port = 7777                              # of the program that sends\n",
    "udp": "port = 3333\nsize = [480, 640]                        # height, width of the sensor\n",
}
"""Sources that are no recording, and what stands in the file for them."""

SINKS: dict[str, str] = {
    "screen": 'use = "console"                          # ✓ or ✗ where labels are known\n',
    "dashboard": 'use = "dashboard"\n',
    "jsonl": 'use = "jsonl"\npath = "out/{name}.jsonl"\n',
    "csv": 'use = "csv"\npath = "out/{name}.csv"\n',
    "hdf5": 'use = "hdf5"\npath = "out/{name}.h5"\n',
    "sqlite": 'use = "sqlite"\npath = "out/{name}.db"\n',
    "record": 'use = "record"\npath = "out/{name}.aedat4"\nif_exists = "number"\n',
}
"""Where results go, and what stands in the file for it; ``record`` keeps events."""


class Network(NamedTuple):
    """What a network takes, as its card says."""

    weights: Path
    window_us: int
    size: tuple[int, int]
    """(height, width) in pixels."""
    steps: int
    """How many make a prediction."""


class Answers(NamedTuple):
    """What a pipeline is to do."""

    name: str
    source: str
    """One of `LIVE`, or recordings: a file, a folder or a pattern."""
    network: Network | None
    sinks: tuple[str, ...]


def sinks_of(text: str, has_network: bool) -> tuple[str, ...]:
    """Return the sinks that a list with commas names.

    Raises:
        ConfigError: there is no such sink, or it needs predictions that nobody makes.
    """
    names = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not names:
        raise ConfigError(f"--to: names nothing; choose of {', '.join(SINKS)}")
    for name in names:
        if name not in SINKS:
            raise ConfigError(f"--to: there is no '{name}'{nearest(name, SINKS)}")
        if name != "record" and not has_network:
            raise ConfigError(
                f"--to: '{name}' takes predictions, which need a network; give --network, or --to"
                " record"
            )
    return names


def file_text(answers: Answers, folder: Path) -> str:
    """Return the text of the file.

    Args:
        answers: what it is to do.
        folder: where the file will lie; its paths are relative to that.
    """
    parts = [
        "# Made by `pipeline init`. `pipeline check` shows what it makes, `pipeline stages NAME`\n"
        "# every option of a stage.\n",
        f"[run]\nname = {_text(answers.name)}\n",
        _stage("camera", _source(answers.source, folder)),
        *(() if answers.network is None else _stages_of(answers.network, folder)),
    ]
    for sink in answers.sinks:
        taken = "camera" if sink == "record" else "decision"
        lines = SINKS[sink].format(name=answers.name)
        parts.append(_stage(sink, lines + f"from = {_text(taken)}\n"))
    return "\n".join(parts)


def _source(source: str, folder: Path) -> str:
    if source in LIVE:
        return f'use = "{source}"\n{LIVE[source]}'
    path = _text(_relative(Path(source), folder))
    return (
        f'use = "replay"\npath = {path}\n'
        "speed = 0                                # as fast as possible; 1 is real time\n"
    )


def _stages_of(network: Network, folder: Path) -> Iterable[str]:
    weights = _text(_relative(network.weights, folder))
    bins = f'use = "time_bin"\nwindow_us = {network.window_us:_}\nsize = {[*network.size]}\n'
    yield _stage("bins", bins)
    yield _stage("network", f'use = "snn"\nweights = {weights}\n')
    said = f"# of each {network.steps} windows a prediction"
    yield _stage("decision", f'use = "aggregate"                        {said}\n')


def _stage(name: str, lines: str) -> str:
    return f"[[stage]]\nname = {_text(name)}\n{lines}"


def _relative(path: Path, folder: Path) -> str:
    """Name what lies below the file's folder from there, so that both can be moved."""
    whole = Path(os.path.abspath(path.expanduser()))
    home = Path(os.path.abspath(folder))
    return str(whole.relative_to(home)) if whole.is_relative_to(home) else str(whole)


def _text(text: str) -> str:
    # A text of JSON is one of TOML.
    return json.dumps(text, ensure_ascii=False)
