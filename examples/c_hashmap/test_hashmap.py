"""What HashMap does, beside a dict; `python test_hashmap.py`."""

import random
import sys
import threading
from collections import Counter

import pyslab
from pyslab import testing

has_gil = getattr(sys, "_is_gil_enabled", lambda: True)
had_gil = has_gil()

from hashmap import HashMap  # noqa: E402

assert has_gil() == had_gil, "the module asks for a GIL"


def raises(kind, call, *args):
    """Tell whether the call raises this kind of exception."""
    try:
        call(*args)
    except kind:
        return True
    return False


def against_a_dict(arena):
    """The same random operations on both."""
    ours, theirs, rng = HashMap(arena), {}, random.Random(1)
    for _ in range(20000):
        key, value = f"key {rng.randrange(3000)} é", rng.randrange(-(2**63), 2**63)
        if rng.random() < 0.3:
            assert raises(KeyError, ours.__delitem__, key) == (key not in theirs)
            theirs.pop(key, None)
        else:
            ours[key] = theirs[key] = value
    assert len(ours) == len(theirs) > 1000
    assert all(ours[key] == value for key, value in theirs.items())
    assert "no such key" not in ours
    assert raises(KeyError, ours.__getitem__, "no such key")


def bad_arguments():
    """Each an exception, and the map as it was."""
    ours = HashMap()
    ours[""] = 7
    assert raises(TypeError, ours.__getitem__, 1)
    assert raises(TypeError, ours.__setitem__, "a", "b")
    assert raises(OverflowError, ours.__setitem__, "a", 2**63)
    assert raises(UnicodeEncodeError, ours.__setitem__, "\ud800", 1)
    assert raises(TypeError, HashMap, 3)
    assert len(ours) == 1
    assert ours[""] == 7
    assert "" in ours


def in_threads(arena):
    """Words counted in four threads, while a fifth looks on."""
    words = [f"word{random.Random(i).randrange(500)}" for i in range(20000)]
    data, ours, done = " ".join(words).encode(), HashMap(arena), threading.Event()

    def look():
        while not done.is_set():
            assert len(ours) <= 500
            assert "word1" not in ours or ours["word1"] > 0

    workers = [threading.Thread(target=ours.add_words, args=(data,)) for _ in range(4)]
    watcher = threading.Thread(target=look)
    for thread in (*workers, watcher):
        thread.start()
    for thread in workers:
        thread.join()
    done.set()
    watcher.join()
    for word, count in Counter(words).items():
        assert ours[word] == 4 * count


def threads_change_it(arena):
    """Four threads put keys in and take them out, each keys of its own and some of all."""
    ours, left = HashMap(arena), [{} for _ in range(4)]

    def work(number):
        rng, theirs = random.Random(number), left[number]
        for i in range(10000):
            key = f"{number} {rng.randrange(300)}"
            if rng.random() < 0.4:
                assert raises(KeyError, ours.__delitem__, key) == (key not in theirs)
                theirs.pop(key, None)
            else:
                ours[key] = theirs[key] = i
            shared = f"all {rng.randrange(10)}"
            ours[shared] = i
            raises(KeyError, ours.__delitem__, shared)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ours[key] == value for theirs in left for key, value in theirs.items())
    assert len(ours) == sum(map(len, left)) + sum(f"all {i}" in ours for i in range(10))


def without_memory():
    """A full arena is a MemoryError; what was there stays."""
    with pyslab.Arena("4MiB", max_order=4) as small:
        ours = HashMap(small)
        nr = 0
        try:
            while True:
                ours[f"{nr:>200}"] = nr
                nr += 1
        except pyslab.OutOfMemoryError:
            pass
        assert len(ours) == nr > 1000
        assert all(ours[f"{i:>200}"] == i for i in range(nr))
        small.validate()


def each_allocation_fails():
    """One after the other: nothing is lost. A map that cannot grow stays as it is."""

    def fill(arena):
        ours = HashMap(arena)
        for i in range(100):
            ours[f"key {i}"] = i
        ours.add_words(b"some words and some more")
        assert len(ours) == 104

    with pyslab.Arena("8MiB") as arena:
        assert testing.every_failure(fill, arena, arena=arena, recovers=True) > 100


def after_close():
    """The map keeps the arena's memory."""
    arena = pyslab.Arena("16MiB")
    ours = HashMap(arena)
    ours["a"] = 1
    arena.close()
    assert raises(pyslab.ArenaClosedError, HashMap, arena)
    ours["b"] = 2
    assert ours["a"] + ours["b"] == 3


def main():
    """Everything, in an arena that is empty again at the end."""
    with pyslab.Arena("64MiB") as arena:
        against_a_dict(arena)
        in_threads(arena)
        threads_change_it(arena)
        arena.validate()
        assert arena.stats().live_objects == 0
    bad_arguments()
    without_memory()
    each_allocation_fails()
    after_close()
    print("alive")


if __name__ == "__main__":
    main()
