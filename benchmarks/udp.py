"""A device that is none: random events over UDP, at a steady rate."""

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

__all__ = ["free_port", "send", "wait_for"]

_TICK_US = 1_000
_WAIT_S = 60.0


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, run: "subprocess.Popen[str]") -> None:
    """Wait until somebody listens.

    Raises:
        RuntimeError: the run ended instead, or a minute went by.
    """
    end_s = time.monotonic() + _WAIT_S
    while f":{port:04X} " not in Path("/proc/net/udp").read_text():
        if run.poll() is not None or time.monotonic() > end_s:
            raise RuntimeError("the run did not start")
        time.sleep(0.05)


def send(
    port: int,
    seconds: float,
    rate_hz: int,
    side_px: int,
    begin_us: int = 0,
    meanwhile: Callable[[float], None] = lambda _: None,
) -> int:
    """Send events in steps of a millisecond; return how many.

    Args:
        port: where to.
        seconds: for how long.
        rate_hz: events a second, a multiple of 1000.
        side_px: width and height of the sensor.
        begin_us: time of the first.
        meanwhile: called at each step with the seconds that have gone by.
    """
    rng = np.random.default_rng(0)
    count = rate_hz * _TICK_US // 1_000_000
    ticks = round(seconds * 1e6 / _TICK_US)
    with socket.socket(type=socket.SOCK_DGRAM) as out:
        begun_s = time.monotonic()
        for tick in range(ticks):
            meanwhile(time.monotonic() - begun_s)
            ahead_s = tick * _TICK_US / 1e6 - (time.monotonic() - begun_s)
            if ahead_s > 0:
                time.sleep(ahead_s)
            x, y, polarity = rng.integers(0, (side_px, side_px, 2), (count, 3)).T
            t = begin_us + tick * _TICK_US + np.arange(count) * _TICK_US // count
            words = np.stack([x << 16 | polarity << 15 | y, t], axis=1)
            out.sendto(words.astype("<u4").tobytes(), ("127.0.0.1", port))
    return ticks * count
