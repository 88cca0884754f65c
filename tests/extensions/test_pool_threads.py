"""Eight threads on one Pool: no block is lost or given twice, and without a GIL none comes back."""

from __future__ import annotations

import random
import sys
import threading
from typing import Any

import pytest

from pyslab.cymem import Pool

NR_THREADS = 8
STEPS = 3000


class Owner:
    """What one thread has of the Pool: addresses, each with its size and the byte it is full of."""

    def __init__(self, user: Any, pool: Pool, number: int) -> None:
        """Start with nothing."""
        self.user, self.pool = user, pool
        self.rng = random.Random(number)
        self.mark = bytes([number + 1])
        self.blocks: dict[int, int] = {}

    def take(self) -> None:
        """Take a block, which is zero, and fill it."""
        size = self.rng.choice((1, 16, 100, 700, 5000))
        address = self.user.alloc(self.pool, 1, size)
        assert bytes(size) == self.user.read(address, size)
        self.user.fill(address, self.mark * size)
        self.blocks[address] = size

    def grow(self) -> None:
        """Grow a block, which keeps what it has."""
        address, size = self.blocks.popitem()
        moved = self.user.realloc(self.pool, address, size + 50)
        assert self.mark * size + bytes(50) == self.user.read(moved, size + 50)
        self.user.fill(moved, self.mark * (size + 50))
        self.blocks[moved] = size + 50

    def give(self) -> None:
        """Free a block that nobody else has written to."""
        address, size = self.blocks.popitem()
        assert self.mark * size == self.user.read(address, size)
        self.user.release(self.pool, address)

    def run(self) -> None:
        """Make random steps."""
        for _ in range(STEPS):
            step = self.rng.choice((self.take, self.grow, self.give)) if self.blocks else self.take
            step()
            if self.rng.random() < 0.002:
                assert self.blocks.items() <= self.pool.addresses.items()


def run_owner(owner: Owner, wrong: list[BaseException]) -> None:
    """Keep what an owner raises for the test's own thread."""
    try:
        owner.run()
    except BaseException as error:
        wrong.append(error)


def test_one_pool_for_eight_threads(user: Any) -> None:
    """At the end the Pool has what the threads have, and nothing else."""
    pool = Pool()
    owners = [Owner(user, pool, number) for number in range(NR_THREADS)]
    wrong: list[BaseException] = []
    threads = [threading.Thread(target=run_owner, args=(owner, wrong)) for owner in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == wrong
    assert pool.addresses == {a: size for owner in owners for a, size in owner.blocks.items()}
    assert pool.size == sum(pool.addresses.values())


@pytest.mark.usefixtures("user")
def test_the_gil_stays_off() -> None:
    """On an interpreter without a GIL neither module switches it on."""
    if "free-threading" in sys.version:
        assert not sys._is_gil_enabled()  # type: ignore[attr-defined]
