"""Keys: one secret key of one's own, and the public keys of those who may join one's queues.

They are those of CurveZMQ, Curve25519, written as 64 hexadecimal digits. A folder holds them::

    secret          this user's secret key, which nobody else can read
    allowed/NAME    the public key of a peer, one file each

Keys of a whole run, which its own processes share, lie in the run's folder and are gone with it.
"""

import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ConfigError, PipelineError

__all__ = ["KeyFolder", "KeyPair", "keys_folder", "read_secret", "write_secret"]

_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_LONGEST_FILE_BYTES = 200


class KeyPair(NamedTuple):
    """A secret key and the public one that belongs to it, 32 bytes each."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        """Show the public key alone: what is shown may end up in a log."""
        return f"KeyPair({self.public.hex()})"

    @classmethod
    def new(cls) -> "KeyPair":
        """Draw a pair."""
        import zmq
        from zmq.utils import z85

        public, secret = zmq.curve_keypair()
        return cls(z85.decode(public), z85.decode(secret))

    @classmethod
    def of(cls, secret: bytes) -> "KeyPair":
        """Return the pair that a secret key belongs to."""
        import zmq
        from zmq.utils import z85

        return cls(z85.decode(zmq.curve_public(z85.encode(secret))), secret)


def keys_folder() -> Path:
    """Return where the user's keys lie: ``pipeline/keys`` in the folder for settings."""
    settings = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(settings) / "pipeline" / "keys"


def write_secret(path: Path, pair: KeyPair) -> None:
    """Write a secret key to a new file that only its owner can read.

    Raises:
        FileExistsError: there is one.
        OSError: it cannot be written.
    """
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(f"{pair.secret.hex()}\n")
        file.flush()
        os.fsync(file.fileno())


def read_secret(path: Path) -> KeyPair:
    """Read a secret key, and find the public one to it.

    Raises:
        PipelineError: others can read the file, or it holds no key.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        owner = os.fstat(file.fileno())
        if owner.st_uid != os.getuid() or owner.st_mode & 0o077:
            raise PipelineError(
                f"{path}: is not private to you (owner {owner.st_uid}, mode"
                f" {owner.st_mode & 0o777:o}); others may know the key: remove it and make another"
            )
        return KeyPair.of(_key(file.read(_LONGEST_FILE_BYTES), str(path)))


class KeyFolder:
    """The keys of a user, in files."""

    def __init__(self, folder: Path) -> None:
        """Say where they lie; nothing is read or made before it is asked for."""
        self.folder = folder
        self._secret, self._allowed = folder / "secret", folder / "allowed"

    def make(self) -> KeyPair:
        """Draw a pair and keep it.

        Raises:
            ConfigError: there is one already.
            PipelineError: it cannot be written.
        """
        pair = KeyPair.new()
        try:
            self._make_folders()
            self._check_private()
            write_secret(self._secret, pair)
        except FileExistsError:
            raise ConfigError(
                f"{self._secret}: exists already; peers know its public key. To make another,"
                " remove it, and let them allow the new one"
            ) from None
        except OSError as error:
            raise PipelineError(f"{error.filename}: cannot be written: {error.strerror}") from None
        return pair

    def own(self) -> KeyPair:
        """Return the pair.

        Raises:
            ConfigError: there is none.
            PipelineError: it cannot be read, or others can read it or change the folder.
        """
        try:
            self._check_private()
            return read_secret(self._secret)
        except FileNotFoundError:
            raise ConfigError(f"{self._secret}: no key; make one: pipeline keys make") from None
        except OSError as error:
            raise PipelineError(f"{self._secret}: cannot be read: {error.strerror}") from None

    def allow(self, name: str, key: str) -> None:
        """Let a peer in; its old key, if it had another, is forgotten.

        Raises:
            ConfigError: name or key is none, or the key is our own or that of another name.
            PipelineError: it cannot be written.
        """
        path = self._file_of(name)
        public = _key(key.encode(), "KEY", ConfigError)
        for other, known in self.allowed().items():
            if known == public and other != name:
                raise ConfigError(f"KEY: is that of '{other}' already; revoke it there first")
        draft = self._allowed / f".{name}"
        try:
            self._make_folders()
            draft.write_text(f"{public.hex()}\n")
            os.replace(draft, path)
        except OSError as error:
            raise PipelineError(f"{path}: cannot be written: {error.strerror}") from None

    def revoke(self, name: str) -> None:
        """No longer let a peer in; a connection that stands goes on.

        Raises:
            ConfigError: no peer of that name is allowed.
            PipelineError: its file cannot be removed.
        """
        path = self._file_of(name)
        try:
            path.unlink()
        except FileNotFoundError:
            known = ", ".join(self.allowed()) or "nobody"
            raise ConfigError(f"NAME: '{name}' is not allowed; allowed are: {known}") from None
        except OSError as error:
            raise PipelineError(f"{path}: cannot be removed: {error.strerror}") from None

    def allowed(self) -> Mapping[str, bytes]:
        """Return the public key of each peer that may join, by its name, in order of names.

        Raises:
            PipelineError: a file cannot be read or holds no key, or others can change the folder.
        """
        found = {}
        try:
            self._check_private()
            with suppress(FileNotFoundError):
                for path in sorted(self._allowed.iterdir()):
                    if _NAME.fullmatch(path.name):
                        with path.open("rb") as file:
                            found[path.name] = _key(file.read(_LONGEST_FILE_BYTES), str(path))
        except OSError as error:
            raise PipelineError(f"{error.filename}: cannot be read: {error.strerror}") from None
        return found

    def _file_of(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                "NAME: must be letters, digits, '-', '_' and '.', at most 40, and begin with a"
                f" letter or digit, got {name!r}"
            )
        return self._allowed / name

    def _make_folders(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._allowed.mkdir(mode=0o700, exist_ok=True)

    def _check_private(self) -> None:
        """Whoever could write to the folder could let anybody in."""
        for folder in (self.folder, self._allowed):
            with suppress(FileNotFoundError):
                owner = folder.stat()
                if owner.st_uid != os.getuid() or stat.S_IMODE(owner.st_mode) & 0o022:
                    raise PipelineError(
                        f"{folder}: others can write to it (owner {owner.st_uid}, mode"
                        f" {owner.st_mode & 0o777:o}); check who is allowed, then: chmod 700"
                        f" {folder}"
                    )


def _key(content: bytes, where: str, error: type[PipelineError] = PipelineError) -> bytes:
    text = content.decode("latin-1").strip().lower()
    if not _HEX.fullmatch(text):
        # Not shown: it may be part of a secret.
        raise error(
            f"{where}: is no key: must be 64 hexadecimal digits, got {len(text)} characters"
        )
    return bytes.fromhex(text)
