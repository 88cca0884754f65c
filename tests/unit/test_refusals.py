"""What the system refuses is told with its cause: which limit it was, and what to do."""

import os

import pytest

from tests.utils import assert_quiet, run_child

ZONES = 'pyslab.ZoneLayout.custom([("NORMAL", "8MiB"), ("HIGHMEM", "16MiB")])'

SET_UP = """
import os, resource, pyslab

def limit(name, soft, user=None):
    hard = resource.getrlimit(getattr(resource, name))[1]
    resource.setrlimit(getattr(resource, name), (soft, hard))

def text_of(error, call):
    try:
        call()
    except error as caught:
        return str(caught)
    raise AssertionError("no error")
"""

CASES = {
    "a memfd over the limit of file sizes": """
        limit("RLIMIT_FSIZE", 1 << 20)
        text = text_of(pyslab.OutOfMemoryError, lambda: pyslab.Arena("16MiB", zones=ZONES))
        assert "File too large" in text and "1048576 bytes" in text and "ulimit -f" in text, text
    """,
    "a file over the limit of file sizes": """
        limit("RLIMIT_FSIZE", 1 << 20)
        path = f"/tmp/pyslab-refused-{os.getpid()}"
        try:
            call = lambda: pyslab.Arena("16MiB", zones=ZONES, highmem=path)
            text = text_of(OSError, call)
        finally:
            if os.path.exists(path):
                os.unlink(path)
        assert path in text and "1048576 bytes" in text and "ulimit -f" in text, text
    """,
    "vmalloc over the limit of file sizes": """
        limit("RLIMIT_FSIZE", 1 << 20)
        arena = pyslab.Arena("16MiB")
        for call in (lambda: arena.vmalloc("1MiB"), lambda: arena.ring("4KiB")):
            text = text_of(pyslab.OutOfMemoryError, call)
            assert "File too large" in text and "ulimit -f" in text, text
            assert "fragmented" not in text, text
    """,
    "vmalloc without a descriptor": """
        arena = pyslab.Arena("16MiB")
        limit("RLIMIT_NOFILE", 3)
        text = text_of(pyslab.OutOfMemoryError, lambda: arena.vmalloc("1MiB"))
        assert "Too many open files" in text and "ulimit -n" in text, text
    """,
    "an arena without a descriptor": """
        pyslab.ZoneLayout
        layout = ZONES
        limit("RLIMIT_NOFILE", 3)
        text = text_of(pyslab.OutOfMemoryError, lambda: pyslab.Arena("16MiB", zones=layout))
        assert "Too many open files" in text and "ulimit -n" in text, text
    """,
    "no address space": """
        limit("RLIMIT_AS", 1 << 32)
        text = text_of(pyslab.OutOfMemoryError, lambda: pyslab.Arena("8GiB"))
        assert "4294967296 bytes of addresses" in text and "ulimit -v" in text, text
    """,
    "no data": """
        limit("RLIMIT_DATA", 1 << 32)
        text = text_of(pyslab.OutOfMemoryError, lambda: pyslab.Arena("8GiB"))
        assert "4294967296 bytes of data" in text and "ulimit -d" in text, text
    """,
}

AS_NOBODY = {
    "locked memory over the limit": """
        limit("RLIMIT_MEMLOCK", 65536)
        os.setuid(65534)
        text = text_of(pyslab.PyslabError, lambda: pyslab.Arena("16MiB", mlock=True))
        assert "65536 bytes" in text and "ulimit -l" in text and "CAP_IPC_LOCK" in text, text
    """,
    "no right to lock memory": """
        limit("RLIMIT_MEMLOCK", 0)
        os.setuid(65534)
        text = text_of(pyslab.PyslabError, lambda: pyslab.Arena("16MiB", mlock=True))
        assert "may lock 0 bytes" in text and "Operation not permitted" in text, text
    """,
    "a lock that is not what failed": """
        limit("RLIMIT_AS", 1 << 32)
        text = text_of(pyslab.OutOfMemoryError, lambda: pyslab.Arena("8GiB", mlock=True))
        assert "addresses" in text and "ulimit -v" in text and "ulimit -l" not in text, text
    """,
}


def _run(code: str) -> None:
    lines = [line[8:] for line in code.replace("ZONES", ZONES).splitlines()]
    assert_quiet(run_child("\n".join([SET_UP, *lines, "print('alive')"])))


@pytest.mark.parametrize("case", CASES)
def test_the_limit_is_named(case: str) -> None:
    """The text has the system's reason, the limit in force and the command that raises it."""
    _run(CASES[case])


@pytest.mark.parametrize("case", AS_NOBODY)
def test_memory_is_not_locked(case: str) -> None:
    """The same for mlock=True, with and without the rights of root."""
    if os.geteuid() != 0:
        pytest.skip("changes its user, which root may")
    _run(AS_NOBODY[case])
