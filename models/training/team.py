"""Who trains: one process, the processes of this host and of others, or one that somebody started.

All three are asked the same, so that the command line need not know which it has.
"""

import fcntl
import hashlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from models.errors import ModelError
from models.peers import Peers
from models.training.launch import Job, launch
from models.training.meeting import Meeting
from models.training.place import Place

if TYPE_CHECKING:
    from models.training.trainer import TrainingResult

__all__ = ["Team", "team"]

Made = TypeVar("Made")


class Team(Protocol):
    """Who trains.

    Attributes:
        processes: How many, on all hosts.
        speaks: Whether this process tells how it goes.
    """

    processes: int
    speaks: bool

    def first(self, find: Callable[[], Made]) -> Made:
        """Return what the first process finds, of those that have the same to look at.

        Raises:
            ModelError: It found a mistake; one process tells it.
        """

    def prepare(self, make: Callable[[], Made]) -> Made:
        """Make the data, of which all processes of a host use the same files."""

    def agree(
        self, find: Callable[[], str | None], job: Job, wait: Callable[[], None]
    ) -> str | None:
        """Wait until all are here, find that they train the same, and return what the first finds.

        Args:
            find: Asked where the weights are written.
            job: What is to be trained.
            wait: Called now and then while waiting; may raise.

        Raises:
            ModelError: They do not train the same.
        """

    def train(self, job: Job, stop: Callable[[], bool]) -> "TrainingResult | None":
        """Do a job; return how it went where the weights are written, None elsewhere."""


@contextmanager
def team(
    devices: int, nodes: int, node_rank: int, address: str | None, environment: Mapping[str, str]
) -> Iterator[Team]:
    """Give the team that is asked for, until the ``with`` ends.

    Args:
        devices: Training processes on this host.
        nodes: Hosts.
        node_rank: Which this is, from 0.
        address: ``HOST:PORT`` where several hosts meet.
        environment: Variables of this process; torchrun and srun set some.

    Raises:
        ModelError: The options contradict each other.
        PeerError: The others cannot be reached.
    """
    place = Place.told(environment)
    if place is not None:
        if devices > 1 or nodes > 1 or address is not None:
            raise ModelError(
                f"this process was started as one of {place.count} by torchrun or srun; leave out "
                "--devices, --nodes, --node-rank and --address"
            )
        with place.joined() as peers:
            yield _Member(place, peers)
        return
    if not 0 <= node_rank < nodes:
        raise ModelError(
            f"--node-rank {node_rank}: must be 0 to {nodes - 1}, one below --nodes {nodes} at most"
        )
    if (nodes > 1) != (address is not None):
        raise ModelError(
            "--nodes and --address go together: --nodes 2 --node-rank 0 --address HOST:PORT, with "
            "the address of the first host"
        )
    if nodes == devices == 1:
        yield _Alone()
        return
    # Before torch is loaded: it would warn of hosts without a name.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    with Meeting(nodes, node_rank, *_split(address)) as meeting:
        yield _Host(meeting, devices)


class _Alone:
    processes, speaks = 1, True

    def first(self, find: Callable[[], Made]) -> Made:
        return find()

    def prepare(self, make: Callable[[], Made]) -> Made:
        return make()

    def agree(
        self, find: Callable[[], str | None], job: Job, wait: Callable[[], None]
    ) -> str | None:
        return find()

    def train(self, job: Job, stop: Callable[[], bool]) -> "TrainingResult | None":
        import torch

        from models.training import trainer

        torch.set_num_threads(job.threads)
        return trainer.train(
            job.recipe,
            job.train,
            job.validation,
            job.out,
            test=job.test,
            resume=job.resume,
            stop=stop,
            progress=None if job.console is None else job.console(),
            created_by=job.created_by,
        )


class _Host:
    """This process starts the training processes of its host, and watches over them."""

    speaks = True

    def __init__(self, meeting: Meeting, devices: int) -> None:
        self._meeting, self._devices = meeting, devices
        self.processes = devices * meeting.hosts

    def first(self, find: Callable[[], Made]) -> Made:
        return find()

    def prepare(self, make: Callable[[], Made]) -> Made:
        return make()

    def agree(
        self, find: Callable[[], str | None], job: Job, wait: Callable[[], None]
    ) -> str | None:
        import torch

        facts = _facts(job) | {
            "devices": self._devices,
            "torch": torch.__version__,
            "own finding": find(),
        }
        found: str | None = self._meeting.compare(facts, wait)["own finding"]
        return found

    def train(self, job: Job, stop: Callable[[], bool]) -> "TrainingResult | None":
        return launch(job, self._meeting, self._devices, stop)


class _Member:
    """This process is a training process that torchrun or srun started."""

    def __init__(self, place: Place, peers: Peers) -> None:
        self._place, self._peers = place, peers
        self.processes, self.speaks = peers.count, peers.rank == 0

    def first(self, find: Callable[[], Made]) -> Made:
        return self._peers.agree(find)

    def prepare(self, make: Callable[[], Made]) -> Made:
        # One after the other: the first makes the data, the others find them made.
        lock = Path(tempfile.gettempdir()) / f"pipeline-train-{os.getuid()}.lock"
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            return make()

    def agree(
        self, find: Callable[[], str | None], job: Job, wait: Callable[[], None]
    ) -> str | None:
        theirs = self._peers.all((socket.gethostname(), _facts(job)))
        for rank, (host, facts) in enumerate(theirs):
            for name, value in facts.items():
                if value != theirs[0][1][name]:
                    raise self._peers.error(
                        f"{name}: training process {rank} on {host} has {value}, process 0 on "
                        f"{theirs[0][0]} {theirs[0][1][name]}; give all the same command and files"
                    )
        return self._peers.agree(find)

    def train(self, job: Job, stop: Callable[[], bool]) -> "TrainingResult | None":
        import torch

        from models.training.trainer import train_among

        torch.set_num_threads(job.threads)
        return train_among(
            self._place,
            self._peers,
            job.recipe,
            job.train,
            job.validation,
            job.out,
            test=job.test,
            resume=job.resume,
            stop=stop,
            progress=None if job.console is None else job.console(),
            created_by=job.created_by,
        )


def _facts(job: Job) -> dict[str, str | int]:
    """Return what must be the same for all."""
    from models.training.run_folder import fingerprint

    recipe = job.recipe.model_dump_json(exclude={"training": {"workers"}})
    return {
        "recipe": hashlib.sha256(recipe.encode()).hexdigest()[:12],
        "data": fingerprint(job.train, job.validation, job.test),
        "version": job.created_by,
    }


def _split(address: str | None) -> tuple[str, int]:
    if address is None:
        return "127.0.0.1", 0
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ModelError(f"--address {address}: must be HOST:PORT, as 192.168.1.5:29500")
    return host.strip("[]"), int(port)
