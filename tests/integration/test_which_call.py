"""bench/policies/which_call.py: its output has the shape that docs/which-call.md needs.

No time is judged here.
"""

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.utils import REPO

SCRIPT = REPO / "bench" / "policies" / "which_call.py"
CALLS = {
    *("kmalloc", "get_free_pages", "vmalloc", "vmalloc, scattered", "kvmalloc"),
    *("mmap, private", "mmap(-1, n)"),
}
OPTIONAL = {"alloc_pages + kmap"}  # where the arena has kmap
SIZES = {4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}
PHASES = {"allocate", "touch", "read", "free"}
NR_TABLES = 6
MARKERS = ("<!-- figures: which_call.py writes them -->", "<!-- end of figures -->")


def _run(script: Path, *options: str) -> str:
    """Return what the script prints."""
    command = [sys.executable, str(script), "--quick", *options]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the script beside a copy of the page, which it may write."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(SCRIPT.parent, root / "bench" / "policies")
    (root / "docs").mkdir()
    shutil.copy(REPO / "docs" / "which-call.md", root / "docs")
    return root


@pytest.fixture(scope="module")
def output(copy: Path) -> tuple[str, dict[str, Any]]:
    """Return the text and the document of one run that also writes the page."""
    path = copy / "figures.json"
    text = _run(copy / "bench" / "policies" / SCRIPT.name, "--json", str(path), "--write-docs")
    return text, json.loads(path.read_text(encoding="utf-8"))


def test_the_rows(output: tuple[str, dict[str, Any]]) -> None:
    """Every call at every size, fresh and (but for mmap) recycled; four phases, none negative."""
    rows = output[1]["rows"]
    assert {row["call"] for row in rows} - OPTIONAL == CALLS
    keys = [(row["call"], row["nbytes"], row["memory"]) for row in rows]
    assert len(keys) == len(set(keys))
    for call in {row["call"] for row in rows}:
        memory = {"fresh"} if call.startswith("mmap") else {"fresh", "recycled"}
        expected = {(call, size, kind) for size in SIZES for kind in memory}
        assert expected == {key for key in keys if key[0] == call}
    for row in rows:
        assert set(row["min_ns"]) == set(row["median_ns"]) == PHASES
        for phase in PHASES:
            assert 0 <= row["min_ns"][phase] <= row["median_ns"][phase]


def test_the_waste(output: tuple[str, dict[str, Any]]) -> None:
    """One byte more than a power of two: what each call reserves holds it."""
    found = {(item["call"], item["nbytes"]): item for item in output[1]["waste"]}
    assert {size + 1 for size in SIZES} == {nbytes for _, nbytes in found}
    for item in found.values():
        assert item["reserved"] >= item["nbytes"]
        assert item["ratio"] == pytest.approx(item["reserved"] / item["nbytes"])
    for size in SIZES:
        assert 2 * size == found["get_free_pages", size + 1]["reserved"]
        assert size + 4096 == found["vmalloc", size + 1]["reserved"]
        assert found["kmalloc", size + 1]["reserved"] <= 1.25 * (size + 1)


def test_the_tables(output: tuple[str, dict[str, Any]]) -> None:
    """Six tables in Markdown: a heading with every call, a row for every size."""
    text = output[0]
    assert text.startswith("`python bench/policies/which_call.py")
    tables = text.split("\n\n**")[1:]
    assert NR_TABLES == len(tables)
    calls = {row["call"] for row in output[1]["rows"]}
    for table in tables:
        heading, rule, *rows = [line for line in table.splitlines() if line.startswith("|")]
        assert set(heading.strip("| ").split(" | ")) == calls
        assert {"---"} == set(rule.strip("|").split("|"))
        assert len(SIZES) == len(rows)
        assert {len(calls) + 2} == {row.count("|") for row in [heading, *rows]}


def test_the_page(copy: Path, output: tuple[str, dict[str, Any]]) -> None:
    """The tables replace what was between the markers, and nothing else; the picture parses."""
    new = (copy / "docs" / "which-call.md").read_text(encoding="utf-8")
    old = (REPO / "docs" / "which-call.md").read_text(encoding="utf-8")
    for page in (old, new):
        assert [1, 1] == [page.count(marker) for marker in MARKERS]
    begin, end = MARKERS
    assert old.partition(begin)[0] == new.partition(begin)[0]
    assert old.partition(end)[2] == new.partition(end)[2]
    assert f"{begin}\n{output[0].strip()}\n{end}" in new
    root = ET.parse(copy / "docs" / "which-call.svg").getroot()
    lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
    calls = {row["call"] for row in output[1]["rows"]}
    assert 2 * len(calls) - 2 == len(lines)  # mmap has no recycled memory
    for line in lines:
        assert len(SIZES) == len(line.attrib["points"].split())


def test_the_committed_page_has_figures() -> None:
    """docs/which-call.md holds tables, with the command, and its picture is there."""
    text = (REPO / "docs" / "which-call.md").read_text(encoding="utf-8")
    figures = text.partition(MARKERS[0])[2].partition(MARKERS[1])[0]
    assert NR_TABLES == figures.count("\n\n**")
    assert "| 64 MiB | " in figures
    ET.parse(REPO / "docs" / "which-call.svg")


def test_a_page_without_markers(copy: Path, output: tuple[str, dict[str, Any]]) -> None:
    """Nothing is written into a page that lacks them."""
    page = copy / "docs" / "which-call.md"
    page.write_text("# no markers\n", encoding="utf-8")
    command = [sys.executable, str(copy / "bench/policies/which_call.py"), "--quick"]
    done = subprocess.run(
        [*command, "--write-docs"], capture_output=True, text=True, check=False, cwd=REPO
    )
    assert 1 == done.returncode
    assert "lacks its markers" in done.stderr
    assert "# no markers\n" == page.read_text(encoding="utf-8")
