"""pyslab.SharedMemory in one process: names, lifetimes, views, lists, what is refused."""

import multiprocessing.shared_memory as standard
import pickle
from typing import Any

import pytest

import pyslab
from pyslab import shared_memory
from pyslab._sharing import shared_memory as blocks
from pyslab.shared_memory import ShareableList, SharedMemory


def _used_bytes() -> int:
    blocks._made._look()
    return sum(arena.stats().used_bytes for arena in blocks._made.arenas)


def test_the_module_is_found() -> None:
    assert pyslab.SharedMemory is shared_memory.SharedMemory
    assert {"SharedMemory", "ShareableList"} <= set(shared_memory.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        shared_memory.Other  # noqa: B018


def test_what_one_writes_the_other_reads() -> None:
    made = SharedMemory(create=True, size=1000)
    found = SharedMemory(made.name, size=5)  # the size is ignored
    assert (1000, 1000, made.name) == (found.size, len(found.buf), found.name)
    assert bytes(1000) == bytes(found.buf)
    found.buf[:5] = b"hello"
    assert b"hello" == bytes(made.buf[:5])
    made.buf[0] = 42
    assert 42 == found.buf[0]
    assert repr(made) == f"SharedMemory({made.name!r}, size=1000)"
    found.close()
    made.close()
    made.unlink()


@pytest.mark.parametrize("size", [1.5, 1000.0, float("inf"), "5", None])
def test_sizes_of_wrong_types(size: Any) -> None:
    """They are told at once, and leave no block behind that nobody can unlink."""
    SharedMemory(create=True, size=1).unlink()  # there is an arena
    before = _used_bytes()
    with pytest.raises(TypeError):
        SharedMemory(create=True, size=size)
    assert before == _used_bytes()


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 70_000, 3 << 20, (1 << 30) + 5])
def test_sizes(size: int) -> None:
    """Any size is the size of both sides, and the bytes are zero; above 1 GiB, too."""
    made = SharedMemory(create=True, size=size)
    made.buf[-1] = 7
    found = SharedMemory(made.name)
    assert size == made.size == found.size == len(made.buf) == len(found.buf)
    assert (0, 7) == (found.buf[0] if size > 1 else 0, found.buf[-1])
    found.close()
    made.close()
    made.unlink()


def test_a_block_is_zero_again() -> None:
    """Memory that was used before, too."""
    for _ in range(3):
        made = SharedMemory(create=True, size=70_000)
        assert bytes(70_000) == bytes(made.buf)
        made.buf[:] = b"\xff" * 70_000
        made.unlink()
        made.close()


def test_unlink_ends_the_name_and_not_the_block() -> None:
    made = SharedMemory(create=True, size=100)
    found = SharedMemory(made.name)
    found.unlink()
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="unlinked"):
            SharedMemory(made.name)
    with pytest.raises(FileNotFoundError, match="unlinked before"):
        made.unlink()
    made.buf[:4] = b"here"
    made.close()
    assert b"here" == bytes(found.buf[:4])
    found.close()


def test_a_block_stays_until_it_is_unlinked() -> None:
    """Nobody has it open meanwhile."""
    made = SharedMemory(create=True, size=100)
    name = made.name
    made.buf[:4] = b"here"
    made.close()
    made.close()
    del made
    found = SharedMemory(name)
    assert b"here" == bytes(found.buf[:4])
    found.unlink()
    found.close()
    assert found.buf is None
    assert found.name == name


def test_all_memory_comes_back() -> None:
    before = _used_bytes()
    for _ in range(300):
        made = SharedMemory(create=True, size=1 << 20)
        found = SharedMemory(made.name)
        found.unlink()
    del made, found
    assert before == _used_bytes()


def test_a_block_that_another_process_unlinks_comes_back() -> None:
    """As far as this process can tell: the name ends without it."""
    before = _used_bytes()
    made = SharedMemory(create=True, size=1 << 20)
    kept = dict(blocks._made.blocks)
    made.unlink()
    made.close()
    blocks._made.blocks.update(kept)  # as if the call had been another process's
    del kept
    assert before == _used_bytes()


def test_views_keep_the_block() -> None:
    """A slice, and a view of the view."""
    before = _used_bytes()
    made = SharedMemory(create=True, size=70_000)
    made.buf[:4] = b"here"
    views = [made.buf[:10], memoryview(made.buf)]
    made.close()
    made.unlink()
    others = [SharedMemory(create=True, size=70_000) for _ in range(50)]
    for other in others:
        other.unlink()
    for view in views:
        assert b"here" == bytes(view[:4])
    del made, others, other, views, view
    assert before == _used_bytes()


def test_an_array_keeps_the_block() -> None:
    """numpy.ndarray(buffer=) takes no view, so that close() works; the memory stays for it."""
    np = pytest.importorskip("numpy")
    made = SharedMemory(create=True, size=8000)
    array = np.ndarray(1000, "f8", buffer=made.buf)
    array[:] = 1
    made.close()
    made.unlink()
    others = [SharedMemory(create=True, size=8000) for _ in range(50)]
    for other in others:
        other.buf[:] = b"\xff" * 8000
    assert 1000 == array.sum()
    for other in others:
        other.unlink()


def test_pickles() -> None:
    made = SharedMemory(create=True, size=100)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        found = pickle.loads(pickle.dumps(made, protocol))
        assert (SharedMemory, made.name, 100) == (type(found), found.name, found.size)
        found.close()
    text = pickle.dumps(made)
    made.close()
    made.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(text)


def test_refusals() -> None:
    for size in (0, -1):
        with pytest.raises(ValueError, match="positive"):
            SharedMemory(create=True, size=size)
    with pytest.raises(ValueError, match="can only be None"):
        SharedMemory()
    with pytest.raises(ValueError, match="no name of one's own choice"):
        SharedMemory("mine", create=True, size=100)
    with pytest.raises(TypeError, match="must be a str"):
        SharedMemory(b"mine")  # type: ignore[arg-type]
    with pytest.raises(pyslab.OutOfMemoryError):
        SharedMemory(create=True, size=1 << 62)


@pytest.mark.parametrize("name", ["", "mine", "psl_", "psl_x", "/psm_12345678", "psl_" + "é" * 43])
def test_foreign_names_are_not_opened(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="no name of a pyslab"):
        SharedMemory(name)


def test_the_standard_class_is_not_opened() -> None:
    theirs = standard.SharedMemory(create=True, size=100)
    try:
        with pytest.raises(FileNotFoundError, match="no name of a pyslab"):
            SharedMemory(theirs.name)
    finally:
        theirs.close()
        theirs.unlink()


def test_a_name_of_nobody() -> None:
    """A heap that no process has."""
    with pytest.raises(FileNotFoundError, match="was not found"):
        SharedMemory("psl_" + "A" * 43)


def test_lists() -> None:
    made = ShareableList(["howdy", b"HoWdY", -273.154, 100, None, True, 42])
    assert isinstance(made, standard.ShareableList)
    assert isinstance(made.shm, SharedMemory)
    found = ShareableList(name=made.shm.name)
    found[3] = 43
    assert ["howdy", b"HoWdY", -273.154, 43, None, True, 42] == list(made)
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is ShareableList
    assert list(again) == list(made)
    made.shm.unlink()
    with pytest.raises(FileNotFoundError):
        ShareableList(name=made.shm.name)


def test_many() -> None:
    """More than a process may have descriptors or mappings."""
    made = [SharedMemory(create=True, size=100) for _ in range(70_000)]
    made[-1].buf[0] = 3
    found = SharedMemory(made[-1].name)
    assert 3 == found.buf[0]
    for block in made:
        block.unlink()
