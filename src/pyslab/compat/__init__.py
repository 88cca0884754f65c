"""Other projects' names over pyslab's figures, for programs that are used to them.

torch: torch.cuda's functions; arrow: pyarrow.MemoryPool's methods; rmm: RMM's resource
adaptors. None of these projects is needed, or imported, and none of them takes its memory from
an arena by this: the modules tell figures, and rmm's adaptors hand out addresses. Each module
says what each name means here.
"""

from __future__ import annotations

from pyslab.compat import arrow, rmm, torch

__all__ = ["arrow", "rmm", "torch"]
