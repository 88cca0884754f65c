"""Load an Arrow file into arena memory and aggregate it, with Arrow's data never copied.

Arrow has a memory pool of its own, which pyslab does not replace. What an arena can hold is
the file: it is read into a Buffer, ``pa.py_buffer`` shows that to Arrow, and the columns
of the table are views of it. What NumPy (and pandas, where it is installed) makes of
them is the arena's by ``arena.numpy_allocator()``. Run it:

    python examples/arrow_load.py --rows 2000000

It generates a file of sales, and sums and averages them by shop.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from timing import compare

import pyslab

SHOPS = 100


def write_file(path: Path, rows: int, seed: int) -> None:
    """Write rows of (shop, pieces, price) as an Arrow IPC file."""
    rng = np.random.default_rng(seed)
    table = pa.table(
        {
            "shop": rng.integers(0, SHOPS, rows, dtype=np.int32),
            "pieces": rng.integers(1, 10, rows, dtype=np.int64),
            "price": rng.integers(1, 10_000, rows) / 100,
        }
    )
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_table(path: Path, arena: pyslab.Arena) -> Any:
    """Return the file's table; its columns are views of a Buffer, which they keep."""
    buffer = arena.kmalloc(path.stat().st_size, align=64)
    with path.open("rb") as file:
        if file.readinto(buffer) != buffer.nbytes:
            raise EOFError(f"{path} became shorter while it was read")
    return pa.ipc.open_file(pa.py_buffer(buffer)).read_all()


def lies_in(column: Any, arena: pyslab.Arena) -> bool:
    """Tell whether all data of a column is the arena's memory."""
    addresses = [part.buffers()[1].address for part in column.chunks]
    return all(arena.base <= address < arena.base + arena.size for address in addresses)


def aggregate(table: Any) -> dict[str, np.ndarray]:
    """Return sums and means by shop, and how far from them single sales are."""
    shop = table["shop"].to_numpy()
    amount = table["pieces"].to_numpy() * table["price"].to_numpy()
    count = np.bincount(shop, minlength=SHOPS)
    total = np.bincount(shop, amount, SHOPS)
    mean = total / np.maximum(count, 1)
    squares = np.bincount(shop, (amount - mean[shop]) ** 2, SHOPS)
    return {"total": total, "mean": mean, "deviation": np.sqrt(squares / np.maximum(count, 1))}


def check_with_pandas(table: Any, expected: np.ndarray) -> None:
    """Compare the sums with pandas' own."""
    frame = table.to_pandas()
    assert frame.__class__ is import_module("pandas").DataFrame
    frame["amount"] = frame["pieces"] * frame["price"]
    sums = frame.groupby("shop")["amount"].sum().reindex(range(SHOPS), fill_value=0.0)
    if not np.allclose(sums.to_numpy(), expected):
        raise SystemExit("pandas has other sums")
    print("pandas has the same sums")


def main(argv: Sequence[str] | None = None) -> None:
    """Write the file, load it, aggregate it both ways, print both times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    if min(options.rows, options.rounds) < 1:
        parser.error("--rows and --rounds must be at least 1")
    with tempfile.TemporaryDirectory() as folder, pyslab.Arena("4GiB", overcommit=True) as arena:
        path = Path(folder) / "sales.arrow"
        write_file(path, options.rows, options.seed)
        table = read_table(path, arena)
        print(f"{table.num_rows} rows, {path.stat().st_size >> 20} MiB")
        inside = sum(lies_in(table[name], arena) for name in table.column_names)
        print(f"columns in the arena: {inside} of {table.num_columns}")
        if inside < table.num_columns:
            raise SystemExit("Arrow has copied a column")
        found = compare(lambda: aggregate(table), arena, options.rounds)
        print(f"best shop: {found['total'].argmax()}, {found['total'].max():.2f}")
        if find_spec("pandas"):
            with arena.numpy_allocator():
                check_with_pandas(table, found["total"])


if __name__ == "__main__":
    main()
