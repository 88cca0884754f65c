"""A small pen for SVG: boxes, words and arrows, in colours that follow the light or dark theme.

Drawings are 480 units wide, so that their words are still large enough to read on a telephone.
"""

from __future__ import annotations

from html import escape

WIDTH = 480

_STYLE = """\
.ground { fill: #ffffff }
text { font: 15px system-ui, sans-serif; fill: #1f2328 }
.name { font-weight: 600 }
.code { font: 14px ui-monospace, monospace }
.note { font-size: 14px; fill: #59636e }
.blue { fill: #ddf4ff; stroke: #0969da }
.grey { fill: #f6f8fa; stroke: #818b98 }
.green { fill: #dafbe1; stroke: #1a7f37 }
.yellow { fill: #fff8c5; stroke: #9a6700 }
.red { fill: #ffebe9; stroke: #cf222e }
.empty { fill: none; stroke: #818b98; stroke-dasharray: 4 3 }
.arrow { stroke: #59636e; stroke-width: 2; fill: none }
.tip { fill: #59636e }
@media (prefers-color-scheme: dark) {
.ground { fill: #131416 }
text { fill: #f0f6fc }
.note { fill: #9198a1 }
.blue { fill: #0c2d6b; stroke: #4493f8 }
.grey { fill: #212830; stroke: #656c76 }
.green { fill: #0f5323; stroke: #3fb950 }
.yellow { fill: #4b2900; stroke: #d29922 }
.red { fill: #5d1519; stroke: #f85149 }
.arrow { stroke: #9198a1 }
.tip { fill: #9198a1 }
}"""


class Drawing:
    """What was drawn so far; text() is the picture."""

    def __init__(self, title: str, description: str, height: float) -> None:
        self._head = (title, description)
        self._height = height
        self._parts: list[str] = []

    def box(
        self, kind: str, left: float, top: float, width: float, height: float, radius: float = 6
    ) -> None:
        """Draw a rectangle."""
        self._parts.append(
            f'<rect class="{kind}" x="{left:g}" y="{top:g}" width="{width:g}" '
            f'height="{height:g}" rx="{radius:g}"/>'
        )

    def words(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
        """Write a line that starts, ends or has its middle at x."""
        mark = f' class="{kind}"' if kind else ""
        self._parts.append(
            f'<text{mark} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def labelled(
        self, kind: str, left: float, top: float, width: float, height: float, *lines: str
    ) -> None:
        """Draw a rectangle with lines in its middle, the first of them its name."""
        self.box(kind, left, top, width, height)
        first = top + height / 2 - 9.5 * (len(lines) - 1) + 5
        for number, line in enumerate(lines):
            style = "note" if number else "name"
            self.words(left + width / 2, first + 19 * number, line, style, "middle")

    def arrow(self, *points: tuple[float, float]) -> None:
        """Draw an arrow along points, each straight below or beside the one before."""
        (x0, y0), (x1, y1) = points[-2:]
        dx, dy = (x1 > x0) - (x1 < x0), (y1 > y0) - (y1 < y0)
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in (*points[:-1], (x1 - 8 * dx, y1 - 8 * dy)))
        side_x, side_y = 6 * abs(dy), 6 * abs(dx)
        back_x, back_y = x1 - 10 * dx, y1 - 10 * dy
        self._parts.append(f'<path class="arrow" d="{path}"/>')
        self._parts.append(
            f'<path class="tip" d="M{x1:g} {y1:g}L{back_x + side_x:g} {back_y + side_y:g}'
            f'L{back_x - side_x:g} {back_y - side_y:g}z"/>'
        )

    def text(self) -> str:
        """Return the picture."""
        title, description = self._head
        size = f'width="{WIDTH}" height="{self._height:g}" viewBox="0 0 {WIDTH} {self._height:g}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(description)}</desc>",
            f"<style>\n{_STYLE}\n</style>",
            f'<rect class="ground" width="{WIDTH}" height="{self._height:g}" rx="8"/>',
            *self._parts,
            "</svg>",
        ]
        return "\n".join(lines) + "\n"
