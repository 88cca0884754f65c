"""A verdict, and how two series are held against a limit. Judges nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

from pyslab.bench.harness.series import Ratio, Series

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Verdict:
    """One promise."""

    claim: str
    asked: str
    measured: str
    holds: bool | None  # None: not measured


def at_most(claim: str, ours: Series | None, base: Series | None, limit: float) -> Verdict:
    """Whether our fastest round takes at most so many times as long as the other's."""
    asked = f"<= {limit:g}x"
    if ours is None or base is None:
        return Verdict(claim, asked, NOT_MEASURED, None)
    ratio = Ratio.of(ours, base)
    measured = f"{ratio.minimum:.2f}x (median {ratio.median:.2f}x)"
    return Verdict(claim, asked, measured, ratio.minimum <= limit)
