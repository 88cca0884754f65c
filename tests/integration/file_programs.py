"""Programs about files behind high memory, run in a mount namespace of their own.

What it is: what needs a file system that is full or cannot be written.
What it is not: tests; test_file_backed.py starts them, with the directory to use.
"""

import errno
import os
from pathlib import Path

import pyslab
from tests.high import high_arena

MIB = 1 << 20


def _refusal(path: Path, nbytes: int) -> tuple[int | None, str]:
    """Return number and path of the OSError that this file must be refused with."""
    try:
        high_arena(nbytes, highmem=path)
    except OSError as error:
        return error.errno, error.filename
    raise AssertionError(f"{nbytes} bytes in {path} were not refused")


def full_disk(directory: str) -> None:
    """A 2 MiB file system: too small for 4 MiB, and exactly enough is never a SIGBUS."""
    path = Path(directory) / "frames"
    for _ in range(2):
        assert (errno.ENOSPC, str(path)) == _refusal(path, 4 * MIB)
        assert 0 == os.path.getsize(path)
    arena = high_arena(MIB, highmem=path)
    buf = arena.vmalloc(MIB)
    rest = os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize
    assert 0 < rest <= MIB
    with open(Path(directory) / "others", "wb", buffering=0) as others:
        others.write(bytes(rest))  # the disk is full now; the arena's blocks are its own
    buf[:] = b"\xaa" * MIB
    del buf
    assert bytes(MIB) == arena.vzalloc(MIB)
    arena.release_unused()
    arena.vmalloc(MIB)[:] = b"\xbb" * MIB
    arena.flush()
    arena.validate()
    print("alive")


def sparse_file_on_a_full_disk(directory: str) -> None:
    """A file of the right size with a hole that the disk cannot fill is refused."""
    path = Path(directory) / "frames"
    with open(path, "wb") as file:
        file.truncate(4 * MIB)
    assert (errno.ENOSPC, str(path)) == _refusal(path, 4 * MIB)
    assert 4 * MIB == os.path.getsize(path)  # not ours to cut
    print("alive")


def read_only(directory: str) -> None:
    """A directory that cannot be written: OSError with the path."""
    path = Path(directory) / "frames"
    assert (errno.EROFS, str(path)) == _refusal(path, MIB)
    assert isinstance(pyslab.Arena("1MiB").kmalloc(1), pyslab.Buffer)
    print("alive")
