"""In which order control messages of several inputs are delivered, among themselves and to data.

Each is delivered once for its stream, when all inputs that bring the stream have come to it.
"""

from collections.abc import Sequence

from pipeline.messages import Data, EndRecording, EndStream, Header, Reset, Retime, Start
from pipeline.queue.intake import Input

__all__ = ["ahead", "behind"]

_LAST: tuple[type[Header], ...] = (EndRecording, Start, EndStream)


def _said(group: Sequence[Input]) -> dict[tuple[type[Header], str], list[Input]]:
    """Return of what control messages are about who says so next."""
    said: dict[tuple[type[Header], str], list[Input]] = {}
    for each in group:
        header = each.rows[0].header
        if not isinstance(header, Data):
            said.setdefault((type(header), header.stream), []).append(each)
    return said


def ahead(group: Sequence[Input]) -> list[list[Input]]:
    """Return who says what waits for no data of others.

    A new clock is about the wall's, and must not hold back the data behind it. A start and a reset
    concern those alone who bring that stream; but a recording starts when those before it, which
    are at their ends, have all ended.
    """
    said = _said(group)
    retimed = [sayers for (kind, _), sayers in said.items() if kind is Retime]
    if retimed:
        return [retimed[0][:1]]
    heads = [each.rows[0].header for each in group]
    ending = [head.epoch for head in heads if isinstance(head, EndRecording)]
    return [
        sayers
        for (kind, stream), sayers in said.items()
        if kind is Reset
        or (kind is Start and all(sayers[0].rows[0].header.epoch <= epoch for epoch in ending))
        if _all_say(group, stream, sayers)
    ]


def _all_say(group: Sequence[Input], stream: str, sayers: Sequence[Input]) -> bool:
    """Tell whether nobody who brings a stream has yet to say something of it."""
    known = any(stream in each.sources for each in group)
    return all(
        each in sayers or isinstance(each.rows[0].header, EndStream)
        for each in group
        if not known or stream in each.sources
    )


def behind(group: Sequence[Input]) -> list[list[Input]]:
    """Return who says what goes first where nobody has data, and all of the same kind.

    An input whose recording or stream is over waits for what the others have to say.
    """
    said = _said(group)
    kinds = {kind for kind, _ in said}
    kind = min(kinds, key=lambda kind: _LAST.index(kind) if kind in _LAST else -1)
    return [sayers for (which, _), sayers in said.items() if which is kind]
