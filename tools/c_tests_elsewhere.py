"""Run the C tests of a build for another machine, and compare their failures with a list.

    python tools/c_tests_elsewhere.py BUILD_FOLDER LIST

The list names what cannot pass there: a program, and the test in it, or `*` for all that it has;
lines with # are the reasons. A failure that is not in it ends with an exit status of 1, and so does
a test of the list that passes: its line is to be taken out, unless it ends in `?`, for what passes
only at times.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PATIENCE_SECONDS = 600  # for one test; an emulated processor is ten times as slow as a real one


def wanted(path: Path) -> dict[tuple[str, str], bool]:
    """Return the list's tests, each with whether it always fails."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return {(row[0], row[1]): row[-1] != "?" for row in rows if row and row[0] != "#"}


def run(build: Path) -> str:
    """Return what ctest prints, which is shown as it comes, too."""
    command = ["ctest", "-V", "--test-dir", str(build), "--timeout", str(PATIENCE_SECONDS)]
    environment = {**os.environ, "CHECK_TIMEOUT": str(PATIENCE_SECONDS)}
    lines = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as ctest:
        assert ctest.stdout is not None
        for line in ctest.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return "".join(lines)


def results(text: str) -> dict[tuple[str, str], bool]:
    """Return whether each test passed; `*` stands for a program that ended without telling."""
    program = dict(re.findall(r"^ *Start +(\d+): (\w+)$", text, re.MULTILINE))
    found: dict[tuple[str, str], bool] = {}
    for number, word, test in re.findall(r"^(\d+): (ok|FAIL) +(\w+)", text, re.MULTILINE):
        found[program[number], test] = word == "ok"
    failed = re.findall(r"^ *\d+/\d+ Test +#\d+: (\w+) \.*\*\*\*", text, re.MULTILINE)
    for name in failed:
        if all(ok for (of, _), ok in found.items() if of == name):
            found[name, "*"] = False
    return found


def main(build: Path, path: Path) -> int:
    """Print what differs from the list; return 1 if something does."""
    listed, found = wanted(path), results(run(build))
    failed = {key for key, ok in found.items() if not ok}
    new = {key for key in failed if key not in listed and (key[0], "*") not in listed}
    mended = {key for key, always in listed.items() if always and found.get(key, False)}
    for text, keys in (("fails, and is not in the list", new), ("passes, but is listed", mended)):
        for name, test in sorted(keys):
            print(f"{name} {test}: {text} {path}")
    print(f"{len(found)} tests: {len(found) - len(failed)} passed, {len(failed)} failed, ", end="")
    print(f"{len(failed) - len(new)} of them as {path.name} says")
    return 1 if new or mended or not found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
