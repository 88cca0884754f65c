"""Writes docs/layers.svg: the picture of the README, one heap with many doors.

The colours follow the reader's light or dark theme. tests/meta/test_layer_picture.py sees
that the committed picture is what this prints.

    python tools/layer_picture.py             write the picture
    python tools/layer_picture.py --print     print it
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "layers.svg"

_WIDTH, _HEIGHT = 800, 452
_LEFT, _RIGHT = 20, 780  # of everything drawn
_DOOR_TOP, _DOOR_HEIGHT, _DOOR_GAP = 14, 62, 16
_LAYER_TOP, _LAYER_HEIGHT = 124, 46
_SYSTEM_TOP = 394

# Who comes in, and by what call.
_DOORS = (
    ("NumPy arrays", "numpy_allocator()"),
    ("Python buffers", "arena.kmalloc(100)"),
    ("Your extension", "#include <pyslab.h>"),
    ("Any program", "pyslab run -- CMD"),
)
# The layers from the top: the kernel's name, and what it is in plain words.
_LAYERS = (
    ("sheaves", "free objects in each thread's own hands: no lock"),
    ("slabs", "pages cut into objects of one size"),
    ("page lists", "free pages in each thread's own hands: no lock"),
    ("zones", "who may have memory, and what is done when it is short"),
    ("buddy", "free blocks of 1, 2, 4, 8 ... pages, split and joined"),
)

_STYLE = """\
text { font: 16px system-ui, sans-serif; fill: #1f2328 }
.name { font-weight: 600 }
.code { font: 14px ui-monospace, monospace }
.small { font-size: 14px }
.note { font-size: 14px; fill: #59636e }
.door { fill: #ddf4ff; stroke: #0969da }
.layer { fill: #f6f8fa; stroke: #818b98 }
.top { fill: #dafbe1; stroke: #1a7f37 }
.system { fill: #fff8c5; stroke: #9a6700 }
.arrow { stroke: #59636e; stroke-width: 2; fill: none }
.tip { fill: #59636e }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.note { fill: #9198a1 }
.door { fill: #0c2d6b; stroke: #4493f8 }
.layer { fill: #212830; stroke: #656c76 }
.top { fill: #0f5323; stroke: #3fb950 }
.system { fill: #4b2900; stroke: #d29922 }
.arrow { stroke: #9198a1 }
.tip { fill: #9198a1 }
}"""


def _box(kind: str, left: float, top: float, width: float, height: float) -> str:
    return (
        f'<rect class="{kind}" x="{left:g}" y="{top:g}" width="{width:g}" '
        f'height="{height:g}" rx="6"/>'
    )


def _text(kind: str, x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def _arrow(x: float, top: float, bottom: float) -> list[str]:
    return [
        f'<path class="arrow" d="M{x:g} {top:g}V{bottom - 8:g}"/>',
        f'<path class="tip" d="M{x:g} {bottom:g}l-6 -10h12z"/>',
    ]


def _doors() -> list[str]:
    width = (_RIGHT - _LEFT - _DOOR_GAP * (len(_DOORS) - 1)) / len(_DOORS)
    lines = []
    for number, (name, call) in enumerate(_DOORS):
        left = _LEFT + number * (width + _DOOR_GAP)
        middle = left + width / 2
        lines.append(_box("door", left, _DOOR_TOP, width, _DOOR_HEIGHT))
        lines.append(_text("name", middle, _DOOR_TOP + 26, name, "middle"))
        lines.append(_text("code", middle, _DOOR_TOP + 48, call, "middle"))
        lines += _arrow(middle, _DOOR_TOP + _DOOR_HEIGHT, _LAYER_TOP - 4)
    return lines


def _layers() -> list[str]:
    lines = []
    for number, (name, words) in enumerate(_LAYERS):
        top = _LAYER_TOP + number * _LAYER_HEIGHT
        kind = "top" if number == 0 else "layer"
        lines.append(_box(kind, _LEFT, top, _RIGHT - _LEFT, _LAYER_HEIGHT - 4))
        lines.append(_text("name", _LEFT + 16, top + 27, name))
        lines.append(_text("words", _LEFT + 120, top + 27, words))
    lines.append(_text("small", _RIGHT - 14, _LAYER_TOP + 27, "nearly every call ends here", "end"))
    return lines


def _system() -> list[str]:
    bottom = _LAYER_TOP + len(_LAYERS) * _LAYER_HEIGHT - 4
    middle = (_LEFT + _RIGHT) / 2
    words = "one piece of memory from the system (mmap), asked for once"
    return [
        *_arrow(middle, bottom, _SYSTEM_TOP - 4),
        _text("note", middle + 16, bottom + 26, "each layer asks the one below when it runs out"),
        _box("system", _LEFT, _SYSTEM_TOP, _RIGHT - _LEFT, _LAYER_HEIGHT - 4),
        _text("words", middle, _SYSTEM_TOP + 27, words, "middle"),
    ]


def text() -> str:
    """Return the picture."""
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        "<title>One heap, many doors: how pyslab serves a request</title>",
        f"<style>\n{_STYLE}\n</style>",
        *_doors(),
        *_layers(),
        *_system(),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--print" in sys.argv[1:]:
        sys.stdout.write(text())
    else:
        PICTURE.write_text(text(), encoding="utf-8")
