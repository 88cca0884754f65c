"""Prints the report on stdout: with rich where it is installed, else as plain text.

Here is only how a table looks; `_tables.py` decides what it says.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyslab.bench._format import Table
from pyslab.bench._machine import machine_line
from pyslab.bench._results import Results
from pyslab.bench._tables import tables

# Narrower, a table would be cut; a pipe has no width of its own.
_WIDTH_MIN = 132


def print_report(results: Results) -> None:
    """Tables, notes about what was left out, and the machine."""
    print_tables(tables(results))
    for note in results.notes:
        print(f"note: {note}")
    print(machine_line(results.machine))


def print_tables(found: Sequence[Table]) -> None:
    """The tables alone."""
    try:
        _print_rich(found)
    except ImportError:
        _print_plain(found)


def _print_rich(found: Sequence[Table]) -> None:
    import rich.box
    import rich.table
    from rich.console import Console
    from rich.text import Text

    console = Console()
    console.width = max(console.width, _WIDTH_MIN)
    for table in found:
        shown = rich.table.Table(
            title=Text(table.title, style="bold"), title_justify="left", box=rich.box.SIMPLE_HEAD
        )
        for number, column in enumerate(table.columns):
            shown.add_column(Text(column), justify="right" if number else "left")
        for row in table.rows:
            shown.add_row(*(Text(cell) for cell in row))
        console.print(shown)


def _print_plain(found: Sequence[Table]) -> None:
    for table in found:
        lines = [table.columns, *table.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
        print(table.title)
        for line in lines:
            first, *others = (
                cell.rjust(width) if number else cell.ljust(width)
                for number, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            print("  ".join([first, *others]).rstrip())
        print()
