"""SQLite: a table with a row for each prediction, which can be queried while it grows."""

import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline.errors import StageError
from stages.record_file import LostRecordsError, RecordFile, sync
from stages.sinks.prediction import LOST, SHED, Prediction
from stages.sinks.prediction_file import PredictionFile, PredictionFileConfig
from stages.stamp import stamp, take_back

__all__ = ["Sqlite", "SqliteConfig", "SqlitePosition"]

_TYPES = {
    "stream": "TEXT",
    "recording": "TEXT",
    "stage": "TEXT",
    "epoch": "INTEGER",
    "window": "INTEGER",
    "t_start_us": "INTEGER",
    "t_end_us": "INTEGER",
    "label": "TEXT",
    "class": "INTEGER",
    "scores": "TEXT",
    "partial": "INTEGER",
    "truth": "TEXT",
    **dict.fromkeys((*SHED, *LOST), "INTEGER"),
}
_COLUMNS = "".join(f', "{name}" {kind}' for name, kind in _TYPES.items())
_TABLE = f"CREATE TABLE {{}}predictions (id INTEGER PRIMARY KEY{_COLUMNS})"
_INDEX = "CREATE INDEX {}predictions_by_time ON predictions (t_start_us)"
_INSERT = f"INSERT INTO predictions VALUES (?{', ?' * len(_TYPES)})"
_COMMIT_S = 1.0
_WAIT_S = 10.0
"""How long another program may keep the file from being written."""
_COMPARED_ROWS = 1000


class SqliteConfig(PredictionFileConfig):
    """Options of `sqlite`."""


class SqlitePosition(NamedTuple):
    """What a checkpoint knows of the table."""

    owner: str
    """The run; see `stages.stamp`."""
    begun: bool
    """Whether the run had begun to write it."""
    rows: int | None
    """Rows in the table; None if there was no file."""
    check: int
    """CRC-32 of the last of them."""


class Sqlite(PredictionFile[SqliteConfig, SqlitePosition]):
    """Write each prediction as a row of a table in an SQLite database.

    The table is ``predictions``. Its columns are ``id``, which counts from 1, and what `jsonl`
    writes, under the same names: ``scores`` as the text of a JSON array, ``partial`` as 0 or 1,
    ``truth`` as NULL where it is not known. It is indexed by ``t_start_us``. Other programs may
    read it meanwhile: what is in it appears once a second and at each checkpoint. At the end of the
    run a new database is written compactly, so that its bytes depend on the predictions alone; one
    that is appended to is left as it grew.
    """

    Config = SqliteConfig
    unit = "rows"

    def open(self) -> None:
        """Prepare; the file itself is opened when the run starts."""
        super().open()
        self._lock: RecordFile | None = None
        self._base: sqlite3.Connection | None = None
        self._encode = msgspec.json.Encoder().encode

    def close(self) -> None:
        """Complete the last transaction, and write a new database compactly."""
        try:
            with self._explained():
                if self._base is not None:
                    self._base.commit()
                    if self.config.if_exists != "append":
                        self._compact(self._base)
        finally:
            if self._base is not None:
                self._base.close()
                self._base = None
            # Not before: that would take SQLite's own locks away.
            if self._lock is not None:
                self._lock.close()

    def commit(self) -> SqlitePosition:
        """Complete a transaction, and return how many rows there are."""
        is_there = self.config.path.exists()
        with self._explained():
            if self._base is None and is_there and self.config.if_exists == "append":
                self._begin()
            if self._base is None:
                return SqlitePosition(self._owner, False, 0 if is_there else None, 0)
            self._base.commit()
            return SqlitePosition(self._owner, True, self._rows, _check(self._base, self._rows))

    def rewind(self, position: SqlitePosition) -> None:
        """Remove the rows behind a position; a file that was begun since is removed."""
        self._owner, begun, rows, check = position
        with self._explained():
            if rows is None:
                take_back(self.config.path, self._owner)
            elif begun:
                if not self.config.path.exists():
                    raise LostRecordsError("was removed", f"{rows:,} rows were committed")
                base = self._connect("append")
                there = _count(base, rows)
                if there != rows:
                    why = f"{rows:,} rows were committed, and {there:,} of them are there"
                    raise LostRecordsError("was shortened", why)
                if _check(base, rows) != check:
                    why = f"the {rows:,} rows that were committed are not the first any more"
                    raise LostRecordsError("was changed", why)
                base.execute("DELETE FROM predictions WHERE id > ?", (rows,))
                base.commit()
                self._rows = rows

    @property
    def _is_begun(self) -> bool:
        return self._base is not None

    def _begin(self) -> None:
        self._connect(self.config.if_exists)
        sync(self.config.path.resolve().parent)

    def _connect(self, if_exists: str) -> sqlite3.Connection:
        """Open the database, which others may read and only we write; make its table."""
        path = self.config.path
        self._lock = RecordFile(path, if_exists)
        if not self._lock.end:
            # Of a database that is gone; they would be taken for this one's.
            for ending in ("-journal", "-wal", "-shm"):
                path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)
        stamp(path, self._owner)
        self._base = base = sqlite3.connect(path, timeout=_WAIT_S)
        base.execute("PRAGMA synchronous = FULL")
        names = [row[1] for row in base.execute("PRAGMA table_info(predictions)")]
        if not names:
            base.execute(_TABLE.format(""))
            base.execute(_INDEX.format(""))
        elif names != ["id", *_TYPES]:
            raise StageError(
                f"{path}: its table predictions has other columns than are to be written; name"
                ' another file, or set if_exists = "replace"'
            )
        (self._rows,) = base.execute("SELECT coalesce(max(id), 0) FROM predictions").fetchone()
        self._committed_s = time.monotonic()
        return base

    def _append(self, predictions: Sequence[Prediction]) -> None:
        assert self._base is not None
        rows = [self._row(self._rows + k, each) for k, each in enumerate(predictions, 1)]
        self._base.executemany(_INSERT, rows)
        self._rows += len(rows)
        if time.monotonic() - self._committed_s >= _COMMIT_S:
            self._base.commit()
            self._committed_s = time.monotonic()

    def _row(self, number: int, prediction: Prediction) -> tuple[object, ...]:
        values = msgspec.structs.asdict(prediction)
        values["scores"] = self._encode(prediction.scores).decode()
        unset = msgspec.UNSET
        return (number, *(None if value is unset else value for value in values.values()))

    def _compact(self, base: sqlite3.Connection) -> None:
        """Replace the database by one whose pages depend on its rows alone."""
        path = Path(self.config.path).resolve()
        new = path.with_name(f"{path.name}.new")
        new.unlink(missing_ok=True)
        try:
            # Not by VACUUM, which counts how often it was done.
            base.execute("ATTACH ? AS new", (str(new),))
            for statement in (_TABLE, _INDEX):
                base.execute(statement.format("new."))
            base.execute("INSERT INTO new.predictions SELECT * FROM main.predictions ORDER BY id")
            base.commit()
            base.execute("DETACH new")
            sync(new)
            stamp(new, self._owner)
            new.rename(path)
            sync(path.parent)
        except BaseException:
            new.unlink(missing_ok=True)
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with super()._explained():
            try:
                yield
            except sqlite3.OperationalError as error:
                raise StageError(
                    f"{self.config.path}: cannot be written: {error}; check space and permissions,"
                    " and that no other program keeps it locked"
                ) from None
            except sqlite3.DatabaseError as error:
                raise StageError(
                    f"{self.config.path}: is no SQLite database or a damaged one ({error}); name"
                    ' another file, or set if_exists = "replace"'
                ) from None


def _count(base: sqlite3.Connection, rows: int) -> int:
    (count,) = base.execute("SELECT count(*) FROM predictions WHERE id <= ?", (rows,)).fetchone()
    return int(count)


def _check(base: sqlite3.Connection, rows: int) -> int:
    """Return the CRC-32 of the last rows up to a number."""
    last = base.execute(
        "SELECT * FROM predictions WHERE id <= ? AND id > ? ORDER BY id",
        (rows, rows - _COMPARED_ROWS),
    )
    check = 0
    for row in last:
        check = zlib.crc32(repr(row).encode(), check)
    return check
