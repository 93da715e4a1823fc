"""Pictures of terminals: text is text, blocks are rectangles where the cells are."""

import re
from xml.etree import ElementTree

import pytest
from rich.ansi import AnsiDecoder
from rich.terminal_theme import SVG_EXPORT_THEME as THEME
from rich.text import Text
from terminal_svg import terminal_svg

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*lines: Text) -> ElementTree.Element:
    return ElementTree.fromstring(terminal_svg(lines, 10, THEME))


def rectangles(picture: ElementTree.Element) -> list[tuple[float, ...]]:
    """Left, top, width and height of all but the ground, in cells."""
    found = [[float(r.get(key, "")) for key in ("x", "y", "width", "height")]
             for r in picture.findall(f"{SVG}rect")[1:]]  # fmt: skip
    return [
        (round((x - 10) / 8.4, 3), round((y - 10) / 17, 3), round(w / 8.4, 3), round(h / 17, 3))
        for x, y, w, h in found
    ]


def test_blocks_are_where_their_cells_are() -> None:
    picture = drawn(Text("ab██▎"), Text("▀▄"))
    assert rectangles(picture) == [
        (2, 0, 2, 1), (4, 0, 0.25, 1),
        (0, 1, 1, 0.5), (1, 1.5, 1, 0.5),
    ]  # fmt: skip
    assert [text.text for text in picture.findall(f"{SVG}text")] == ["ab"]


def test_colours_go_on_from_line_to_line() -> None:
    lines = AnsiDecoder().decode("\x1b[38;2;1;2;3m\x1b[48;2;4;5;6m▀\n▀\x1b[0m")
    fills = [each.get("fill") for each in drawn(*lines).findall(f"{SVG}rect")]
    assert fills[1:] == ["#040506", "#010203"] * 2


def test_text_is_as_wide_as_its_cells_and_nothing_in_it_is_markup() -> None:
    (text,) = drawn(Text("  <a & b>  ", style="bold reverse")).findall(f"{SVG}text")
    assert text.text == "<a & b>"
    assert float(text.get("textLength", "")) == pytest.approx(7 * 8.4)
    assert float(text.get("x", "")) == pytest.approx(10 + 2 * 8.4)
    assert (text.get("font-weight"), text.get("fill")) == ("bold", THEME.background_color.hex)


def test_the_same_screen_is_the_same_picture() -> None:
    lines = [Text("running"), Text("▁▂▃", style="cyan")]
    first, second = (terminal_svg(lines, 10, THEME) for _ in range(2))
    assert first == second
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", first)
