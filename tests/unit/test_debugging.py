"""Arena(debug=): what checks find comes out of the call as CorruptionError, with both stacks."""

from __future__ import annotations

import ctypes
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pyslab
from pyslab._core import ffi, lib
from tests.utils import run_child


class Client:
    """What C code does with an arena, by addresses."""

    def __init__(self, arena: pyslab.Arena) -> None:
        self.arena = arena
        self.handle = ffi.cast("pyslab_arena *", arena.handle)

    def make(self, size: int = 100) -> int:
        """Return the address of a new object."""
        return int(ffi.cast("uintptr_t", lib.pyslab_kmalloc(self.handle, size, 0)))

    def free(self, address: int) -> None:
        """Free it."""
        lib.pyslab_kfree(self.handle, ffi.cast("void *", address))


@pytest.fixture
def client() -> Iterator[Client]:
    """Return C code's view of an arena with all flags; what is left in it is not looked at."""
    arena = pyslab.Arena("16MiB", debug="FZPU")
    yield Client(arena)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arena.close()


def write(address: int, nbytes: int = 1) -> None:
    """Write where one should not."""
    ctypes.memset(address, 0x41, nbytes)


def functions(frames: Any) -> list[str]:
    """Return the names of a stack's innermost two functions."""
    return [name for _, _, name in frames[:2]]


def overrun(client: Client) -> None:
    """One byte past the end, found by the free."""
    p = client.make()
    write(p + 100)
    client.free(p)


def underrun(client: Client) -> None:
    """One byte before the start."""
    p = client.make()
    write(p - 1)
    client.free(p)


def late_write(client: Client) -> None:
    """Into a freed object, found by validate()."""
    p = client.make()
    client.free(p)
    write(p + 8, 4)
    client.arena.validate()


def double_free(client: Client) -> None:
    """The second free finds it."""
    p = client.make()
    client.free(p)
    client.free(p)


def inner_free(client: Client) -> None:
    """Not the start of the object."""
    client.free(client.make() + 16)


@pytest.mark.parametrize(
    ("misuse", "kind", "offset", "freed"),
    [
        (overrun, "right red zone", 100, False),
        (underrun, "left red zone", -1, False),
        (late_write, "use after free", 8, True),
        (double_free, "double free", 0, True),
        (inner_free, "invalid free", 16, False),
    ],
)
def test_kinds(
    client: Client, misuse: Callable[[Client], None], kind: str, offset: int, freed: bool
) -> None:
    """Each is raised by the call that found it, with the object and both stacks."""
    with pytest.raises(pyslab.CorruptionError) as caught:
        misuse(client)
    error = caught.value
    assert (kind, "kmalloc-112", offset) == (error.kind, error.cache, error.offset)
    assert error.object is not None
    assert error.address == error.object + offset
    assert ["make", misuse.__name__] == functions(error.allocated_at)
    assert (["free", misuse.__name__] if freed else []) == functions(error.freed_at)
    assert all(file == __file__ for file, _, _ in error.allocated_at[:2])
    text = str(error)
    assert text.startswith("BUG kmalloc-112: ")
    assert "\n  allocated by\n" in text
    assert f" in {misuse.__name__}\n" in text
    assert freed == ("\n  freed by\n" in text)
    assert traceback_ends_in(caught, misuse)


def traceback_ends_in(caught: Any, misuse: Callable[[Client], None]) -> bool:
    """Tell whether the exception came out of the misuse itself, or a call that it makes."""
    return misuse.__name__ in [entry.name for entry in caught.traceback]


def test_the_bytes(client: Client) -> None:
    """What should be there, what is there, and the bytes around it."""
    with pytest.raises(
        pyslab.CorruptionError, match="right red zone overwritten, 1 bytes"
    ) as caught:
        overrun(client)
    error = caught.value
    assert (0xCC, 0x41, 100, ()) == (error.expected, error.found, error.size, error.others)
    assert " 41 cc cc " in error.hexdump


def test_an_ordinary_arena_finds_nothing(arena: pyslab.Arena) -> None:
    """Flags are the arena's own."""
    client = Client(arena)
    p = client.make()
    write(p + 100)
    client.free(p)
    arena.validate()


def test_dropped_buffers(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a variable lets go of a Buffer nobody can catch it: sys.unraisablehook has it."""
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hooked: told.append(hooked.exc_value))
    buf = client.arena.kmalloc(100)
    address = ctypes.addressof(ctypes.c_char.from_buffer(buf))
    write(address + 100)
    del buf
    assert ["right red zone"] == [error.kind for error in told]
    assert ["test_dropped_buffers"] == functions(told[0].allocated_at)[:1]


def test_threads(client: Client) -> None:
    """The thread that made the call gets the error."""
    caught: list[pyslab.CorruptionError] = []

    def work() -> None:
        try:
            overrun(client)
        except pyslab.CorruptionError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ["make", "overrun"] == functions(caught[0].allocated_at)


def test_one_cache(arena: pyslab.Arena) -> None:
    """A cache has flags of its own, by debug= or by the arena's text."""
    named = pyslab.Arena("16MiB", debug="Z,inode*")
    for owner, options in ((arena, {"debug": "FZ"}), (named, {})):
        cache = owner.kmem_cache_create("inode", 40, **options)
        buf = cache.alloc()
        address = ctypes.addressof(ctypes.c_char.from_buffer(buf))
        write(address + 40)
        with pytest.raises(pyslab.CorruptionError) as caught:
            owner.validate()
        assert ("inode", 40, []) == (
            caught.value.cache,
            caught.value.offset,
            caught.value.allocated_at,
        )
        del buf


@pytest.mark.parametrize("debug", ["fz", "FZ,kmalloc-64;-,inode*", "-", "P;u"])
def test_right_texts(debug: str) -> None:
    """Small letters and "-" are as the kernel has them, here, in C and in the environment."""
    pyslab.Arena("1MiB", debug=debug).kmem_cache_create("small", 40, debug="fzpu").destroy()


@pytest.mark.parametrize(
    "debug",
    [
        "X",
        "FZ,",
        "FZ;Q",
        "F" * 300,
        "Fé",
        ",kmalloc-64",
        ";FZ",
        "FZ;",
        "FZ;;P",
        "FZ,a,,b",
        "FZ,a b",
    ],
)
def test_wrong_texts(debug: str) -> None:
    """They are refused, with the text."""
    with pytest.raises(ValueError, match="debug is letters of FZPU, and names of caches"):
        pyslab.Arena("1MiB", debug=debug)


def test_wrong_values(arena: pyslab.Arena) -> None:
    """Other types are TypeErrors; a cache takes letters alone."""
    with pytest.raises(TypeError, match="debug is a str such as 'FZPU', not int"):
        pyslab.Arena("1MiB", debug=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="debug must be a str, not int"):
        arena.kmem_cache_create("inode", 40, debug=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="debug of a cache is letters of FZPU, not 'FZ,a'"):
        arena.kmem_cache_create("inode", 40, debug="FZ,a")


def test_the_flag_u_tracks(client: Client) -> None:
    """leaks() tells the live objects of an arena with U, and only of such a one."""
    p = client.make()
    assert ["make"] == functions(client.arena.leaks()[0].allocated_at)[:1]
    client.free(p)
    with pytest.raises(ValueError, match="not tracked"):
        pyslab.Arena("1MiB", debug="FZP").leaks()


def test_the_environment_and_the_end() -> None:
    """PYSLAB_DEBUG is for all arenas; what is found while Python ends is told as text."""
    child = run_child(
        """
        import os
        os.environ["PYSLAB_DEBUG"] = "FZP"
        import ctypes, pyslab
        kept = pyslab.default_arena().kmalloc(100)
        ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(kept)) + 100, 0x41, 1)
        """
    )
    assert 0 == child.returncode
    assert "BUG kmalloc-112: right red zone overwritten, 1 bytes past the end" in child.stderr


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("tracer", ["settrace", "setprofile"])
@pytest.mark.parametrize("end", ["arena.kfree(buf)", "del buf", "arena.validate()"])
def test_under_a_tracer(when: str, tracer: str, end: str) -> None:
    """A report, and a tracer that was there before or comes later: the program goes on."""
    start = f"sys.{tracer}(lambda *event: None)"
    done = run_child(
        "import ctypes, sys, pyslab\n"
        "def later(n):\n"
        "    return sum(i for i in range(n))\n"
        "sys.unraisablehook = lambda told: None\n"
        "arena = pyslab.Arena('16MiB', debug='FZPU')\n"
        "bufs = [arena.kmalloc(60) for _ in range(3)]\n"
        "for buf in bufs: ctypes.memset(buf.address + 60, 1, 1)\n"
        "bufs.pop()\n"
        f"{start if when == 'before' else 'pass'}\n"
        "try:\n"
        f"    {end}\n"
        "    later(3)\n"
        "except pyslab.CorruptionError as error:\n"
        "    pass\n"
        f"{start}\n"
        "assert 45 == later(10)\n"
        f"sys.{tracer}(None)\n"
        "print('alive')\n"
    )
    assert (0, "alive\n") == (done.returncode, done.stdout), done.stderr
