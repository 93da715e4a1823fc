"""The keys: what each can do as the run stands."""

from collections.abc import Mapping

from pipeline.observe.dashboard.view import View

__all__ = ["STOP_AT_ONCE", "keys_line", "keys_now"]

STOP_AT_ONCE = "stop at once"
_BEGINS = ("starting", "restarting")
_GOES_ON = ("running", "paused")


def keys_now(view: View, stops: bool) -> dict[str, str]:
    """Return what each key does now; keys that can do nothing are left out.

    Args:
        view: what is known of the run.
        stops: whether the viewer ends the run with itself.
    """
    state = "" if view.status is None else view.status.state
    keys = {}
    if state in _GOES_ON or state in _BEGINS:
        keys["space"] = "go on" if state == "paused" else "pause"
    if state in _GOES_ON:
        keys["s"] = "step"
        if view.speed:
            keys["+ -"] = "speed"
        keys["r"] = "reset"
    if state not in ("over", "gone"):
        if len(view.pictures) > 1:
            keys["i"] = "image"
        quits = STOP_AT_ONCE if state == "stopping" else "stop"
        keys["q"] = quits if stops else "leave"
    return keys


def keys_line(keys: Mapping[str, str], columns: int) -> str:
    """Write keys and what they do in a line; the last, by which one leaves, is always told."""
    told = [f"{key} {does}" for key, does in keys.items()]
    while len(told) > 1 and len("  ".join(told)) >= columns:
        told.pop(-2)
    return " " + "  ".join(told) if told else ""
