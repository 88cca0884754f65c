"""Section 5: blocks from an arena that is taken apart, in four layouts.

All blocks are allocated and then freed in the reverse order. A block that has free memory on both
sides may cost half as much again as one that has not, at the same place: what is 64 KiB apart is
held against blocks that fill these 64 KiB ("whole"), and what lies side by side in holes against
the same in a whole arena. Records of frames that lie side by side share cache lines, and those
of frames far apart do not, whatever the allocator does with them.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from pyslab.bench.harness.driver_modes import Mode, driver_section
from pyslab.bench.harness.results import Results
from pyslab.bench.harness.section import Plan
from pyslab.bench.harness.table import KIB, MISSING, Table, format_ns, format_ratio
from pyslab.bench.harness.verdict import NOT_MEASURED, Verdict

FRAGMENTED_COST = 1.5

# Names of bench/driver/aligned.c.
_SIDE_BY_SIDE = "side by side"
# Layout -> the claim, and the layout that it is held against.
_PROMISED = {
    "apart": ("8 KiB blocks 64 KiB apart / 64 KiB blocks there", "whole"),
    "in the holes": (
        "8 KiB blocks in the holes between these / in an unfragmented arena",
        _SIDE_BY_SIDE,
    ),
}


@dataclass(frozen=True)
class Aligned:
    """Blocks of pyslab in one layout, all allocated, then freed in the reverse order."""

    layout: str  # "side by side", "apart", "whole" or "in the holes"
    bytes: int
    align: int
    blocks: int
    ns_per_op: tuple[float, ...]


def _modes(plan: Plan) -> list[Mode]:
    return [Mode(("--aligned", "--rounds", str(plan.thread_rounds)), with_peers=False)]


def _layouts(results: Results) -> dict[str, Aligned]:
    return {item.layout: item for item in results.of(Aligned)}


def _tables(results: Results) -> list[Table]:
    base = _layouts(results).get(_SIDE_BY_SIDE)
    rows = []
    for item in results.of(Aligned):
        times = [format_ns(min(item.ns_per_op)), format_ns(statistics.median(item.ns_per_op))]
        ratio = format_ratio(min(item.ns_per_op) / min(base.ns_per_op)) if base else MISSING
        blocks = f"{item.blocks} x {item.bytes // KIB} KiB"
        rows.append([item.layout, blocks, f"{item.align // KIB} KiB", *times, ratio])
    columns = ("", "blocks", "each at", "min", "median", "/ side by side")
    title = "5. In depth: a 4 GiB arena taken apart, freed in reverse, per block"
    return [Table(title, columns, rows)]


def _verdicts(results: Results) -> list[Verdict]:
    layouts = _layouts(results)
    return [
        _verdict(name, layouts.get(layout), layouts.get(base))
        for layout, (name, base) in _PROMISED.items()
    ]


def _verdict(name: str, ours: Aligned | None, base: Aligned | None) -> Verdict:
    claim = f"C: {name}"
    asked = f"<= {FRAGMENTED_COST:g}x"
    if ours is None or base is None:
        return Verdict(claim, asked, NOT_MEASURED, None)
    ratio = min(ours.ns_per_op) / min(base.ns_per_op)
    medians = statistics.median(ours.ns_per_op) / statistics.median(base.ns_per_op)
    measured = f"{ratio:.2f}x (median {medians:.2f}x)"
    return Verdict(claim, asked, measured, ratio <= FRAGMENTED_COST)


SECTION = driver_section(
    "depth.aligned",
    Aligned,
    key="aligned",
    modes=_modes,
    tables=_tables,
    verdicts=_verdicts,
)
