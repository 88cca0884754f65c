"""Prints the report on stdout: tables, notes, and the machine.

Here is only how it looks: `layout.py` places the cells, the sections say what is in them. A
terminal gets lines that fit its width; a pipe has no width, and gets each row in one line
unless the variable COLUMNS says otherwise.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

from pyslab.bench.harness.layout import layout
from pyslab.bench.harness.machine import machine_line
from pyslab.bench.harness.results import JsonObject, Results
from pyslab.bench.harness.section import Section
from pyslab.bench.harness.table import Table

_JUDGED = {True: "yes", False: "NO", None: "?"}
_BOLD, _PLAIN = "\033[1m", "\033[0m"


def print_report(sections: Sequence[Section], results: Results) -> None:
    """The tables of all sections, what pyslab promises, what was left out, the machine."""
    print_tables(tables(sections, results))
    print_ending(results.notes, results.machine)


def tables(sections: Sequence[Section], results: Results) -> list[Table]:
    """All tables that have a row, the verdicts last."""
    found = [table for section in sections for table in section.tables(results)]
    judged = [verdict for section in sections for verdict in section.verdicts(results)]
    rows = [[item.claim, item.asked, item.measured, _JUDGED[item.holds]] for item in judged]
    found.append(Table("What pyslab promises", ("", "asked", "measured", "holds"), rows))
    return [table for table in found if table.rows]


def print_tables(found: Sequence[Table]) -> None:
    """Each table with its title, and a blank line after it."""
    width = line_width()
    bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for table in found:
        for line in _wrapped(table.title, width):
            print(f"{_BOLD}{line}{_PLAIN}" if bold else line)
        print("\n".join(layout(table, width)))
        print()


def print_ending(notes: Sequence[str], machine: JsonObject) -> None:
    """What was left out and why, and the machine."""
    for text in (*(f"note: {note}" for note in notes), machine_line(machine)):
        print("\n".join(_wrapped(text, line_width())))


def line_width() -> int | None:
    """Columns of the terminal, or as many as COLUMNS asks for; None for a pipe."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return None


def _wrapped(text: str, width: int | None) -> list[str]:
    if width is None:
        return [text]
    return textwrap.wrap(text, width, break_on_hyphens=False)
