"""An error injected at every place where the KA200's runtime is called, each in a run of its own.

Usage: PYTHONPATH=tests/support python -m benchmarks.ka200_errors

Two short recordings are played, one after the other, through `pipeline run` and the stage `ka200`
on the double of ``pylynchipsdk`` of the tests. Each line is a run: the call, which of its kind it
was, the exit code, how many handles the chip still had at the end, and what was said. Handles are
left only where the release of one is what fails: that one, and the context that it is in.
"""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import chip_double
from compiled_models import compiled_model

from pipeline.offline import play, run_chain
from recordings import some_events, write_recording
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.ka200.calls import Calls
from stages.ka200.stage import Ka200, Ka200Config
from stages.sources.replay import Replay, ReplayConfig

__all__ = ["main"]

_CODE = 1234
_PIPELINE = """
[[stage]]
name = "camera"
use = "replay"
path = ["one.aedat4", "two.aedat4"]
speed = 0

[[stage]]
name = "bins"
use = "time_bin"
window_us = 25_000
size = [40, 40]

[[stage]]
name = "net"
use = "ka200"
model = "model"

[[stage]]
name = "decision"
use = "aggregate"

[[stage]]
name = "file"
use = "jsonl"
path = "out.jsonl"
"""
_RUNTIME = """
from pathlib import Path
from chip_double import ChipDouble
_double = ChipDouble(fails={fails})
_double.told = Path({live!r})
def __getattr__(name):
    return getattr(_double, name)
"""


def sites(folder: Path) -> list[tuple[str, int]]:
    """Play once in this process; return each place that calls: its call, and which of its kind."""
    places: dict[tuple[str, int], int] = {}
    counts = Counter[str]()
    call = Calls.__call__

    def noted(self: Calls, name: str, *arguments: Any) -> Any:
        places.setdefault((name, sys._getframe(1).f_lineno), counts[name])
        counts[name] += 1
        return call(self, name, *arguments)

    Calls.__call__ = noted  # type: ignore[method-assign]
    sys.modules["pylynchipsdk"] = chip_double.ChipDouble()  # type: ignore[assignment]
    source = Replay("camera", ReplayConfig(path=[folder / "one.aedat4", folder / "two.aedat4"]))
    bins = TimeBin("bins", TimeBinConfig(window_us=25_000, size=(40, 40)), [source.port()])
    net = Ka200("net", Ka200Config(model=folder / "model"), [bins.port()])
    for _ in run_chain(play(source), [bins, net]):
        pass
    return [(name, nth) for (name, _), nth in places.items()]


def injected(folder: Path, name: str, nth: int) -> tuple[int, str, str]:
    """Run with an error at a call; return the exit code, the live handles and what was said."""
    live = folder / "live"
    runtime = _RUNTIME.format(fails={(name, nth): _CODE}, live=str(live))
    (folder / "pylynchipsdk.py").write_text(runtime)
    paths = [str(folder), str(Path(chip_double.__file__).parent)]
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "run", "pipeline.toml"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    said = " ".join(ended.stderr.split())
    return ended.returncode, live.read_text(), said[said.find("error:") :][:160]


def main() -> None:
    """Print a line for each place."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        for seed, recording in enumerate(("one", "two")):
            write_recording(folder / f"{recording}.aedat4", some_events(seed=seed))
        compiled_model(folder / "model")
        (folder / "pipeline.toml").write_text(_PIPELINE)
        for call, nth in sites(folder):
            code, live, said = injected(folder, call, nth)
            print(f"{call}[{nth}]: exit {code}, {live} handles live; {said}", flush=True)


if __name__ == "__main__":
    main()
