"""What pandas, scipy.sparse, pyarrow and torch do with arrays that travel: the page's table."""

from collections.abc import Iterator
from typing import Any

import pytest

np = pytest.importorskip("numpy")

import pyslab  # noqa: E402
from tests.travel import travelled, trip  # noqa: E402

COUNT = 10_000


@pytest.fixture(autouse=True)
def sharing() -> Iterator[None]:
    with pyslab.share_numpy("256MiB"):
        yield


def test_numpy_makes_new_arrays() -> None:
    """Results are not what came, and travel again."""
    a = trip(np.arange(COUNT))
    for made in (a + a, np.concatenate([a, a])):
        assert not travelled(made)
        assert travelled(trip(made))


def test_pandas() -> None:
    """Columns of numbers and dates, indexes and codes travel; text and objects are copied."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({
        "number": np.arange(COUNT),
        "date": pandas.date_range("2020", periods=COUNT),
        "text": [f"x{i}" for i in range(COUNT)],
        "object": pandas.Series([1, "a"] * (COUNT // 2), dtype=object),
        "code": pandas.Series(np.arange(COUNT) % 300).astype("category"),
    })  # fmt: skip
    frame.index = pandas.Index(np.arange(COUNT) * 2)
    came = trip(frame)
    pandas.testing.assert_frame_equal(came, frame)
    for name in ("number", "date"):
        assert travelled(came[name].to_numpy()), name
    assert travelled(came.index.to_numpy())
    assert travelled(came["code"].array.codes)
    assert not travelled(came["object"].to_numpy())
    with pytest.raises(ValueError, match="read-only"):
        came.loc[0, "number"] = 1
    copy = came.copy()
    copy.loc[0, "number"] = 1
    assert copy.loc[0, "number"] == 1


def test_pandas_over_arrow() -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    series = pandas.Series(np.arange(COUNT), dtype="int64[pyarrow]")
    assert not travelled(trip(series).to_numpy())


@pytest.mark.parametrize("form", ["csr", "csc"])
def test_scipy_sparse(form: str) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.random(2000, 2000, density=0.01, format=form, rng=1)
    came = trip(matrix)
    assert 0 == (came != matrix).nnz
    for array in (came.data, came.indices, came.indptr):
        assert travelled(array)
    vector = np.ones(2000)
    assert np.array_equal(came @ vector, matrix @ vector)


def test_pyarrow() -> None:
    """Its buffers are copied; an array over a buffer that lies over an array travels."""
    arrow = pytest.importorskip("pyarrow")
    assert not travelled(trip(arrow.array(np.arange(COUNT))).to_numpy())
    over = arrow.Array.from_buffers(arrow.int64(), COUNT, [None, arrow.py_buffer(np.arange(COUNT))])
    assert travelled(trip(over.to_numpy()))
    assert not travelled(trip(over).to_numpy())


def test_torch() -> None:
    """A tensor goes its own way; the array under it travels, and a tensor lies over what came."""
    torch: Any = pytest.importorskip("torch")
    tensor = torch.from_numpy(np.arange(COUNT))
    came = trip(tensor.numpy())
    assert travelled(came)
    again = torch.from_numpy(came.copy())
    assert bool((again == tensor).all())


def test_torch_over_what_came() -> None:
    """With share_numpy(writable=True) it needs no copy."""
    torch: Any = pytest.importorskip("torch")
    with pyslab.share_numpy("64MiB", writable=True):
        array = np.arange(COUNT)
        over = torch.from_numpy(trip(array))
        over[0] = 42
        assert 42 == array[0]
