"""How many slots a window may have: apart from window.py, which takes its time to import."""

from __future__ import annotations

from pyslab._arguments import int_option

__all__ = ["LAST_PKMAP", "MAX_SLOTS", "window_slots"]

LAST_PKMAP = 1024
"""Slots of the kernel's window, and of ours by default."""
MAX_SLOTS = 1 << 20


def window_slots(name: str, slots: int) -> int:
    """Return a valid number of slots. Raises TypeError, ValueError."""
    if not 0 < int_option(name, slots) <= MAX_SLOTS:
        raise ValueError(f"{name} must be 1 to {MAX_SLOTS}, got {slots}")
    return slots
