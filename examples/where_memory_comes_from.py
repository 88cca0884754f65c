"""Find out which line a pipeline's memory comes from, and halve it.

A profile of each of two versions: the first holds three images at its peak, and the profile names
the line of the third; the second version writes into an array that it has. It is all asserted.

    python examples/where_memory_comes_from.py
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import pyslab

SHAPE = (1500, 1500)


def sharpen(image: np.ndarray) -> np.ndarray:
    """Return image less its neighbours; makes an array for each step."""
    blurred = image * 0.5
    edges = image - blurred
    return image + edges


def sharpen_in_place(image: np.ndarray) -> np.ndarray:
    """Do the same with one array for all steps."""
    result = image * 0.5
    np.subtract(image, result, out=result)
    np.add(image, result, out=result)
    return result


def profiled(
    arena: pyslab.Arena, work: Callable[[np.ndarray], np.ndarray]
) -> tuple[pyslab.MemoryProfile, np.ndarray]:
    """Return where the work's memory came from, and its result."""
    image = np.linspace(0, 1, SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    with pyslab.profile(every="64KiB") as found, arena.numpy_allocator():
        result = work(image)
    assert found.result is not None
    return found.result, result


def main() -> None:
    """Profile both versions, and compare."""
    arena = pyslab.Arena("256MiB")
    before, first = profiled(arena, sharpen)
    after, second = profiled(arena, sharpen_in_place)
    assert np.array_equal(first, second)
    image_bytes = 8 * SHAPE[0] * SHAPE[1]
    lines = {
        frame.line for site in before.sites for frame in site.frames if frame.function == "sharpen"
    }
    assert len(lines) == 3  # one for each array
    assert abs(before.peak_bytes / image_bytes - 3) < 0.01
    assert abs(after.peak_bytes / image_bytes - 1) < 0.01
    print(f"{before.peak_bytes / 2**20:.0f} MiB at the peak, in lines {sorted(lines)}")
    print(f"{after.peak_bytes / 2**20:.0f} MiB with one array, and the same image")


if __name__ == "__main__":
    main()
