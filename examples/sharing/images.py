"""An image pipeline over a pool of processes: neither images nor results are copied on their way.

Each image goes to a worker of a ProcessPoolExecutor, which blurs it and finds its edges, and the
result comes back. Run it:

    python examples/sharing/images.py --images 24 --height 1080

It prints how long the pool took with plain pickles and under pyslab.share_numpy(), where what
travels is a handle of a hundred bytes, and checks that the pixels are the same.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

import pyslab

WORKERS = 2


def edges(image: np.ndarray) -> np.ndarray:
    """Return where the brightness changes, for each channel; the work of one task."""
    smooth = (image[:-1] >> 1) + (image[1:] >> 1)
    return np.maximum(smooth[:, 1:], smooth[:, :-1]) - np.minimum(smooth[:, 1:], smooth[:, :-1])


def make_images(count: int, height: int) -> list[np.ndarray]:
    """Return images of height rows in the shape 16:9, three channels of bytes."""
    rng = np.random.default_rng(1)
    row = np.arange(height * 16 // 9, dtype="u1")
    return [
        np.add.outer(np.arange(height, dtype="u1") * rng.integers(1, 9, dtype="u1"), row)[..., None]
        * np.array([1, 2, 3], "u1")
        for _ in range(count)
    ]


def run(images: list[np.ndarray]) -> tuple[list[np.ndarray], float]:
    """Return the results of a pool, and its seconds without its start."""
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        list(pool.map(abs, range(WORKERS)))
        begin = time.perf_counter()
        return list(pool.map(edges, images)), time.perf_counter() - begin


def main() -> None:
    """Run the pool both ways, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--height", type=int, default=1080)
    options = parser.parse_args()
    images = make_images(options.images, options.height)
    expected, plain = run(images)
    with pyslab.share_numpy("50%"):
        images = make_images(options.images, options.height)
        results, shared = run(images)
    assert all(np.array_equal(a, b) for a, b in zip(results, expected, strict=True))
    assert not results[0].flags.writeable, "it is the worker's memory"
    print(f"{len(images)} images of {images[0].nbytes / 2**20:.1f} MiB, {WORKERS} workers")
    print(f"plain pickles: {plain * 1e3:.0f} ms; without copies: {shared * 1e3:.0f} ms")
    print("the pixels are the same")


if __name__ == "__main__":
    main()
