"""A sink whose file is whole only when it is closed, and whose process dies when it first is."""

import os
import signal

from pipeline.config import FilePath
from pipeline.messages import Message, Start
from pipeline.ports import EventsPort
from pipeline.stage import Account, ExactSink, StageConfig


class LastWordsConfig(StageConfig):
    path: FilePath
    died: FilePath
    """Tells that it has died before."""


class LastWords(ExactSink[LastWordsConfig, int, int]):
    """A line for each message and one at the end; the state is the events of the recording."""

    Config = LastWordsConfig
    takes = (EventsPort,)

    def open(self) -> None:
        self._file = self.config.path.open("ab")

    def start(self, header: Start) -> int:
        return 0

    def write(self, state: int, message: Message) -> int:
        self._file.write(f"{len(message.array)}\n".encode())
        return state + len(message.array)

    def commit(self) -> int:
        self._file.flush()
        return self._file.tell()

    def rewind(self, position: int) -> None:
        self._file.truncate(position)

    def account(self, state: int) -> Account:
        return Account.one_to_one(state, "events", "events")

    def close(self) -> None:
        self._file.flush()
        if not self.config.died.exists():
            self.config.died.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        self._file.write(b"end\n")
        self._file.close()
