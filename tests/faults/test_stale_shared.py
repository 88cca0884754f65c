"""Nothing that a receiver does with a block of another process reaches memory used anew.

The tricks of tricks_shared.py, each with an owner and a receiver that is forked, spawned, or forked
by a server; and the ends of both processes, with arrays alive, in either order (shared_ends.py).
"""

import pytest

from tests.faults.shared_ends import ENDS
from tests.utils import assert_alive, run_child

METHODS = ("fork", "spawn", "forkserver")


@pytest.mark.parametrize("method", METHODS)
def test_tricks_with_two_processes(method: str) -> None:
    """Both processes play all tricks and live; the last name on stderr is the one that failed."""
    code = f"from tests.faults import tricks_owner\ntricks_owner.play({method!r})"
    assert_alive(run_child(code, "-W", "error"))


PLAYED = [
    *((method, which) for which in ENDS for method in ("fork", "spawn")),
    ("forkserver", "child exits"),
    ("forkserver", "parent exits"),
]


@pytest.mark.parametrize(("method", "which"), PLAYED)
def test_one_ends_before_the_other(method: str, which: str) -> None:
    """Who is left has all that it had; the ordinary end of an interpreter is silent."""
    child = run_child(
        f"from tests.faults import shared_ends\nshared_ends.end({method!r}, {which!r})"
    )
    killed = which == "parent is killed"
    assert (-9 if killed else 0) == child.returncode, child.stderr
    left = "parent" if which.startswith("child") else "child"
    assert f"{left} lived" == child.stdout.strip(), child.stderr
    assert killed or "" == child.stderr
