"""Sharing: what two processes see of one arena, and what travels between them."""

from __future__ import annotations

from drawings.pen import WIDTH, Drawing

_LEFT, _BOX = 16, 186
_RIGHT = WIDTH - 16 - _BOX


def drawing() -> str:
    """Return the picture."""
    pen = Drawing(
        "How two processes share an arena",
        "The owner keeps the allocator to itself. The frames and a table of who holds which block "
        "lie in files in memory that both processes map. A handle of 32 bytes goes from the owner "
        "to the client.",
        408,
    )
    owner, client = _LEFT + _BOX / 2, _RIGHT + _BOX / 2
    pen.words(owner, 26, "owner", "name", "middle")
    pen.words(client, 26, "client", "name", "middle")
    pen.labelled(
        "grey", _LEFT, 38, _BOX, 74, "allocator", "sheaves, slabs, buddy:", "its own, never shared"
    )
    pen.labelled("grey", _RIGHT, 38, _BOX, 74, "its program", "an array: read-only,", "in place")
    pen.arrow((_LEFT + _BOX, 75), (_RIGHT - 2, 75))
    pen.words(WIDTH / 2, 62, "handle", "name", "middle")
    pen.words(WIDTH / 2, 98, "32 B", "note", "middle")
    pen.arrow((owner, 112), (owner, 178))
    pen.arrow((client, 112), (client, 178))
    pen.words(owner + 12, 150, "reads, writes", "note")
    pen.words(client - 12, 150, "reads", "note", "end")
    pen.labelled(
        "green",
        _LEFT,
        182,
        WIDTH - 32,
        62,
        "the frames",
        "a file in memory, which both have mapped",
    )
    pen.labelled(
        "yellow",
        _LEFT,
        276,
        WIDTH - 32,
        62,
        "the table of holders",
        "who has which block; one row a process",
    )
    pen.words(_LEFT, 368, "A block goes when its owner has freed it and no row has it.", "note")
    pen.words(_LEFT, 388, "A row ends with its process: nothing can stay locked.", "note")
    return pen.text()
