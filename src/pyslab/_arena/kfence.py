"""Arena(kfence_sample="100ms", kfence_objects=255): a few objects between pages without access.

Here the options are read. Not here: the pool and its checks (csrc/kfence); what is raised
(debugging.py).
"""

from __future__ import annotations

import enum
import re

from pyslab import _hints as hints
from pyslab._arguments import int_option
from pyslab._core import lib

__all__ = ["set_kfence"]

_TIME = re.compile(r"(\d{1,8})(ms|s)")
_MAX_SECONDS = 100_000


def set_kfence(options: hints.Any, sample: str | float | None, objects: int) -> None:
    """Put both into a pyslab_arena_options; TypeError, ValueError."""
    nr = int_option("kfence_objects", objects)
    if not 1 <= nr <= lib.PYSLAB_KFENCE_MAX_OBJECTS:
        most = lib.PYSLAB_KFENCE_MAX_OBJECTS
        raise ValueError(f"kfence_objects must be 1 to {most:,}, got {nr}")
    if sample is None:
        return
    milliseconds = _milliseconds(sample)
    if milliseconds and options.shared:
        raise ValueError("kfence_sample= is not to be had in a shared arena")
    options.kfence_sample_ms = milliseconds or lib.PYSLAB_KFENCE_OFF
    options.kfence_objects = nr


def _milliseconds(sample: str | float) -> int:
    if isinstance(sample, str):
        match = _TIME.fullmatch(sample)
        if match is None:
            raise ValueError(f"kfence_sample is a time such as '100ms' or '1s', got {sample!r}")
        seconds = int(match[1]) / (1000 if match[2] == "ms" else 1)
    elif isinstance(sample, (bool, enum.Flag)) or not isinstance(sample, (int, float)):
        raise TypeError(f"kfence_sample is a time such as '100ms', not {type(sample).__name__}")
    else:
        seconds = sample
    if not 0 <= seconds <= _MAX_SECONDS:
        raise ValueError(f"kfence_sample must be 0 to {_MAX_SECONDS:,} seconds, got {sample!r}")
    return 0 if seconds == 0 else max(1, round(seconds * 1000))
