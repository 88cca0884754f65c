"""What the module words does, beside collections.Counter; `python test_words.py`."""

import random
import sys
import threading
from collections import Counter

import pyslab
from pyslab import testing

has_gil = getattr(sys, "_is_gil_enabled", lambda: True)
had_gil = has_gil()

import words  # noqa: E402

assert has_gil() == had_gil, "the module asks for a GIL"

RNG = random.Random(1)
TEXT = " ".join(f"wörter-with-a-long-stem-{RNG.randrange(2000)}" for _ in range(20000))


def raises(kind, call, *args):
    """Tell whether the call raises this kind of exception."""
    try:
        call(*args)
    except kind:
        return True
    return False


def in_threads(arena):
    """An Index that four threads add to."""
    index = words.Index(arena)
    parts = TEXT.split()

    def add_all():
        for word in parts:
            index.add(word)

    threads = [threading.Thread(target=add_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(index) == len(set(parts))
    assert all(index[word] == 4 * n for word, n in Counter(parts).items())
    assert raises(KeyError, index.__getitem__, "none")
    assert arena.stats().live_objects > 2 * len(index)


def each_allocation_fails():
    """One after the other: C++'s exception is a MemoryError, and nothing is left over."""
    with pyslab.Arena("8MiB") as arena:
        nr = testing.every_failure(words.count, TEXT[:20000], arena, arena=arena)
        assert nr > 1, nr


def main():
    """Everything, in an arena that is empty again at the end."""
    with pyslab.Arena("64MiB") as arena:
        assert words.count(TEXT, arena) == Counter(TEXT.split())
        assert words.count("", arena) == {} == words.count(" \n\t ", arena)
        assert words.count("a b\na") == {"a": 2, "b": 1}
        assert arena.stats().block_pages == 0

        in_threads(arena)
        assert arena.stats().live_objects == 0
        arena.validate()

    small = pyslab.Arena("1MiB", max_order=8)
    assert raises(pyslab.OutOfMemoryError, words.count, TEXT * 10, small)
    assert raises(MemoryError, lambda: [words.Index(small).add("x" * 2**20)])
    kept = words.Index(small)
    small.close()
    assert kept.add("after the arena's close()", 3) == 3
    assert raises(pyslab.ArenaClosedError, words.count, "a", small)
    assert raises(TypeError, words.Index, 3)
    for wrong in (b"a", bytearray(b"a"), 3):
        assert raises(TypeError, words.count, wrong)
        assert raises(TypeError, words.Index().add, wrong)
    assert raises(UnicodeEncodeError, words.count, "\ud800")
    each_allocation_fails()
    print("alive")


if __name__ == "__main__":
    main()
