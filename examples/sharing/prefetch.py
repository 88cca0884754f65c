"""A loader that prepares batches in other processes, for torch, or for NumPy alone.

Workers make batches of float32 pictures and labels; the training loop takes them from a queue.
Under pyslab.share_numpy(writable=True) a batch is not copied on its way, and becomes a tensor over
the same memory by torch.from_numpy(). Without torch the loop takes arrays. Run it:

    python examples/sharing/prefetch.py --batches 40

It prints the batches a second with plain pickles and without copies, and what the loop computed,
which is the same both times.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import nullcontext
from multiprocessing import get_context
from typing import Any

import numpy as np

import pyslab

try:
    import torch
except ImportError:
    torch = None

WORKERS = 2
SHAPE = (32, 3, 224, 224)  # of a batch: 18 MiB


def load(numbers: Any, batches: Any) -> None:
    """In a worker: prepare the batches whose numbers come."""
    for number in iter(numbers.get, None):
        rng = np.random.default_rng(number)
        pictures = rng.random(SHAPE, "f4")
        pictures -= np.float32(0.5)
        labels = rng.integers(0, 1000, SHAPE[0])
        batches.put((number, pictures, labels))
        del pictures, labels


class Loader:
    """Yields (number, pictures, labels) of batches in the order in which they get ready."""

    def __init__(self, count: int) -> None:
        context = get_context("spawn")
        self._numbers, self._batches = context.Queue(), context.Queue(2 * WORKERS)
        self._count = count
        queues = self._numbers, self._batches
        self._workers = [context.Process(target=load, args=queues) for _ in range(WORKERS)]
        for worker in self._workers:
            worker.start()

    def __iter__(self) -> Iterator[tuple[int, Any, Any]]:
        for number in [*range(self._count), *[None] * WORKERS]:
            self._numbers.put(number)
        for _ in range(self._count):
            number, *arrays = self._batches.get()
            pictures, labels = map(torch.from_numpy, arrays) if torch else arrays
            yield number, pictures, labels
        for worker in self._workers:
            worker.join()


def train(count: int) -> tuple[dict[int, float], float]:
    """Return a number for each batch, and batches a second."""
    losses = {}
    begin = time.perf_counter()
    for number, pictures, labels in Loader(count):
        pictures *= 2  # in place, as a loop with augmentation does
        losses[number] = float(pictures[:, :, ::16, ::16].sum()) + float(labels.sum())
    return losses, count / (time.perf_counter() - begin)


def main() -> None:
    """Train both ways, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batches", type=int, default=40)
    count = parser.parse_args().batches
    found = {}
    for name in ("plain pickles", "without copies"):
        with pyslab.share_numpy(writable=True) if name != "plain pickles" else nullcontext():
            found[name], speed = train(count)
        print(f"{name}: {speed:.1f} batches a second, for {'torch' if torch else 'NumPy'}")
    assert found["plain pickles"] == found["without copies"]
    assert len(found["plain pickles"]) == count
    print(f"{count} batches, the same numbers both times")


if __name__ == "__main__":
    main()
