"""The bounds of the reference workloads, by workload and number of threads."""

from __future__ import annotations

from pathlib import Path

from tests.counts.programs import contend

# Locks and exchanges are per 1,000 operations; slabs bought, page faults, and the most frames in
# use at once are of the whole run (100,000 operations a thread, 20,000 with 32 threads).
_COLUMNS = ("cache_locks", "zone_locks", "heap_locks", "exchanges", "slabs", "faults", "peak_pages")
BOUNDS: dict[tuple[str, int], tuple[float, ...]] = {
    ("same_size", 1): (0, 0, 0, 0, 0, 0, 64),
    ("same_size", 2): (0, 0, 0, 0, 0, 0, 128),
    ("random_sizes", 1): (0.3, 0.1, 0.15, 7, 3, 20, 368),
    ("random_sizes", 2): (0.4, 0.1, 0.2, 9, 8, 40, 690),
    ("random_sizes", 32): (2.5, 0.2, 1.0, 9, 115, 620, 9600),
    ("many_live", 1): (1.7, 0.1, 0.6, 2.6, 18, 40, 768),
    ("many_live", 2): (1.7, 0.1, 0.6, 3.4, 37, 80, 1520),
    ("bursts", 1): (0, 0, 0, 0, 0, 0, 64),
    ("bursts", 2): (0, 0, 0, 0, 0, 0, 128),
    ("deep_bursts", 1): (215, 2.3, 2.4, 122, 350, 45, 720),
    ("deep_bursts", 2): (245, 8.7, 4.8, 142, 1760, 45, 1340),
    ("handover", 1): (0.6, 0.1, 0.3, 5.5, 4, 20, 336),
    ("handover", 2): (85, 0.1, 0.5, 43, 47, 74, 490),
    ("shared_table", 1): (69, 0.1, 0.2, 35, 11, 70, 1680),
    ("shared_table", 2): (27, 0.1, 0.3, 16, 21, 80, 1940),
    ("shared_table", 32): (46, 0.1, 1.0, 30, 195, 540, 8400),
    ("pages", 1): (0, 65, 0, 0, 0, 0, 450),
    ("pages", 2): (0, 65, 0, 0, 0, 0, 870),
    ("page_blocks", 1): (0, 0, 0, 0, 0, 0, 540),
    ("page_blocks", 2): (0, 0, 0, 0, 0, 0, 1080),
    ("large", 1): (0, 0, 0, 0, 0, 0, 310),
    ("large", 2): (0, 0, 0, 0, 0, 0, 620),
    ("large_mixed", 1): (0, 880, 0, 0, 0, 0, 700),
    ("large_mixed", 2): (0, 1020, 0, 0, 0, 0, 970),
}


def broken(workload: str, threads: int, built: Path) -> list[str]:
    """Return what a build's program `contend` counts above a bound."""
    operations = 100_000 if threads <= 2 else 20_000
    counts = contend(workload, threads, built, operations)
    bounds = dict(zip(_COLUMNS, BOUNDS[workload, threads], strict=True))
    assert counts["operations"] >= operations * threads * 0.74
    # The first threads of a process are registered during the warm-up.
    bounds["other_locks"] = 0
    return [f"{name}: {counts[name]:g} > {bound}" for name, bound in bounds.items()
            if counts[name] > bound]  # fmt: skip
