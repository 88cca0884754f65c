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
    ("random_sizes", 1): (6, 0.1, 0.1, 10, 3, 20, 368),
    ("random_sizes", 2): (6.5, 0.1, 0.1, 15, 8, 40, 672),
    ("random_sizes", 32): (9, 0.1, 0.4, 12.5, 62, 320, 9300),
    ("many_live", 1): (2.3, 0.1, 0.6, 2.6, 18, 40, 768),
    ("many_live", 2): (2.3, 0.1, 0.6, 3.4, 37, 80, 1520),
    ("bursts", 1): (0, 0, 0, 0, 0, 0, 64),
    ("bursts", 2): (0, 0, 0, 0, 0, 0, 128),
    ("deep_bursts", 1): (445, 0.6, 0.1, 161, 198, 45, 720),
    ("deep_bursts", 2): (522, 10.5, 0.1, 167, 2030, 30, 1340),
    ("handover", 1): (0.6, 0.1, 0.3, 5.5, 4, 20, 336),
    ("handover", 2): (85, 0.1, 0.5, 43, 47, 74, 490),
    ("shared_table", 1): (69, 0.1, 0.2, 35, 11, 70, 1680),
    ("shared_table", 2): (63, 0.1, 0.3, 36, 21, 80, 1940),
    ("shared_table", 32): (66, 0.1, 1.0, 38, 190, 480, 8400),
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
