"""A machine that plays with pyslab.cymem's Pool and knows what it must hold.

Model: address → bytes that were written. Every step: addresses and size are the model's, the
blocks do not overlap and hold what was written; a new block is zero, and so is what a
realloc adds.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import pyslab
from pyslab.cymem import Pool
from tests.extensions.cython import load, pool_user
from tests.utils import assert_idle

SIZES = st.one_of(
    st.integers(0, 64), st.integers(0, 600), st.sampled_from([2047, 2048, 2049, 4096, 70_000])
)


class PoolMachine(RuleBasedStateMachine):
    """Allocates, frees and grows blocks of one pool, and makes up addresses."""

    user: Any
    own_malloc = False

    def __init__(self) -> None:
        """Start with an empty pool on an arena of its own."""
        super().__init__()
        self.arena = pyslab.Arena("1GiB")
        self.pool: Pool | None = Pool(arena=self.arena)
        if self.own_malloc:
            self.pool = Pool(self.user.wrap_malloc(), self.user.wrap_free())
        self.model: dict[int, bytes] = {}
        self.freed: list[int] = []
        self.nr = 0

    def _write(self, address: int, nbytes: int) -> None:
        self.nr += 1
        self.model[address] = bytes([self.nr % 255 + 1]) * nbytes
        self.user.fill(address, self.model[address])

    def _one(self, data: st.DataObject) -> int:
        addresses = list(self.model)
        return addresses[data.draw(st.integers(0, len(addresses) - 1))]

    @rule(size=SIZES, count=st.integers(1, 30))
    def alloc(self, size: int, count: int) -> None:
        """Some blocks of a size."""
        for _ in range(count):
            address = self.user.alloc(self.pool, 1, size)
            assert bytes(size) == self.user.read(address, size)
            assert address not in self.model
            self._write(address, size)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), count=st.integers(1, 40))
    def free(self, data: st.DataObject, count: int) -> None:
        """Neighbours in the order of their making, which are neighbours in memory too."""
        first = data.draw(st.integers(0, len(self.model) - 1))
        for address in list(self.model)[first : first + count]:
            self.user.release(self.pool, address)
            del self.model[address]
            self.freed.append(address)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), more=st.integers(1, 3000))
    def realloc(self, data: st.DataObject, more: int) -> None:
        """A block grows."""
        address = self._one(data)
        content = self.model.pop(address)
        moved = self.user.realloc(self.pool, address, len(content) + more)
        assert moved not in self.model
        assert content + bytes(more) == self.user.read(moved, len(content) + more)
        self._write(moved, len(content) + more)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), offset=st.integers(1, 5000))
    def misuse(self, data: st.DataObject, offset: int) -> None:
        """What is no block, or was one, is found out."""
        for address in (self._one(data) + offset, *self.freed[-3:]):
            if address not in self.model:
                with pytest.raises(KeyError):
                    self.user.release(self.pool, address)
                with pytest.raises(ValueError, match="no block"):
                    self.user.realloc(self.pool, address, 100_000)

    @invariant()
    def is_the_model(self) -> None:
        """Figures, places and contents."""
        assert self.pool is not None
        sizes = {address: len(content) for address, content in self.model.items()}
        assert sizes == self.pool.addresses
        assert sum(sizes.values()) == self.pool.size
        end = 0
        for address in sorted(sizes):
            assert address >= end
            end = address + max(1, sizes[address])
            assert self.model[address] == self.user.read(address, sizes[address])

    def teardown(self) -> None:
        """The pool goes, and has left nothing."""
        self.pool = None
        assert_idle(self.arena)


@pytest.mark.parametrize("own_malloc", [False, True])
def test_the_pool_is_its_model(tmp_path_factory: pytest.TempPathFactory, own_malloc: bool) -> None:
    """Random work on a pool, of an arena and of a malloc."""
    module = load(pool_user("pyslab", tmp_path_factory.mktemp("pool_user")))

    class Machine(PoolMachine):
        user = module

    Machine.own_malloc = own_malloc
    case = Machine.TestCase
    case.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
    case().runTest()
