"""What programs that misuse a sample of KFENCE begin with, and how they end.

What it is not: a test; tests/unit/test_kfence.py and test_kfence_pytest.py are.
"""

from __future__ import annotations

import re
import subprocess

# A sample of 112 bytes, at the end of its page or at its start.
PRELUDE = """
import ctypes, faulthandler, os, signal, sys, threading, time
import pyslab
from pyslab._core import ffi, lib

def load(arena):
    return arena.kmalloc(112)

def sample(arena, at_end):
    while True:
        kept = []
        while len(kept) < 4000:
            before = arena.kfence_stats().nr_allocs
            kept.append(load(arena))
            if arena.kfence_stats().nr_allocs != before:
                if (kept[-1].address % 4096 != 0) == at_end:
                    return kept[-1]
                break
        del kept
        time.sleep(0.004)

def drop(arena, buf):
    address = buf.address
    arena.kfree(buf)
    return address

def read(address):
    return ctypes.string_at(address, 1)
"""
MAKE = """
arena = pyslab.Arena("64MiB", kfence_sample="1ms")
"""


def assert_killed(child: subprocess.CompletedProcess[str], words: str) -> None:
    """The child ended by SIGSEGV, after a report with these words and Python's calls."""
    assert -11 == child.returncode, child.stderr
    assert re.search(rf"^pyslab: BUG kmalloc-112: {words}\n", child.stderr, re.MULTILINE)
    allocated = re.search(r"^  allocated by\n((?:    .*\n)+)", child.stderr, re.MULTILINE)
    assert allocated is not None, child.stderr
    assert " in load\n" in allocated[1]
