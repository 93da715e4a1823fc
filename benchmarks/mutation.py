"""Mutations of files: what transfers, disks and other programs do to them, and worse."""

from collections.abc import Callable

import numpy as np

__all__ = ["mutate"]

_HEADER_BYTES = 200
_EXTREMES = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_WORDS = (b"0", b"-1", b"1", b"99999999999999999999", b"1e308", b"nan", b"-", b"\xff\xfe", b"")

Change = Callable[[bytearray, np.random.Generator], None]


def mutate(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Change a file in one to four ways.

    Args:
        content: a valid file.
        rng: decides what and where.

    Returns:
        The changed content, and the names of the changes.
    """
    mutated = bytearray(content)
    names = []
    for _ in range(rng.choice((1, 1, 2, 4))):
        change = _CHANGES[rng.integers(len(_CHANGES))]
        if mutated:
            change(mutated, rng)
            names.append(change.__name__.strip("_"))
    return bytes(mutated), " + ".join(names)


def _place(content: bytearray, rng: np.random.Generator) -> int:
    """Three of ten places are in the header, which would get few otherwise."""
    limit = min(len(content), _HEADER_BYTES) if rng.random() < 0.3 else len(content)
    return int(rng.integers(limit))


def _run(content: bytearray, rng: np.random.Generator) -> slice:
    begin = _place(content, rng)
    return slice(begin, begin + int(2 ** rng.uniform(0, 10)))


def _flip_bits(content: bytearray, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 9)):
        content[_place(content, rng)] ^= 1 << int(rng.integers(8))


def _random_run(content: bytearray, rng: np.random.Generator) -> None:
    where = _run(content, rng)
    content[where] = rng.bytes(len(content[where]))


def _constant_run(content: bytearray, rng: np.random.Generator) -> None:
    where = _run(content, rng)
    content[where] = bytes([int(rng.choice((0, 0xFF, 0x20, 0x80)))]) * len(content[where])


def _truncate(content: bytearray, rng: np.random.Generator) -> None:
    del content[_place(content, rng) :]


def _remove(content: bytearray, rng: np.random.Generator) -> None:
    del content[_run(content, rng)]


def _insert(content: bytearray, rng: np.random.Generator) -> None:
    place = _place(content, rng)
    content[place:place] = rng.bytes(int(rng.integers(1, 64)))


def _duplicate(content: bytearray, rng: np.random.Generator) -> None:
    where = _run(content, rng)
    content[where.start : where.start] = content[where]


def _splice(content: bytearray, rng: np.random.Generator) -> None:
    part = content[_run(content, rng)]
    place = _place(content, rng)
    content[place : place + len(part)] = part


def _extreme_number(content: bytearray, rng: np.random.Generator) -> None:
    number, size = int(rng.choice(np.array(_EXTREMES, object))), int(rng.choice((1, 2, 4, 8)))
    place = _place(content, rng)
    order = "little" if rng.random() < 0.7 else "big"
    content[place : place + size] = (number % 256**size).to_bytes(size, order)  # type: ignore[arg-type]


def _extreme_word(content: bytearray, rng: np.random.Generator) -> None:
    """Replace a number that is written in digits, as text formats and headers have them."""
    digits = [i for i, byte in enumerate(content[:4096]) if 0x30 <= byte <= 0x39]
    if digits:
        begin = end = int(rng.choice(digits))
        while end < len(content) and 0x30 <= content[end] <= 0x39:
            end += 1
        content[begin:end] = _WORDS[rng.integers(len(_WORDS))]


_CHANGES: tuple[Change, ...] = (
    _flip_bits,
    _random_run,
    _constant_run,
    _truncate,
    _remove,
    _insert,
    _duplicate,
    _splice,
    _extreme_number,
    _extreme_number,
    _extreme_word,
)
