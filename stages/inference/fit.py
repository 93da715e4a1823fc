"""Whether frames are such as a model was trained on, and what to do where they are not.

What to do depends on what the frames were made of: a text has no size, a video no ``window_us``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.card import ModelCard
from pipeline.options import toml_text
from pipeline.ports import EVENT_FRAMES, FramesPort
from pipeline.registry import nearest
from pipeline.stage import PortError

__all__ = ["check_expected", "check_kind", "check_shape", "check_words", "resized"]

_ANYWAY = 'mismatch = "allow" to run it all the same'
_COLOURS = ("rgb", "bgr", "grey")
_RESIZED = {
    "events": "bin to size = {}",
    "video": "bring it to size = {} with the stage resize",
    "pictures": "set size = {} of the stage images",
    "slices": "set size = {} of the stage slices",
}


def resized(made_of: str, size: tuple[int, int]) -> str:
    """Return how frames get a size, (height, width)."""
    return _RESIZED.get(made_of, "give it frames of size = {}").format(list(size))


def check_expected(expects: Mapping[str, Any], card: ModelCard, who: str) -> None:
    """Refuse weights of another network, or of other options, than a pipeline asks for.

    Args:
        expects: Its name as ``network``, and options.
        card: Of the weights.
        who: The weights and their network, for the message.

    Raises:
        PortError: they are.
    """
    known = {"network": card.network, **card.options}
    for key, wanted in expects.items():
        if key not in known:
            has, remedy = f"no {key}", f"leave it out{nearest(key, known)}"
        elif known[key] != wanted:
            has = toml_text(known[key])
            # Frames are made for the network that is named: another one cannot take them.
            remedy = f"set expects.{key} = {has}" if key != "network" else "another pipeline"
        else:
            continue
        raise PortError(
            f"expects.{key}",
            f"asks for {toml_text(wanted)}, but {who} has {has}; name other weights, or {remedy}",
        )


def check_shape(frames: FramesPort, card: ModelCard, who: str) -> None:
    """Refuse frames of another shape; what is not known yet is checked in the run.

    Args:
        frames: What the network is to be fed with.
        card: Of its weights.
        who: The weights and their network, for the message.

    Raises:
        PortError: they have another shape.
    """
    takes = (card.options.get("input_channels", frames.channels), *card.input_size)
    got = (frames.channels, frames.height, frames.width)
    if _differ(got, takes):
        remedy = " and ".join(_reshaped(frames, card, takes[0]))
        raise PortError(
            "weights", f"{who} takes frames of {takes}, its input gives {got}; {remedy}"
        )


def check_kind(frames: FramesPort, card: ModelCard, who: str) -> None:
    """Refuse frames that hold something else, or are of another time, than in training.

    Args:
        frames: What the network is to be fed with.
        card: Of its weights.
        who: The weights and their network, for the message.

    Raises:
        PortError: they do.
    """
    if frames.frame != card.frame:
        raise PortError(
            "weights",
            f"{who} was trained on {card.frame}, its input gives {frames.frame};"
            f" {_as_trained(frames, card)}, or {_ANYWAY}",
        )
    if card.window_us is None:
        return
    trained = f"{who} was trained on {_unit(frames)} of {card.window_us} µs"
    if frames.window_us is None:
        given, remedy = "frames that are not evenly apart", _timed(frames, card.window_us)
        if frames.made_of == "events":
            given = "bins by the count of events"
            remedy = f"bin with time_bin and window_us = {card.window_us}"
    elif frames.window_us != card.window_us:
        given, remedy = f"{frames.window_us} µs", _timed(frames, card.window_us)
    elif frames.step_us != frames.window_us:
        trained = f"{who} was trained on windows that follow each other"
        given, remedy = f"one each {frames.step_us} µs", "leave step_us out"
    else:
        return
    raise PortError("weights", f"{trained}, its input gives {given}; {remedy}, or {_ANYWAY}")


def _differ(got: Sequence[int | None], takes: Sequence[int]) -> bool:
    return any(side not in (None, wanted) for side, wanted in zip(got, takes, strict=True))


def check_words(frames: FramesPort, card: ModelCard, who: str, allow: bool) -> None:
    """Refuse words that are numbered by another vocabulary than in training.

    Args:
        frames: What the network is to be fed with.
        card: Of its weights; one that does not know its vocabulary bounds only the ids.
        who: The weights and their network, for the message.
        allow: Whether any vocabulary is taken that has no more ids than the network.

    Raises:
        PortError: they are.
    """
    words, trained, known = frames.words, card.vocabulary, card.options.get("vocabulary")
    if words is None:
        return
    if known is not None and words.ids > known:
        raise PortError(
            "weights",
            f"{who} knows {known} ids of words, {words.path} gives {words.ids};"
            " name the vocabulary that training wrote beside the weights",
        )
    if trained is not None and trained.sha256 != words.sha256 and not allow:
        raise PortError(
            "weights",
            f"{who} was trained with another vocabulary ({trained.ids} ids) than {words.path}"
            f" ({words.ids} ids); name the one that training wrote beside the weights, or"
            f" {_ANYWAY}",
        )


def _reshaped(frames: FramesPort, card: ModelCard, channels: int) -> Iterator[str]:
    """Yield what gives frames the shape of those of the training."""
    if _family(frames.frame) != _family(card.frame):
        yield _as_trained(frames, card)
        return
    if _differ((frames.height, frames.width), card.input_size):
        yield resized(frames.made_of, card.input_size)
    if frames.frame != card.frame:
        yield _as_trained(frames, card)
    elif frames.channels != channels:
        yield f"give it {channels} channels"


def _as_trained(frames: FramesPort, card: ModelCard) -> str:
    """Return what makes frames hold what those of the training do."""
    if {frames.frame, card.frame} <= {*_COLOURS}:
        return f'set colour = "{card.frame}"'
    if frames.made_of == "events" and card.frame in EVENT_FRAMES:
        return f'set frame = "{card.frame}"'
    if (frames.frame, card.frame) == ("binary", "counts"):
        return 'sum them with the stage resize, method = "sum"'
    return f"take weights that were trained on {frames.frame}"


def _timed(frames: FramesPort, window_us: int) -> str:
    """Return what gives a step the length that it had in training."""
    if frames.made_of == "events":
        return f"set window_us = {window_us}"
    if frames.made_of != "video":
        return f"set step_us = {window_us}"
    rate_hz = 1e6 / window_us
    return f"play videos of {rate_hz:.4g} frames a second, all frames of them"


def _unit(frames: FramesPort) -> str:
    return "bins" if frames.made_of == "events" else "frames"


def _family(frame: str) -> str:
    """Return what frames can be made from the same source."""
    if frame in EVENT_FRAMES:
        return "events"
    return "colours" if frame in _COLOURS else frame
