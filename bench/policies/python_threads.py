"""kmalloc(64) and the drop of its Buffer from Python: two threads against one, on a shared arena.

What it is: a measurement for interpreters without a GIL; with one, two threads take turns. Rounds
of each kind take turns as well, and the fastest counts. What it is not: a comparison of mallocs.

    python bench/policies/python_threads.py
"""

import threading
import time

import pyslab

PAIRS = 200_000
ROUNDS = 11


def loop(arena: pyslab.Arena, gate: threading.Barrier, seconds: list[float]) -> None:
    """Allocate and drop, ten pairs a turn of the loop."""
    kmalloc = arena.kmalloc
    gate.wait()
    start = time.perf_counter()
    for _ in range(PAIRS // 10):
        kmalloc(64), kmalloc(64), kmalloc(64), kmalloc(64), kmalloc(64)
        kmalloc(64), kmalloc(64), kmalloc(64), kmalloc(64), kmalloc(64)
    seconds.append(time.perf_counter() - start)


def measure(nr_threads: int, shared: bool) -> float:
    """Return the nanoseconds of a pair in the slowest thread."""
    arena = pyslab.Arena("16MiB")
    gate = threading.Barrier(nr_threads)
    seconds: list[float] = []
    threads = [
        threading.Thread(
            target=loop, args=(arena if shared else pyslab.Arena("16MiB"), gate, seconds)
        )
        for _ in range(nr_threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(seconds) / PAIRS * 1e9


def main() -> None:
    """Print each case with what it makes of one thread's speed."""
    cases = {"one thread": (1, True), "two, one arena": (2, True), "two, an arena each": (2, False)}
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(ROUNDS):
        for name, case in cases.items():
            best[name] = min(best[name], measure(*case))
    for name, (nr_threads, _) in cases.items():
        speed = nr_threads * best["one thread"] / best[name]
        print(f"{name:20} {best[name]:6.1f} ns a pair, {speed:4.2f} x one thread")


if __name__ == "__main__":
    main()
