"""The engine of a cluster: actors of Ray's, on this machine or on many hosts.

Ray finds the hosts, starts processes there and says when one is lost; what becomes of its task is
decided in `stages.batch.engine`, as for processes of this machine, and not by Ray's own retries.
"""

import importlib.util
import logging
import os
import pickle
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from pipeline.errors import ConfigError, DeviceError, RecordingError
from stages.batch.address import check_address, try_to_join
from stages.batch.engine import Answer, Broke, Died, Engine, Worker, on_terminate
from stages.batch.files import Known, known
from stages.batch.remote import versions
from stages.batch.work import Work

__all__ = ["RayEngine"]

T = TypeVar("T")
R = TypeVar("R")

_ANSWER_S = 3.0
_LOOK_S = 5.0
_STORE_BYTES = 100 << 20
"""Of Ray's memory for objects: results are small and do not lie there."""
_LONGEST_PLACE = 20
"""Letters of a folder in which Ray's sockets can have a name: the system allows 107 in all."""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # tells nobody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or Ray warns that this will be so
}


class RayEngine(Engine):
    """Works in actors of Ray's; a context manager.

    Args:
        address: of a cluster, ``auto`` or ``HOST:PORT``; None: Ray is started on this machine and
            ended afterwards.
        processes: how many workers; None: one for each processor.

    Raises:
        ConfigError: Ray is not installed, or the address is none.
        DeviceError: nobody answers there.
    """

    def __init__(self, address: str | None, processes: int | None) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ConfigError(
                "--engine ray: needs the package ray, which is not installed; install"
                ' "event-pipeline[cluster]", on all hosts of a cluster'
            )
        if address is not None:
            check_address(address)
        self._address = address
        self._asked = processes
        self._workers = processes or os.cpu_count() or 1
        self._place: str | None = None
        self._joined, self.is_lost = False, False
        self._looks_at = 0.0

    @property
    def workers(self) -> int:
        """How many work at a time."""
        return self._workers

    def map(self, work: Work[T, R], tasks: Iterable[T]) -> Iterator[R]:
        """Yield the results of all tasks, see `Engine.map`."""
        listed = list(tasks)
        if not listed:
            return
        self._join()
        with _mark(work.folder()) as marks:
            self._files = known(work.files(), content=True) + known(marks, content=True)
            yield from super().map(work, listed)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the cluster, or end it if it is our own."""
        try:
            if self._joined and not self.is_lost:  # of a lost one Ray takes leave for a minute
                import ray

                ray.shutdown()
        finally:
            if self._place is not None:
                shutil.rmtree(self._place, ignore_errors=True)
            self._joined, self.is_lost, self._place = False, False, None
            super().__exit__(kind, error, trace)

    def _join(self) -> None:
        if self._joined:
            return
        for key, value in _QUIET.items():
            os.environ.setdefault(key, value)
        import ray

        self._joined = True
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        if self._address is None:
            short = len(tempfile.gettempdir()) <= _LONGEST_PLACE
            self._place = tempfile.mkdtemp(prefix="pipeline-ray-", dir=None if short else "/tmp")
            ray.init(
                address="local",
                num_cpus=self.workers,
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                _temp_dir=self._place,
                _node_ip_address="127.0.0.1",  # nobody else is to reach it
                **quiet,
            )
        else:
            try_to_join(self._address)
            ray.init(address=self._address, **quiet)
            there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            self._workers = self._asked or max(1, int(there.get("CPU", 1)))
        self._head: str = ray.get_runtime_context().gcs_address
        on_terminate(signal.default_int_handler)  # Ray has set another

    def _start(self, work: Work[Any, Any]) -> Worker:
        self._looks_at = 0.0  # as a worker may be lost because all is
        self._look_for_head()
        return _Actor(self, work, self._files)

    def _hear(self, workers: Sequence[Worker], timeout_s: float) -> Sequence[tuple[Worker, Answer]]:
        import ray

        by_answer = {one.answer: one for one in workers if isinstance(one, _Actor)}
        end = time.monotonic() + timeout_s
        while True:
            self._look_for_head()
            first, _ = ray.wait(list(by_answer), num_returns=1, timeout=_LOOK_S)
            if first:
                heard, _ = ray.wait(list(by_answer), num_returns=len(by_answer), timeout=0)
                return [(by_answer[one], _answer(one)) for one in heard]
            if time.monotonic() > end:
                return []

    def _look_for_head(self) -> None:
        """Notice that the head of the cluster is lost: Ray would end this process a minute later.

        Raises:
            DeviceError: it is.
        """
        if time.monotonic() < self._looks_at:
            return
        self._looks_at = time.monotonic() + _LOOK_S
        host, _, port = self._head.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
        except OSError as error:
            self.is_lost = True
            raise DeviceError(
                f"--engine ray: the head of the cluster, {self._head}, is lost:"
                f" {error.strerror or error}; what is finished is kept, the same command goes on"
                " when it is back"
            ) from None


class _Actor(Worker):
    """A process somewhere in the cluster."""

    def __init__(self, engine: RayEngine, work: Work[Any, Any], files: Sequence[Known]) -> None:
        import ray

        self._engine, self._work = engine, work
        remote: Any = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)
        self._actor = remote(_code()).remote()
        self.answer = self._actor.open.remote(versions(), pickle.dumps(work), pickle.dumps(files))

    def give(self, task: Any) -> None:
        """Send it a task."""
        files = known(self._work.reads(task))
        self.answer = self._actor.do.remote(pickle.dumps(task), pickle.dumps(files))

    def stop(self) -> None:
        """End it."""
        import ray

        if not self._engine.is_lost:
            ray.kill(self._actor)


def _code() -> type:
    """Return the class of the actors.

    As it is made in here, Ray sends its code and not where it is found: a host that has another
    version of this package, or none, can still say so. All that it takes and gives is plain.
    """

    class Actor:
        def open(self, theirs: dict[str, str], work: bytes, files: bytes) -> bytes | str:
            try:
                from stages.batch.remote import Remote
            except ImportError as error:
                import socket

                return f"host {socket.gethostname()} cannot do this work: {error}"
            self.remote = Remote()
            return self.remote.open(theirs, work, files)

        def do(self, task: bytes, files: bytes) -> bytes:
            return self.remote.do(task, files)

    return Actor


def _answer(one: Any) -> Answer:
    """Return what an actor has answered, or how it ended."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        found = ray.get(one)
    except RayTaskError as error:
        return Broke(ConfigError(_first_line(error)))
    except RayError as error:
        return Died(f"{type(error).__name__}: {_first_line(error)}")
    if isinstance(found, str):
        remedy = "install event-pipeline there, of the same version as here"
        return Broke(ConfigError(f"{found}; {remedy}"))
    answer: Answer = pickle.loads(found)
    return answer


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")


@contextmanager
def _mark(folder: Path | None) -> Iterator[list[str]]:
    """Leave a file in a folder while there is work.

    On a host where it is not there the folder is another: what is written there is missed here.
    """
    if folder is None:
        yield []
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(prefix=".shared-by-all-hosts-", dir=folder)
    except OSError as error:
        raise RecordingError(
            f"{folder}: cannot be written: {error.strerror}; check the path and its permissions"
        ) from None
    try:
        os.write(handle, path.encode(errors="surrogateescape"))
        os.close(handle)
        yield [path]
    finally:
        Path(path).unlink(missing_ok=True)
