"""Two evaluations side by side."""

from evaluations import result

from stages.evaluation.compare import compare
from stages.evaluation.results import Request, Result

CLASSES = ["cat", "dog"]
OTHER = Request("other", "other.toml", [], "decision", "set", "test", CLASSES, 40, "rate", "0")


def answers(right: str) -> list[Result]:
    """Return results of recordings of cats, one a letter, right where it is an x."""
    return [result(k, 0, [1.0, 0.0] if sign == "x" else [0.0, 1.0]) for k, sign in enumerate(right)]


def test_the_same_recordings_are_paired() -> None:
    this, other = answers("x" * 36 + "...."), answers("x" * 20 + "." * 18 + "xx")
    found = compare(this, CLASSES, other, OTHER, "out/other")
    assert found.paired
    assert (found.only_this, found.only_other) == (16, 2)
    assert found.difference == 36 / 40 - 22 / 40
    assert found.difference_interval.low > 0
    assert found.chance is not None
    assert found.chance < 0.01


def test_a_model_that_has_its_classes_in_another_order_is_paired_too() -> None:
    turned = [result(k, 1, [0.0, 1.0]) for k in range(4)]
    mirrored = [
        one.__class__(**{**_fields(one), "key": f"0/{k}.bin"}) for k, one in enumerate(turned)
    ]
    found = compare(answers("x..x"), CLASSES, mirrored, _with(["dog", "cat"]), "out/other")
    assert (found.paired, found.only_other) == (True, 2)


def test_other_recordings_are_not_paired() -> None:
    found = compare(answers("xxx."), CLASSES, answers("xx"), OTHER, "out/other")
    assert (found.paired, found.chance, found.only_this) == (False, None, None)
    assert found.difference_interval.low < 0 < found.difference_interval.high


def _fields(one: Result) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


def _with(classes: list[str]) -> Request:
    return Request("other", "other.toml", [], "decision", "set", "test", classes, 4, "rate", "0")
