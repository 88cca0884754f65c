"""Section 2 of `pyslab bench`, from Python: the order in which blocks come and go."""

from __future__ import annotations

import queue
import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pyslab

SIZE_MIN = 16
SIZE_MAX = 8192
BLOCK_BYTES = 64
DEPTH = 1000
NR_THREADS = 2
SEED = 2

Allocate = Callable[[int], object]


@pytest.fixture(params=["kmalloc", "bytearray", "numpy"])
def allocate(request: pytest.FixtureRequest, arena: pyslab.Arena) -> Allocate:
    """Each contender in turn: a function from a size to a buffer."""
    if request.param == "kmalloc":
        return arena.kmalloc
    if request.param == "bytearray":
        return bytearray
    numpy = pytest.importorskip("numpy")
    return lambda size: numpy.empty(size, "u1")


def test_random_sizes(benchmark: BenchmarkFixture, allocate: Allocate) -> None:
    """Random blocks of a live set make room for blocks of random size."""
    benchmark.group = f"random sizes, {DEPTH} live"
    rng = random.Random(SEED)
    moves = [(rng.randrange(DEPTH), rng.randint(SIZE_MIN, SIZE_MAX)) for _ in range(DEPTH)]
    live = [allocate(size) for _, size in moves]

    def replace_blocks() -> None:
        for index, size in moves:
            live[index] = allocate(size)

    benchmark(replace_blocks)


def test_lifo(benchmark: BenchmarkFixture, allocate: Allocate) -> None:
    """A stack of blocks grows and shrinks."""
    benchmark.group = f"LIFO, {DEPTH} deep"

    def grow_and_shrink() -> None:
        stack = [allocate(BLOCK_BYTES) for _ in range(DEPTH)]
        while stack:
            stack.pop()

    benchmark(grow_and_shrink)


def test_fifo(benchmark: BenchmarkFixture, allocate: Allocate) -> None:
    """The oldest block makes room for a new one."""
    benchmark.group = f"FIFO, {DEPTH} deep"
    ring = deque((allocate(BLOCK_BYTES) for _ in range(DEPTH)), maxlen=DEPTH)

    def turn() -> None:
        for _ in range(DEPTH):
            ring.append(allocate(BLOCK_BYTES))

    benchmark(turn)


def test_producer_consumer(benchmark: BenchmarkFixture, allocate: Allocate) -> None:
    """One thread allocates, another one drops."""
    benchmark.group = f"producer/consumer, {DEPTH} blocks"
    blocks: queue.SimpleQueue[object] = queue.SimpleQueue()

    def produce() -> None:
        for _ in range(DEPTH):
            blocks.put(allocate(BLOCK_BYTES))

    def hand_over() -> None:
        producer = threading.Thread(target=produce)
        producer.start()
        for _ in range(DEPTH):
            blocks.get()
        producer.join()

    benchmark(hand_over)


@pytest.mark.parametrize("nr_threads", [1, NR_THREADS])
def test_threads(benchmark: BenchmarkFixture, allocate: Allocate, nr_threads: int) -> None:
    """Each thread makes and drops blocks of its own."""
    benchmark.group = f"one thread and {NR_THREADS}, {DEPTH} blocks each"

    def work() -> None:
        for _ in range(DEPTH):
            allocate(BLOCK_BYTES)

    with ThreadPoolExecutor(nr_threads) as pool:

        def work_together() -> None:
            wait([pool.submit(work) for _ in range(nr_threads)])

        benchmark(work_together)
