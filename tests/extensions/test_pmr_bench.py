"""bench/extensions/pmr.py runs, and has a figure for each resource. No time is judged here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.utils import REPO

SCENARIOS = {"vector", "list", "map", "unordered_map", "strings"}


@pytest.mark.skipif(shutil.which("c++") is None, reason="c++ is missing (a compiler)")
def test_the_figures(tmp_path: Path) -> None:
    """Every container, on every resource, in every round."""
    figures = tmp_path / "figures.json"
    options = ("--elements", "300", "--rounds", "3", "--json", str(figures))
    done = subprocess.run(
        [sys.executable, str(REPO / "bench" / "extensions" / "pmr.py"), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    found = json.loads(figures.read_text(encoding="utf-8"))
    assert set(found) == SCENARIOS
    for times in found.values():
        assert len(times) == 7
        for contender, rounds in times.items():
            assert f"| {contender} |" in done.stdout
            assert len(rounds) == 3
            assert all(ns > 0 for ns in rounds)
