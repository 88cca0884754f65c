"""Misuse of malloc: what is caught, and with which words."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.malloc.misuse import LINE, Outcome, build, cases, contenders, run_all

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")

Results = dict[tuple[str, str], Outcome]

# Sure to be caught whatever the size, in either mode: what is no block, or none any more.
CERTAIN = (
    *("double_free_at_once", "double_free_then_alloc", "double_free_of_reused"),
    *("free_inside_1", "free_inside_8", "free_inside_half", "free_inside_page", "free_far"),
    *("free_stack", "free_static", "free_code", "free_mapped", "free_low_address"),
    *("realloc_freed", "realloc_inside", "realloc_stack", "usable_of_freed", "usable_inside"),
    *("double_free_after_1", "double_free_after_3", "double_free_after_10"),
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cases, compiled."""
    return build(tmp_path_factory.mktemp("misuse"))


@pytest.fixture(scope="module")
def default(program: Path) -> Results:
    """What the library makes of them."""
    return run_all(program, contenders()["pyslab"])


@pytest.fixture(scope="module")
def hardened(program: Path) -> Results:
    """What it makes of them in hardened mode."""
    return run_all(program, contenders()["pyslab hardened"])


@pytest.mark.parametrize("name", CERTAIN)
@pytest.mark.parametrize("mode", ["default", "hardened"])
def test_certain(name: str, mode: str, request: pytest.FixtureRequest) -> None:
    """Pointers that are no live block end the process, with a line that names them."""
    results: Results = request.getfixturevalue(mode)
    found = {case: outcome for case, outcome in results.items() if case[0] == name}
    assert found
    for case, outcome in found.items():
        assert outcome.verdict in {"caught", "exit"}, case
        assert LINE.search(outcome.stderr), (case, outcome.stderr)


def test_hardened_catches_all(hardened: Results) -> None:
    """In hardened mode no case goes unnoticed."""
    assert [] == [c for c, o in hardened.items() if o.verdict not in {"caught", "safe", "exit"}]


def test_guards_catch_all(program: Path) -> None:
    """With guards each case ends before main returns."""
    found = run_all(program, contenders()["pyslab guard"])
    assert [] == [c for c, o in found.items() if o.verdict not in {"caught", "safe"}]


OWN_OPERATORS = """
#include <cstdlib>
#include <new>
void *operator new(std::size_t size) { return std::malloc(size); }
void operator delete(void *p) noexcept { std::free(p); }
int main()
{
    ::operator delete(::operator new(40), std::size_t(40)); // ours: it frees what malloc made
    delete[] new int[7];
    return 0;
}
"""


@pytest.mark.parametrize("mode", ["pyslab hardened", "pyslab guard"])
def test_operators_of_the_program(tmp_path: Path, mode: str) -> None:
    """Blocks of operators that the program replaced may go by one that it did not."""
    (tmp_path / "own.cc").write_text(OWN_OPERATORS, encoding="utf-8")
    subprocess.run(["g++", "-w", "-o", "own", "own.cc"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [tmp_path / "own"],
        env={**os.environ, **contenders()[mode]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)


def test_kinds_are_named(hardened: Results) -> None:
    """The line says what made the block."""
    for name, words in (
        ("delete_of_malloc", r"delete\(\w+\): made by malloc; "),
        ("delete_of_array", r"delete\(\w+\): made by new\[\]; "),
        ("delete_array_of_new", r"delete\[\]\(\w+\): made by new; "),
        ("free_of_new", r"free\(\w+\): made by new; "),
    ):
        found = [outcome.stderr for case, outcome in hardened.items() if case[0] == name]
        assert 4 == sum(re.search(words, text) is not None for text in found), found


def test_one_line(default: Results, hardened: Results) -> None:
    """What the library says before it aborts is one line."""
    for results in (default, hardened):
        for case, outcome in results.items():
            lines = re.findall(r"^pyslab: .*$", outcome.stderr, re.MULTILINE)
            assert len(lines) <= 1, case
            assert not lines or LINE.match(lines[0]), (case, lines)


def test_every_case_runs(program: Path, default: Results) -> None:
    """No case ends for a reason of its own."""
    assert len(cases(program)) == len(default)
    assert [] == [c for c, o in default.items() if o.verdict.startswith("status")]
