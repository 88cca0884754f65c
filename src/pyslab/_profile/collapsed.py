"""Collapsed stacks: a line for each place, its calls from the outermost in, and one number.

flamegraph.pl, Speedscope and inferno read it. The number is the bytes at the peak.
"""

from __future__ import annotations

from pyslab._profile.records import MemoryProfile, ProfileFrame

__all__ = ["text"]


def _name(frame: ProfileFrame) -> str:
    return str(frame).replace(";", ":").replace("\n", " ")


def text(profile: MemoryProfile) -> str:
    """Return the lines; places without a whole byte at the peak have none."""
    sums: dict[str, int] = {}
    for site in profile.sites:
        frames = [_name(frame) for frame in reversed(site.frames)] or ["?"]
        if len(profile.processes) > 1:
            frames.insert(0, f"process {site.process}")
        line = ";".join(frames)
        sums[line] = sums.get(line, 0) + round(site.peak_bytes)
    return "".join(f"{line} {nbytes}\n" for line, nbytes in sums.items() if nbytes)
