"""Small text files beside a pipeline's TOML file: lists of pixels, calibrations."""

from pathlib import Path

from pipeline.errors import ConfigError

__all__ = ["MAX_BYTES", "read_small_file"]

MAX_BYTES = 4 << 20


def read_small_file(path: Path) -> str:
    """Return the text of a file.

    Raises:
        ConfigError: it is not there, cannot be read, is larger than such files are, or is no text.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path}: is no file; name a file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: has more than {MAX_BYTES} bytes; name the right file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is no text in UTF-8; name the right file") from None
