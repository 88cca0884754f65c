"""What a frame can be used for: a name, a sentence, a colour and a sign for each.

In the order of enum frame_use (csrc/page_alloc/frames.h), which tests hold it to. Colours are of
the set of Okabe and Ito, which people with any kind of colour blindness can tell apart, and greys
for what is free; no picture relies on colour alone. Not here: how anything is drawn.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "BY_NAME",
    "CACHED_COLOUR",
    "FREE",
    "MAPPED_COLOUR",
    "NR_USES",
    "SLAB",
    "SLAB_FILLED",
    "USES",
    "Use",
]


class Use(NamedTuple):
    """One use of frames."""

    name: str
    text: str
    """For the legend."""
    letter: str
    """Heads a block in texts; of a free block its order does, of a slab its cache's letter."""
    sign: str
    """Each further frame of it, in a terminal with UTF-8."""
    plain: str
    """The same in ASCII."""
    colour: str
    code: int
    """Of the 256 colours of a terminal."""


USES = (
    Use("untouched", "free, never used: reads zero, no memory behind it",
        "", "·", ".", "#ffffff", 255),
    Use("zeroed", "free, in memory, reads zero", "", "░", "o", "#dedede", 250),
    Use("dirty", "free, in memory, with old content", "", "▒", ":", "#a3a3a3", 245),
    Use("listed", "free, on a thread's page list or the shelf", "+", "≡", "-", "#f0e442", 227),
    Use("leaving", "free, on its way back to the system", "<", "«", "<", "#c9b8e8", 183),
    Use("slab", "slab: cut into objects", "", "▄", "=", "#56b4e9", 75),
    Use("large", "large block: of kmalloc, alloc_contig or reserve_range",
        "L", "L", "l", "#d55e00", 166),
    Use("pages", "pages: a block of alloc_pages", "P", "P", "p", "#009e73", 36),
    Use("run", "run of high frames: alloc_contig or reserve_range", "R", "R", "r", "#cc79a7", 175),
    Use("unknown", "just taken by another thread", "?", "?", "?", "#000000", 16),
)  # fmt: skip
NR_USES = len(USES)
SLAB = 5
SLAB_FILLED = "#0072b2"  # the part of a slab whose objects are out
CACHED_COLOUR = "#f0e442"  # an object in a sheaf is to its slab what a listed block is to the buddy
MAPPED_COLOUR = "#e69f00"
FREE = frozenset(("untouched", "zeroed", "dirty"))  # what the buddy has
BY_NAME = {use.name: use for use in USES}
