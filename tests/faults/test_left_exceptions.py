"""An exception that C code of others leaves behind takes no lock of pyslab's away for good."""

from tests.utils import assert_alive, run_child

PROGRAM = """
import threading
import pyslab

def call(function, argument):
    return function(argument)

def leave_an_exception():
    view = memoryview(b"x" * 100)
    view.release()
    for _ in range(100):  # after which CPython 3.11 does not look at what iter() leaves behind
        call(iter, b"")
    try:
        call(iter, view)
        pyslab.default_arena()
        for _ in range(2):
            pass
    except (SystemError, ValueError):
        pass

def run(function):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(60)
    return not thread.is_alive()

pyslab.default_arena()
assert run(leave_an_exception)
assert run(pyslab.default_arena)
print("alive")
"""


def test_the_default_arena_is_there_for_all_threads() -> None:
    """A thread once took its lock with an exception set, and did not give it back."""
    assert_alive(run_child(PROGRAM))
