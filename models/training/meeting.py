"""Where the hosts of one training run meet: they compare what they train, and tell what failed.

Host 0 keeps a store of torch's open for as long as the run lasts. The training processes find each
other through it, and it outlives any of them.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from models.errors import ModelError, PeerError

__all__ = ["Meeting"]

_CONNECT_S = 60.0
"""How long a host waits for host 0 to open its port."""
_TOLD_S = 5.0
"""How long host 0 waits at the end for the others to have heard how it went."""
_ANSWER_S = 20.0
_LOOK_S = 0.2


class Meeting:
    """One host among the hosts that train together; the training processes use its store too.

    It is a context manager: opened before anything costly is done, so that a wrong address shows at
    once.

    Args:
        hosts: How many hosts there are.
        host: Which one this is, from 0.
        address: Name or address of host 0, as the others reach it.
        port: A free port there; 0 takes any, for a single host.
        connect_s: How long to wait for host 0.

    Raises:
        PeerError: On entering: the port is taken, the address is not one of this host (host 0), or
            not reachable (another).
    """

    def __init__(
        self,
        hosts: int = 1,
        host: int = 0,
        address: str = "127.0.0.1",
        port: int = 0,
        connect_s: float = _CONNECT_S,
    ) -> None:
        self.hosts, self.host, self.address, self.port = hosts, host, address, port
        self._connect_s = connect_s
        self._store: Any = None

    def __enter__(self) -> "Meeting":
        self._store = self._listen() if self.host == 0 else self._connect()
        if self._store.add(f"host/{self.host}/arrivals", 1) > 1:
            raise PeerError(
                f"another host is --node-rank {self.host} of the run at {self.address}:{self.port} "
                "already; give each host a number of its own, from 0"
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, traceback: Any) -> None:
        if isinstance(error, ModelError | OSError | SystemExit | KeyboardInterrupt):
            told = "was stopped" if isinstance(error, SystemExit | KeyboardInterrupt) else error
            self.fail(f"host {self.host} ({socket.gethostname()}): {told}")
        try:
            self._store.set(f"host/{self.host}/left", "")
            until = time.monotonic() + _TOLD_S
            others = [f"host/{k}/left" for k in range(self.hosts) if self._arrived(k)]
            while self.host == 0 and not self._store.check(others) and time.monotonic() < until:
                time.sleep(_LOOK_S)
        except RuntimeError:  # host 0 is gone
            pass
        self._store = None

    def compare(
        self, facts: Mapping[str, Any], wait: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        """Wait for all hosts, and hold what they train against each other.

        Args:
            facts: What this host trains, JSON values; those whose names begin with ``own`` may
                differ.
            wait: Called again and again while waiting; may raise.

        Returns:
            The facts of host 0.

        Raises:
            ModelError: They differ.
            PeerError: A host failed, or host 0 is gone.
        """
        told = {"own name": socket.gethostname(), **facts}
        self._reach(lambda: self._store.set(f"host/{self.host}/facts", json.dumps(told)))
        names = [f"host/{k}/facts" for k in range(self.hosts)]
        while not self._reach(lambda: self._store.check(names)):
            self.look()
            wait()
            time.sleep(_LOOK_S)
        all_facts = [json.loads(each) for each in self._reach(lambda: self._store.multi_get(names))]
        first: dict[str, Any] = all_facts[0]
        for host, theirs in enumerate(all_facts):
            for name in facts:
                if not name.startswith("own") and theirs[name] != first[name]:
                    raise ModelError(
                        f"{name}: host {host} ({theirs['own name']}) has {theirs[name]}, host 0 "
                        f"({first['own name']}) {first[name]}; give all hosts the same command, "
                        "files and versions"
                    )
        return first

    def fail(self, message: str) -> None:
        """Tell the other hosts what failed here; the first to tell is heard."""
        if self.hosts > 1:
            with suppress(RuntimeError):  # host 0 is gone: nobody is left to tell
                self._store.compare_set("failed", "", message)

    def look(self) -> None:
        """Look whether another host failed.

        Raises:
            PeerError: It did; the message is its own.
        """
        if self.hosts > 1 and self._reach(lambda: self._store.check(["failed"])):
            message = self._reach(lambda: self._store.get("failed")).decode()
            raise PeerError(f"another host ended the training: {message}")

    def _reach(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except RuntimeError as error:
            raise PeerError(
                f"host 0 ({self.address}:{self.port}) is gone; look there for the reason; the same "
                "commands go on from the last save"
            ) from error

    def _arrived(self, host: int) -> bool:
        return bool(self._store.check([f"host/{host}/arrivals"]))

    def _listen(self) -> Any:
        from torch import distributed

        try:
            kind = socket.getaddrinfo(self.address, self.port, type=socket.SOCK_STREAM)[0]
            listener = socket.socket(kind[0], kind[1])
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(kind[4])
                listener.listen()
            except OSError:
                listener.close()
                raise
        except OSError as error:
            raise PeerError(
                f"--address {self.address}:{self.port}: training processes cannot meet there "
                f"({error.strerror}); name an address of the host of --node-rank 0, and a port that"
                " is free"
            ) from None
        self.port = listener.getsockname()[1]
        return distributed.TCPStore(  # type: ignore[attr-defined]
            self.address,
            self.port,
            is_master=True,
            wait_for_workers=False,
            master_listen_fd=listener.detach(),
        )

    def _connect(self) -> Any:
        from torch import distributed

        until = time.monotonic() + self._connect_s
        while True:  # torch would try too, but tell each attempt
            try:
                socket.create_connection((self.address, self.port), timeout=5).close()
                break
            except OSError as error:
                if time.monotonic() > until:
                    raise PeerError(
                        f"--address {self.address}:{self.port}: nothing answers there after "
                        f"{self._connect_s:.0f} s ({error.strerror or error}); start the host of "
                        "--node-rank 0, name its address, and let the port through"
                    ) from None
                time.sleep(_LOOK_S)
        # What is no store of torch's may never answer it, and torch waits for it without an end.
        opened: list[Any] = []

        def open_store() -> None:
            with suppress(RuntimeError):
                store = distributed.TCPStore(  # type: ignore[attr-defined]
                    self.address, self.port, is_master=False, wait_for_workers=False
                )
                store.add("greetings", 1)
                opened.append(store)

        attempt = threading.Thread(target=open_store, daemon=True)
        attempt.start()
        attempt.join(_ANSWER_S)
        if not opened:
            raise PeerError(
                f"--address {self.address}:{self.port}: what answers there is no training run; "
                "name the address of the host of --node-rank 0"
            )
        return opened[0]
