"""Where a training process has its place among others: told by us, by torchrun, or by SLURM."""

import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from models.errors import ModelError, PeerError
from models.peers import Peers

if TYPE_CHECKING:
    from lightning.pytorch.strategies import DDPStrategy

__all__ = ["Place"]

_PATIENCE = timedelta(minutes=10)
"""How long a process waits for another that is there but says nothing."""


@dataclass(frozen=True)
class Place:
    """One training process among others.

    Attributes:
        rank: Which of all processes, from 0.
        count: How many there are.
        local_rank: Which on this host; with GPUs, which of them it has.
        local_count: How many on this host, and on every other.
        address: Host where the processes meet.
        port: Port there.
        met: Whether somebody else keeps that port open, as torchrun and `models.training.launch`
            do; else the process of rank 0 does.
    """

    rank: int
    count: int
    local_rank: int
    local_count: int
    address: str
    port: int
    met: bool = False

    @staticmethod
    def told(environment: Mapping[str, str]) -> "Place | None":
        """Return the place that torchrun or SLURM's ``srun`` gave this process.

        Args:
            environment: The variables of the process.

        Returns:
            None: nobody started it as one of several.

        Raises:
            ModelError: A variable is missing or no number.
        """
        if "RANK" in environment and "WORLD_SIZE" in environment:
            place = _torchrun(environment)
        elif int(environment.get("SLURM_STEP_NUM_TASKS") or 1) > 1:  # set by srun alone
            place = _slurm(environment)
        else:
            return None
        if place.count % place.local_count:
            raise ModelError(
                f"every host must start as many training processes, got {place.count} in all and "
                f"{place.local_count} here; ask for the same number on each host"
            )
        return place if place.count > 1 else None

    @contextmanager
    def joined(self) -> Iterator[Peers]:
        """Meet the other processes, and be one of them until the ``with`` ends.

        Raises:
            PeerError: They cannot be reached.
            ModelError: This host has fewer GPUs than processes.
        """
        import torch
        from torch import distributed

        gpus = torch.cuda.device_count()
        if 0 < gpus < self.local_count:
            raise ModelError(
                f"{self.local_count} training processes on this host, but it has {gpus} GPUs; "
                "start one for each GPU, or hide the GPUs with CUDA_VISIBLE_DEVICES="
            )
        if gpus:
            torch.cuda.set_device(self.local_rank)
        self._choose_interface()
        try:
            store = distributed.TCPStore(  # type: ignore[attr-defined]
                self.address,
                self.port,
                self.count,
                is_master=self.rank == 0 and not self.met,
                timeout=_PATIENCE,
                wait_for_workers=False,
            )
            distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if gpus else "gloo",
                store=store,
                rank=self.rank,
                world_size=self.count,
                timeout=_PATIENCE,
            )
        except (RuntimeError, ValueError) as error:
            raise PeerError(
                f"training process {self.rank} cannot meet the others at {self.address}:{self.port}"
                f" ({str(error).splitlines()[0]}); the address must be one of the host of process "
                "0, and the port be free and open there"
            ) from error
        try:
            yield Peers(self.rank, self.count)
        finally:
            distributed.destroy_process_group()

    def strategy(self, one_step: bool) -> "DDPStrategy":
        """Return how Lightning trains among these processes.

        Args:
            one_step: Whether examples have a single step, so that learned constants of neurons that
                tell on the next step have no part in the loss.
        """
        from lightning.pytorch.strategies import DDPStrategy

        from models.training.environment import Environment

        return DDPStrategy(
            cluster_environment=Environment(self),
            find_unused_parameters=one_step,
            broadcast_buffers=False,  # alike everywhere: statistics are those of all processes
        )

    @property
    def hosts(self) -> int:
        """How many hosts there are."""
        return self.count // self.local_count

    @property
    def host(self) -> int:
        """Which host this is, from 0."""
        return self.rank // self.local_count

    def _choose_interface(self) -> None:
        """Let gloo and NCCL listen where the others can reach it, not where its name points to."""
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((self.address, self.port))  # sends nothing
                interface = _interface(probe.getsockname()[0])
        except OSError:
            return
        if interface is not None:
            for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
                os.environ.setdefault(name, interface)


def _torchrun(environment: Mapping[str, str]) -> Place:
    count = _number(environment, "WORLD_SIZE")
    return Place(
        _number(environment, "RANK"),
        count,
        _number(environment, "LOCAL_RANK"),
        _number(environment, "LOCAL_WORLD_SIZE"),
        _text(environment, "MASTER_ADDR"),
        _number(environment, "MASTER_PORT"),
        environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def _slurm(environment: Mapping[str, str]) -> Place:
    count = _number(environment, "SLURM_STEP_NUM_TASKS")
    hosts = _text(environment, "SLURM_STEP_NODELIST")
    first = re.sub(r"\[(\w+)[^]]*\]", r"\1", hosts).partition(",")[0]  # gpu[07-08],x is gpu07
    port = environment.get("MASTER_PORT") or 15000 + _number(environment, "SLURM_JOB_ID") % 10000
    return Place(
        _number(environment, "SLURM_PROCID"),
        count,
        _number(environment, "SLURM_LOCALID"),
        count // _number(environment, "SLURM_STEP_NUM_NODES"),
        environment.get("MASTER_ADDR") or first,
        int(port),
    )


def _text(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise ModelError(
            f"{name}: is not set, but other variables of torchrun or srun are; start with one of "
            "them, or unset RANK and WORLD_SIZE"
        )
    return environment[name]


def _number(environment: Mapping[str, str], name: str) -> int:
    text = _text(environment, name)
    if not text.isdecimal():
        raise ModelError(f"{name}: must be a whole number, got {text!r}; torchrun or srun sets it")
    return int(text)


def _interface(address: str) -> str | None:
    """Return the network interface of this host that has an IPv4 address."""
    import fcntl
    import struct

    wanted, any_socket = socket.inet_aton(address), socket.socket(socket.AF_INET)
    if address.startswith("127."):
        wanted = socket.inet_aton("127.0.0.1")
    get_address = 0x8915  # SIOCGIFADDR of Linux
    with any_socket:
        for _, name in socket.if_nameindex():
            try:
                request = struct.pack("256s", name.encode())
                found: Any = fcntl.ioctl(any_socket, get_address, request)
            except OSError:  # it has none
                continue
            if found[20:24] == wanted:
                return name
    return None
