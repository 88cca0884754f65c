"""The sections of `pyslab bench`, one module each, in the order of the report.

A module has one `SECTION` (see `harness/section.py`) with all that concerns its subject: the
measurement, the tables, the promises and the panels of the picture.
"""

from __future__ import annotations

from pyslab.bench.harness.section import Section
from pyslab.bench.sections import (
    apart,
    c_blocks,
    fragmentation,
    latency,
    memory,
    numpy_chain,
    numpy_empty,
    numpy_peak,
    objects,
    peaks,
    python_buffers,
    shared,
    small_program,
    supply,
    threads,
    travel,
    travel_many,
    zeroed,
)

SECTIONS: tuple[Section, ...] = tuple(
    module.SECTION
    for module in (
        python_buffers,
        c_blocks,
        memory,
        # 5. In depth
        objects,
        threads,
        latency,
        peaks,
        small_program,
        zeroed,
        apart,
        fragmentation,
        supply,
        shared,
        # 6. NumPy
        numpy_chain,
        numpy_empty,
        numpy_peak,
        # 7. Arrays that travel
        travel,
        travel_many,
    )
)
