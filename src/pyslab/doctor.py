"""pyslab doctor: what this machine offers, what is in the way, and what to change.

It looks and changes nothing. The exit status is 0 if all that pyslab offers works here, else 1.
Not here: the single looks (_doctor/machine.py, _doctor/process.py).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence

from pyslab._doctor import machine, process
from pyslab._doctor.finding import NOTE, OK, PROBLEM, Finding, run

__all__ = ["examine", "main"]

_MARKS = {OK: "ok ", NOTE: "  -", PROBLEM: "  !"}


def examine() -> Iterator[Finding]:
    """Give everything that is found, one thing after the other. Raises nothing."""
    for look in (*machine.LOOKS, *process.LOOKS):
        yield from run(look)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyslab doctor",
        usage="pyslab doctor [--json]",
        description="Tell what this machine offers to pyslab, and what is in the way. It changes "
        "nothing. Exit status: 0 if all that pyslab offers works here, else 1.",
    )
    parser.add_argument("--json", action="store_true", help="a list of objects, for programs")
    return parser


def _plain(text: str, encoding: str) -> str:
    """Return text that can be printed: escapes for control characters, and for what the terminal's
    encoding has not, or never was text, as in a variable or a path."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _print(findings: Sequence[Finding]) -> None:
    width = max(len(finding.subject) for finding in findings)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for finding in findings:
        text = _plain(finding.text, encoding)
        print(f"{_MARKS[finding.level]} {finding.subject:{width}}  {text}")
        if finding.advice:
            print(f"    {'':{width}}  -> {_plain(finding.advice, encoding)}")
    nr_problems = sum(finding.level == PROBLEM for finding in findings)
    nr_notes = sum(finding.level == NOTE for finding in findings)
    print()
    if nr_problems:
        print(f"{nr_problems} of these (!) keep something from working.")
    elif nr_notes:
        print(f"All works; {nr_notes} of these (-) could be better, or are worth knowing.")
    else:
        print("All works.")


def main(argv: Sequence[str]) -> int:
    """Print what is found, and return the exit status."""
    options = _parser().parse_args(argv)
    findings = list(examine())
    if options.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        _print(findings)
    return int(any(finding.level == PROBLEM for finding in findings))
