"""What a purge delay costs: a 64 MiB buffer filled and dropped in bursts with pauses.

The measurement behind the default of Arena(purge_delay=). Run it with the environment
that pyslab is installed in: `python bench/policies/purge_delay.py`.
"""

from __future__ import annotations

import time

import pyslab

SIZE = 64 << 20
BURST = 3
PAUSES = (0.0, 0.05, 0.5, 2.0)
DELAYS = (0.01, 0.1, 1.0, 10.0)


def burst_ms(delay: float, pause: float) -> float:
    """Return milliseconds for one fill, the mean over bursts with pauses between."""
    data = bytes(SIZE)
    rounds = 20 if pause < 0.5 else 6
    worked = 0.0
    with pyslab.Arena("1GiB", purge_delay=delay) as arena:
        for _ in range(rounds):
            begin = time.perf_counter()
            for _ in range(BURST):
                buf = arena.kmalloc(SIZE)
                buf[:] = data
                del buf
            worked += time.perf_counter() - begin
            time.sleep(pause)
    return worked / rounds / BURST * 1e3


def main() -> None:
    """Print a table: a row for each pause, a column for each delay."""
    print("pause    " + "".join(f"{delay:>9} s" for delay in DELAYS))
    for pause in PAUSES:
        row = "".join(f"{burst_ms(delay, pause):8.1f} ms" for delay in DELAYS)
        print(f"{pause:5} s  {row}")


if __name__ == "__main__":
    main()
