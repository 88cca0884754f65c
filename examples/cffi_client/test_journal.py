"""What Journal does, beside a list; `python test_journal.py`."""

import sys
import threading

import pyslab
from pyslab import testing

has_gil = getattr(sys, "_is_gil_enabled", lambda: True)
had_gil = has_gil()

from journal import Journal, ffi  # noqa: E402

assert has_gil() == had_gil, "the module asks for a GIL"


def raises(kind, call, *args):
    """Tell whether the call raises this kind of exception."""
    try:
        call(*args)
    except kind:
        return True
    return False


def against_a_list(arena):
    """Appended to, and cut back."""
    journal, entries = Journal(arena), []
    start = journal.savepoint()
    for i in range(5000):
        entries.append(b"entry %d" % i * (i % 50))
        journal.append(entries[-1])
        if i == 1000:
            middle = journal.savepoint()
    assert len(journal) == 5000
    assert list(journal) == entries
    journal.rollback(middle)
    assert list(journal) == entries[:1001]
    journal.append(b"next")
    assert [*entries[:1001], b"next"] == list(journal)
    sum_of_two = journal.checksum()
    journal.rollback(start)
    assert len(journal) == 0
    assert list(journal) == []
    assert journal.checksum() == 0 != sum_of_two
    assert raises(ValueError, journal.rollback, middle)
    assert raises(ValueError, Journal(arena).rollback, start)
    journal.append(memoryview(bytearray(b"again...")).cast("I"))
    journal.append(b"")
    assert list(journal) == [b"again...", b""]
    assert raises(TypeError, journal.append, "text")
    assert len(journal) == 2
    journal.close()
    journal.close()
    assert raises(ValueError, journal.append, b"late")


def types_are_shared(arena):
    """pyslab.ffi and this module mean the same by a type."""
    assert ffi.typeof("pyslab_region *") is pyslab.ffi.typeof("pyslab_region *")


def in_threads(arena):
    """Nothing is lost."""
    journal = Journal(arena)
    threads = [
        threading.Thread(target=lambda: [journal.append(b"x" * 100) for _ in range(2000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal) == 8000
    assert set(journal) == {b"x" * 100}


def without_memory():
    """A full arena is a MemoryError; the journal goes on after its arena's close()."""
    arena = pyslab.Arena("2MiB", max_order=8)
    journal = Journal(arena)
    start = journal.savepoint()
    assert raises(MemoryError, lambda: [journal.append(b"x" * 1000) for _ in range(3000)])
    nr = len(journal)
    assert nr > 500
    assert len(list(journal)) == nr
    journal.rollback(start)
    arena.close()
    journal.append(b"late")
    assert list(journal) == [b"late"]


def each_allocation_fails():
    """One after the other: a MemoryError, and nothing is left over."""

    def write(arena):
        journal = Journal(arena)
        try:
            for i in range(20):
                journal.append(b"x" * 1000 * i)
        finally:
            journal.close()

    with pyslab.Arena("8MiB") as arena:
        assert testing.every_failure(write, arena, arena=arena) > 3


def main():
    """Everything, in an arena that is empty again at the end."""
    with pyslab.Arena("64MiB") as arena:
        against_a_list(arena)
        types_are_shared(arena)
        in_threads(arena)
        arena.validate()
        assert arena.stats().block_pages == 0
    without_memory()
    each_allocation_fails()
    print("alive")


if __name__ == "__main__":
    main()
