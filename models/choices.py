"""How a wrong name is refused: the nearest right one is offered, then all of them."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["offer"]


def offer(name: str, choices: Iterable[str]) -> str:
    """Return the remedy for an unknown name, e.g. ``did you mean 'a'? (choices: a, b)``."""
    known = sorted(choices)
    listed = f"choices: {', '.join(known)}"
    nearest = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {nearest[0]!r}? ({listed})" if nearest else listed
