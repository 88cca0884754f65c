"""examples/cython_string_store, built from the wheel as its users would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extensions.venv import Venv, clean_venv
from tests.utils import REPO

NAME = "cython_string_store"


@pytest.fixture(scope="module")
def installed() -> Venv:
    """Return the clean environment with the example in it."""
    pytest.importorskip("Cython")
    clean_venv().install(REPO / "examples" / NAME)
    return clean_venv()


def run(where: Venv, code: str) -> str:
    """Run code there; return what it printed."""
    done = where.run(code)
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


def program(where: Venv, *arguments: str) -> str:
    """Run the example's own program there; return what it printed."""
    return run(
        where,
        f"import runpy, sys; sys.argv = {['string_store', *arguments]!r}; "
        "runpy.run_module('string_store', run_name='__main__', alter_sys=True)",
    )


def test_the_venv_is_clean(installed: Venv) -> None:
    """Both packages are its own, and what the tests have is not there."""
    code = """
    import importlib.util, sys, pyslab, string_store
    for module in (pyslab, string_store):
        assert module.__file__.startswith(sys.prefix), module.__file__
    assert importlib.util.find_spec("hypothesis") is None
    print("alive")
    """
    assert "alive" == run(installed, code)


def test_its_program(installed: Venv, tmp_path: Path) -> None:
    """Tokens and words are those of the text, and a zone leaves nothing behind."""
    text = tmp_path / "text.txt"
    text.write_text("so it goes\nand so\ton  it\r\ngoes", encoding="utf-8")
    first, _, inside, after = program(installed, str(text)).splitlines()
    assert first.startswith("8 tokens, 5 words")
    assert inside.startswith("in a zone: 100005 words")
    assert after.startswith("after it:  5 words")
    assert program(installed).startswith("100000 tokens, 505 words")


def test_it_is_a_store(installed: Venv) -> None:
    """Against a dict, through zones in zones and growth of its tables; then all memory is back."""
    code = """
    import random, pyslab
    from string_store import StringStore
    arena = pyslab.Arena("64MiB")
    store, model, names = StringStore(arena), {}, random.Random(1)
    def add(nr):
        for _ in range(nr):
            word = "".join(names.choices("abc\\u00e4\\u4e00\\0", k=names.randrange(8)))
            assert store.add(word) == model.setdefault(word, len(model))
    def check(model):
        assert len(store) == len(model)
        assert all(store[i] == word for word, i in model.items())
        assert all(word in store and store.lookup(word) == i for word, i in model.items())
    def zone(depth):
        global model
        before = dict(model)
        with store.memory_zone():
            add(3000)
            if depth:
                zone(depth - 1)
            add(500)
            check(model)
        model = before
        check(model)
    add(1000)
    for _ in range(3):
        zone(3)
        add(200)
    assert store.lookup("nowhere") is None and "nowhere" not in store
    for wrong in (-1, len(store), 10**9):
        try:
            store[wrong]
        except IndexError:
            continue
        raise AssertionError(wrong)
    del store
    stats = arena.stats()
    assert (stats.live_objects, stats.block_pages, stats.large_count) == (0, 0, 0), stats
    arena.validate()
    print("alive")
    """
    assert "alive" == run(installed, code)


def test_threads_share_it(installed: Venv) -> None:
    """Four threads add the same strings, and each is there once, while a fifth looks on; where
    Python has no GIL, the module asks for none.
    """
    code = """
    import sys, threading, pyslab
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)
    had_gil = has_gil()
    from string_store import StringStore
    assert has_gil() == had_gil
    store, words = StringStore(pyslab.Arena("64MiB")), [f"word {i}" for i in range(20000)]
    ids, begun = [], threading.Barrier(5)
    def add(first):
        begun.wait()
        mine = {word: store.add(word) for word in words[first:] + words[:first]}
        assert all(store[i] == word for word, i in mine.items())
        assert len(store.tokenize("a b c d")) == 4 == len(set(store.tokenize("a b c d")))
        ids.append(mine)
    def look():
        begun.wait()
        while len(ids) < 4:
            nr = len(store)
            assert nr == 0 or store.lookup(store[nr - 1]) == nr - 1
            assert store.nbytes["used"] >= nr
    threads = [threading.Thread(target=add, args=(n * 5000,)) for n in range(4)]
    threads.append(threading.Thread(target=look))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == ids[0] for mine in ids) and len(ids) == 4
    assert len(store) == len(words) + 4
    print("alive")
    """
    assert "alive" == run(installed, code)


def test_its_memory_ends(installed: Venv) -> None:
    """OutOfMemoryError, with everything that was there still there; TypeError for no arena."""
    code = """
    import pyslab
    from string_store import StringStore
    store, nr = StringStore(pyslab.Arena("1MiB", max_order=4)), 0
    try:
        while True:
            store.add(f"a rather long word with the number {nr}")
            nr += 1
    except pyslab.OutOfMemoryError:
        pass
    assert nr == len(store) > 1000
    assert all(store[i].endswith(f" {i}") and store.lookup(store[i]) == i for i in range(nr))
    for wrong in (1, "arena"):
        try:
            StringStore(wrong)
        except TypeError:
            continue
        raise AssertionError(wrong)
    print("alive")
    """
    assert "alive" == run(installed, code)


def test_each_allocation_fails(installed: Venv) -> None:
    """In the making, in the growth of its tables and in a zone: nothing is left over."""
    code = """
    import pyslab
    from pyslab import testing
    from string_store import StringStore

    def fill(arena):
        store = StringStore(arena)
        store.tokenize(" ".join(f"word{i}" for i in range(200)))
        with store.memory_zone():
            store.add("x" * 100_000)
        assert len(store) == 200

    with pyslab.Arena("8MiB") as arena:
        nr = testing.every_failure(fill, arena, arena=arena)
        assert nr >= 8, nr
    print("alive")
    """
    assert "alive" == run(installed, code)
