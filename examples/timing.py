"""What the NumPy examples share: one calculation, with NumPy's own allocator and with an arena.

The two take turns, so that a busy moment of the machine meets both, and the results are
compared. Not an example by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np

import pyslab

Calculation = Callable[[], "dict[str, np.ndarray]"]


def compare(calculation: Calculation, arena: pyslab.Arena, rounds: int) -> dict[str, np.ndarray]:
    """Run it both ways, print the best of the rounds, return the results.

    Raises SystemExit if the two ways give different results.
    """
    ways: dict[str, AbstractContextManager[object]] = {
        "NumPy's allocator": nullcontext(),
        "pyslab's arena": arena.numpy_allocator(),
    }
    best = dict.fromkeys(ways, float("inf"))
    results: dict[str, dict[str, np.ndarray]] = {}
    for _ in range(rounds):
        for name, allocator in ways.items():
            results.pop(name, None)  # before the clock starts
            with allocator:
                start = time.perf_counter()
                results[name] = calculation()
                best[name] = min(best[name], time.perf_counter() - start)
    theirs, ours = results.values()
    for key, array in theirs.items():
        if not np.array_equal(array, ours[key]):
            raise SystemExit(f"{key} differs between the allocators")
    for name, seconds in best.items():
        print(f"{name + ':':<18} {seconds * 1e3:9.2f} ms")
    first, second = best.values()
    print(f"{first / second:.2f} times as fast; results are equal: {', '.join(theirs)}")
    return ours
