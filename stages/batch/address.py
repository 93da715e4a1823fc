"""The address of a cluster: whether one is there, and whether this machine can join it.

Ray itself takes minutes to say no, or ends the process that asked.
"""

import re
import socket
import subprocess
import sys

from pipeline.errors import ConfigError, DeviceError

__all__ = ["check_address", "try_to_join"]

_ANSWER_S = 3.0
_JOIN_S = 30.0


def check_address(address: str) -> None:
    """Refuse what is no address, or where nobody answers; of ``auto`` Ray itself finds out."""
    if address == "auto":
        return
    found = re.fullmatch(r"\[?([^/\[\]]+)\]?:(\d{1,5})", address, re.ASCII)
    if found is None or not 0 < int(found[2]) < 1 << 16:
        raise ConfigError(f"--address: must be auto or HOST:PORT, got '{address}'")
    try:
        socket.create_connection((found[1], int(found[2])), _ANSWER_S).close()
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from None


def try_to_join(address: str) -> None:
    """Join in a process that can be given up.

    Where something else than Ray answers, or another version of it, or where this machine is no
    part of the cluster, Ray takes minutes, or ends the process that asked.
    """
    ask = (
        "import logging, sys, ray; ray.init(address=sys.argv[1], log_to_driver=False,"
        " logging_level=logging.CRITICAL)"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", ask, address], capture_output=True, text=True, timeout=_JOIN_S
        )
    except subprocess.TimeoutExpired:
        raise _unreachable(address, f"no answer of Ray's within {_JOIN_S:.0f} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise _unreachable(address, lines[-1].strip() if lines else f"exit code {done.returncode}")


def _unreachable(address: str, why: str) -> DeviceError:
    return DeviceError(
        f"--address {address}: no cluster of Ray's can be joined: {why}; start one with `ray start"
        " --head`, and Ray on this machine with `ray start --address=HOST:PORT`"
    )
