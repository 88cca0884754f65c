"""How the benchmark lays its tables out: every width, no trailing blank, no figure broken."""

import io
import sys

import pytest

from pyslab.bench.harness import report
from pyslab.bench.harness.layout import layout
from pyslab.bench.harness.table import Table, format_ns, format_ratio, format_size

WIDE = Table(
    "wide",
    ["", "of", "pyslab", *(f"peer-{n} x" for n in range(12))],
    [[f"{size} KiB", kind, "18.6 ns", *(f"{n}.{size}" for n in range(12))]
     for size in (1, 16, 256) for kind in ("min", "median")],
    labels=2,
)  # fmt: skip
TEXTS = Table(
    "texts",
    ["", "asked", "measured", "holds"],
    [["C: 8 KiB blocks in the holes between these / in an unfragmented arena", "<= 1.5x",
      "12.33x (median 14.68x; default / no allocation 18.06x)", "yes"],
     ["short", ">= 4x", "7.21x", "NO"]],
)  # fmt: skip
WIDTHS = (40, 60, 80, 132, 200)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("table", [WIDE, TEXTS], ids=lambda table: table.title)
def test_no_line_is_longer(table: Table, width: int) -> None:
    """No line exceeds the width, and none ends in a blank."""
    lines = layout(table, width)
    assert max(map(len, lines)) <= width
    assert [] == [line for line in lines if line != line.rstrip()]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_whole(width: int) -> None:
    """A cell of figures is in one piece somewhere, and each block names its rows."""
    lines = layout(WIDE, width)
    for row in WIDE.rows:
        for cell in row:
            assert any(cell in line for line in lines), cell
    for block in "\n".join(lines).split("\n\n"):
        sizes = [line[:7].strip() for line in block.splitlines() if "KiB" in line[:7]]
        assert ["1 KiB", "16 KiB", "256 KiB"] == list(dict.fromkeys(sizes))


def test_blocks_have_all_columns_once() -> None:
    """Cut into blocks, a table has each heading once, but for those that name the rows."""
    for width in WIDTHS:
        words = " ".join(layout(WIDE, width)).split()
        assert [1] * 12 == [words.count(f"peer-{n}") for n in range(12)]
    assert len(layout(WIDE, 60)) > len(layout(WIDE, 200))


def test_a_text_is_wrapped_between_words() -> None:
    """The words of a long cell keep their order down its column."""
    lines = layout(TEXTS, 60)
    end = next(number for number, line in enumerate(lines) if line.startswith("short"))
    rule = next(number for number, line in enumerate(lines) if line.startswith("─"))
    first_cells = [line.split("  ")[0] for line in lines[rule + 1 : end]]
    assert TEXTS.rows[0][0] == " ".join(filter(None, first_cells))
    assert len(first_cells) > 2


def test_a_pipe_gets_a_line_per_row() -> None:
    """Without a width nothing is wrapped and nothing is cut."""
    assert 2 + len(WIDE.rows) == len(layout(WIDE))
    assert 2 + len(TEXTS.rows) == len(layout(TEXTS))


def test_a_table_of_one_column() -> None:
    """There may be nothing but labels."""
    assert ["x", "─", "1"] == layout(Table("", ["x"], [["1"]]), 60)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [60, 200])
def test_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Titles, tables, notes and the machine fit its columns."""
    screen = _Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    report.print_tables([WIDE, Table("a long title " * 12, ["x"], [["1"]])])
    monkeypatch.setattr(report, "machine_line", lambda _: "a machine " * 40)
    report.print_ending(["a note " * 40], {})
    assert max(map(len, screen.getvalue().splitlines())) <= columns


def test_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No bold, no trailing blank, each row and each note in one line."""
    monkeypatch.delenv("COLUMNS", raising=False)
    report.print_tables([WIDE, TEXTS])
    text = capsys.readouterr().out
    assert "\033" not in text
    assert [] == [line for line in text.splitlines() if line != line.rstrip()]
    assert any(TEXTS.rows[0][0] in line and "yes" in line for line in text.splitlines())


@pytest.mark.parametrize(
    ("ns", "expected"),
    [(0.0123, "0.012 ns"), (9.994, "9.99 ns"), (9.996, "10.0 ns"), (123.4, "123 ns"),
     (1500.0, "1.50 us"), (2.5e6, "2.50 ms"), (-155.203, "-155 ns"), (-1500.0, "-1.50 us")],
)  # fmt: skip
def test_times(ns: float, expected: str) -> None:
    """Three figures and a unit, below zero as above."""
    assert expected == format_ns(ns)


@pytest.mark.parametrize(
    ("ratio", "expected"), [(0.35, "0.35"), (99.96, "100"), (12345.0, "12k"), (float("inf"), "inf")]
)
def test_ratios(ratio: float, expected: str) -> None:
    """Three figures, or thousands; where the base is nothing, infinite."""
    assert expected == format_ratio(ratio)


@pytest.mark.parametrize(("size", "expected"), [(64, "64 B"), (4096, "4 KiB"), (1 << 26, "64 MiB")])
def test_sizes(size: int, expected: str) -> None:
    """The largest unit that leaves a whole number of at least 1."""
    assert expected == format_size(size)
