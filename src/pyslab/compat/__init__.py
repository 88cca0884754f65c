"""Other projects' names over pyslab's figures, for programs that are used to them.

torch: torch.cuda's functions; arrow: pyarrow.MemoryPool's methods; rmm: RMM's resource
adaptors. None of these projects is needed, or imported. Each module says what each name
means here.
"""

from __future__ import annotations

from pyslab.compat import arrow, rmm, torch

__all__ = ["arrow", "rmm", "torch"]
