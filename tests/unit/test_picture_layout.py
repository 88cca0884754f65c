"""Where cells are in a picture: every one in its place, none in two."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pyslab._seeing.layout import TILE, hilbert_boxes, hilbert_cell, row_boxes


def test_curve() -> None:
    """Cells that follow each other touch; every cell of the square has its place."""
    places = [hilbert_cell(number) for number in range(TILE * TILE)]
    assert TILE * TILE == len(set(places))
    assert all(1 == abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in pairwise(places))
    assert all(0 <= column < TILE and 0 <= row < TILE for column, row in places)


@given(st.lists(st.sampled_from([None, 1, 2]), min_size=1, max_size=700))
def test_squares_cover_the_cells(keys: list[object]) -> None:
    """Each cell is in one square, of its own key."""
    covered: set[tuple[int, int]] = set()
    nr_cells = 0
    for first, nr, box in hilbert_boxes(keys):
        assert nr == box.width * box.height
        assert 1 == len(set(keys[first : first + nr]))
        places = {
            (box.column + column, box.row + row)
            for column in range(box.width)
            for row in range(box.height)
        }
        assert not covered & places
        covered |= places
        nr_cells += nr
    assert len(keys) == nr_cells


@given(st.integers(0, 500), st.integers(1, 500), st.sampled_from([16, 32, 64]))
def test_rows_cover_the_cells(first: int, nr: int, columns: int) -> None:
    """The rectangles of a run are its cells, and no others; an aligned block has one."""
    cells = {
        (box.row + row) * columns + box.column + column
        for box in row_boxes(first, nr, columns)
        for row in range(box.height)
        for column in range(box.width)
    }
    assert set(range(first, first + nr)) == cells
    order = nr.bit_length() - 1
    assert 1 == len(list(row_boxes(first << order, 1 << order, columns)))
