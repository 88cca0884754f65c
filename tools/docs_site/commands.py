"""The directive `command-help`: what `pyslab COMMAND --help` prints, as it is in this version."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive

_COLUMNS = "80"


def help_text(command: str) -> str:
    """Return the help page of a command of pyslab; "" is the page of pyslab itself."""
    done = subprocess.run(
        [sys.executable, "-m", "pyslab", *command.split(), "--help"],
        env={**os.environ, "COLUMNS": _COLUMNS, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


class CommandHelp(Directive):
    """Show the help of the command that is the argument; without one, pyslab's own."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make a block of it."""
        text = help_text(self.arguments[0] if self.arguments else "")
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Any) -> None:
    """Name the directive."""
    app.add_directive("command-help", CommandHelp)
