"""Arena.failing: pyslab.testing.failing, for one arena."""

from __future__ import annotations

from pyslab import _hints as hints


def failing(
    self: hints.Arena,
    *,
    nth: int | None = None,
    probability: float = 1.0,
    interval: int = 1,
    times: int | None = None,
    space: int | str = 0,
    cache: str | None = None,
    this_thread: bool = False,
    seed: int = 0,
) -> hints.Failing:
    """Return a block in which calls that allocate fail on purpose: ``with arena.failing(nth=3):``.

    For testing what a program does without memory. The options are those of the kernel's failslab,
    and told at pyslab.testing.failing, which is this for all arenas at once.
    """
    from pyslab.testing import failing as begin

    return begin(
        self,
        nth=nth,
        probability=probability,
        interval=interval,
        times=times,
        space=space,
        cache=cache,
        this_thread=this_thread,
        seed=seed,
    )
