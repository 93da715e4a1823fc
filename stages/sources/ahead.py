"""Read-ahead: what is read and what is done with it run side by side, on two cores.

A thread of its own reads a few items early. The kernels of readers and of stages let go of Python's
lock, and so does decompression, so neither side waits for the other.
"""

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

__all__ = ["read_ahead"]

T = TypeVar("T")


def read_ahead(items: Iterator[T], most: int) -> Generator[T, None, None]:
    """Yield what an iterator yields, of which a thread holds up to ``most`` items ready.

    Order and content are the iterator's. What it raises is raised here, behind all before it. No
    thread is left once this generator is closed: close it before what ``items`` reads from.

    The caller reads the first ``most`` items: a thread costs more than a short recording does.
    """
    for _ in range(most):
        try:
            yield next(items)
        except StopIteration:
            return
    ready: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    room = threading.Semaphore(most)
    closed = threading.Event()

    def read() -> None:
        ending: BaseException | None = None
        try:
            for item in items:
                room.acquire()
                if closed.is_set():
                    return
                ready.put((item,))
        except BaseException as error:
            ending = error
        ready.put(ending)

    thread = threading.Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while isinstance(found := ready.get(), tuple):
            room.release()
            yield found[0]
        if found is not None:
            raise found
    finally:
        closed.set()
        room.release()
        thread.join()
