"""What a terminal shows, as a picture: text as text, and blocks as rectangles.

Fonts draw block characters (▀, █, ▎) of other sizes than the cells that terminals draw them in;
rectangles are where they belong in every browser.
"""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from rich.cells import cell_len
from rich.color import blend_rgb
from rich.color_triplet import ColorTriplet
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

__all__ = ["terminal_svg"]

_WIDTH, _HEIGHT, _FONT = 8.4, 17, 14
_BASELINE, _EDGE = 13, 10
_FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_BLOCKS = {
    "█": (0.0, 0.0, 1.0, 1.0),
    "▀": (0.0, 0.0, 1.0, 0.5),
    **{sign: (0.0, 1 - n / 8, 1.0, n / 8) for n, sign in enumerate("▁▂▃▄▅▆▇", 1)},
    **{sign: (0.0, 0.0, n / 8, 1.0) for n, sign in enumerate("▏▎▍▌▋▊▉", 1)},
}
"""Left, top, width and height, in cells."""
_CONSOLE = Console()


def terminal_svg(lines: Sequence[Text], columns: int, theme: TerminalTheme) -> str:
    """Draw lines of a terminal of so many columns, in the colours of a theme."""
    width, height = columns * _WIDTH + 2 * _EDGE, len(lines) * _HEIGHT + 2 * _EDGE
    parts = [part for row, line in enumerate(lines) for part in _row(line, row, theme)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
            f' font-family="{_FONTS}" font-size="{_FONT}" shape-rendering="crispEdges">',
            f'<rect width="100%" height="100%" rx="6" fill="{theme.background_color.hex}"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _row(line: Text, row: int, theme: TerminalTheme) -> Iterator[str]:
    """Draw one line, stretch by stretch of one style."""
    column, top = 0, row * _HEIGHT + _EDGE
    for text, style in _stretches(line):
        front, back = _colours(style, theme)
        for sign, signs in groupby(text, key=lambda sign: sign if sign in _BLOCKS else ""):
            piece = "".join(signs)
            wide, left = cell_len(piece), column * _WIDTH + _EDGE
            column += wide
            if back != theme.background_color:
                yield _rectangle(left, top, wide * _WIDTH, _HEIGHT, back)
            if sign:
                x, y, w, h = _BLOCKS[sign]
                size = (wide if w == 1 else w) * _WIDTH, h * _HEIGHT
                for n in range(1 if w == 1 else wide):
                    where = left + (x + n) * _WIDTH, top + y * _HEIGHT
                    yield _rectangle(*where, *size, front)
            elif piece.strip():
                yield _words(piece, left, top, front, style)


def _stretches(line: Text) -> Iterator[tuple[str, Style]]:
    styles = [line.get_style_at_offset(_CONSOLE, n) for n in range(len(line))]
    for style, pairs in groupby(zip(line.plain, styles, strict=True), key=lambda pair: pair[1]):
        yield "".join(sign for sign, _ in pairs), style


def _colours(style: Style, theme: TerminalTheme) -> tuple[ColorTriplet, ColorTriplet]:
    """Return the colours in front and behind."""
    front = theme.foreground_color
    if style.color is not None and not style.color.is_default:
        front = style.color.get_truecolor(theme)
    back = theme.background_color
    if style.bgcolor is not None and not style.bgcolor.is_default:
        back = style.bgcolor.get_truecolor(theme, foreground=False)
    if style.reverse:
        front, back = back, front
    return (blend_rgb(front, back, 0.4) if style.dim else front), back


def _rectangle(x: float, y: float, width: float, height: float, colour: ColorTriplet) -> str:
    size = f'width="{width:.6g}" height="{height:.6g}"'
    return f'<rect x="{x:.6g}" y="{y:.6g}" {size} fill="{colour.hex}"/>'


def _words(text: str, left: float, top: float, colour: ColorTriplet, style: Style) -> str:
    """Write a stretch of text so wide as its cells are, whatever the font."""
    start = len(text) - len(text.lstrip())
    text, x = text.strip(), left + cell_len(text[:start]) * _WIDTH
    weight = ' font-weight="bold"' if style.bold else ""
    slant = ' font-style="italic"' if style.italic else ""
    return (
        f'<text x="{x:.6g}" y="{top + _BASELINE:g}" textLength="{cell_len(text) * _WIDTH:.6g}"'
        f' xml:space="preserve" fill="{colour.hex}"{weight}{slant}>{escape(text)}</text>'
    )
