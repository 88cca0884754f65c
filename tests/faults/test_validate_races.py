"""validate() next to threads that purge or end, and in a child that was forked among them."""

from tests.utils import run_child

PURGING = """
import sys
import threading
import time

import pyslab

sys.setswitchinterval(1e-5)
arena = pyslab.Arena("64MiB", hugepages="no")
stop = time.monotonic() + 2

def purge():
    while time.monotonic() < stop:
        arena.release_unused()

threads = [threading.Thread(target=purge) for _ in range(2)]
for thread in threads:
    thread.start()
while time.monotonic() < stop:
    blocks = [arena.kmalloc(size) for size in (70_000, 300_000)] * 3
    del blocks
    try:
        arena.validate()
    except pyslab.CorruptionError as error:
        assert "page_alloc: zone" not in str(error), error
for thread in threads:
    thread.join()
arena.validate()
print("survived")
"""

FORKED = """
import os
import threading
import time

import pyslab

arena = pyslab.Arena("16MiB", hugepages="no")
stop = time.monotonic() + 2

def churn():
    while time.monotonic() < stop:
        arena.vfree(arena.vmalloc(200_000))
        arena.release_unused()

threads = [threading.Thread(target=churn) for _ in range(2)]
for thread in threads:
    thread.start()
status = 0
while time.monotonic() < stop and status == 0:
    pid = os.fork()
    if pid == 0:
        try:
            arena.validate()
        except pyslab.CorruptionError as error:
            print(error, flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
for thread in threads:
    thread.join()
print("survived" if status == 0 else "a child found corruption")
"""


ENDING = """
import threading
import time

import pyslab

arena = pyslab.Arena("64MiB", hugepages="no")
sizes = [*range(16, 8000, 32)]
stop = time.monotonic() + 4

def allocate():
    for size in sizes:
        blocks = [arena.kmalloc(size) for _ in range(3)]

while time.monotonic() < stop:
    thread = threading.Thread(target=allocate)
    thread.start()
    thread.join()
    for _ in range(5):
        arena.validate()
print("survived")
"""


def test_while_others_purge() -> None:
    """Frames on their way to the system are neither free nor used, and are counted."""
    result = run_child(PURGING, timeout=60)
    assert (0, "survived") == (result.returncode, result.stdout.strip()), result.stderr


def test_in_a_child_forked_in_the_middle() -> None:
    """What the parent's threads were about to do is not corruption."""
    result = run_child(FORKED, timeout=60)
    assert (0, "survived") == (result.returncode, result.stdout.strip()), result.stderr


def test_after_join() -> None:
    """Python's join() returns before the thread has given back what it held."""
    result = run_child(ENDING, timeout=60)
    assert (0, "survived") == (result.returncode, result.stdout.strip()), result.stderr
