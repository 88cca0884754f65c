"""A camera's frames go to three consumers at once, each in a process of its own.

Each frame is made in the camera's shared arena and put into three queues. What travels is a handle,
so three consumers take no more memory than one; the last to drop a frame gives it back. Run it:

    python examples/sharing/camera.py --frames 100

It prints what the consumers found, and the most memory that frames took.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from multiprocessing import get_context
from typing import Any

import numpy as np

import pyslab

SHAPE = (1080, 1920)
SLOTS = 4  # frames that may wait for a consumer


def received(frames: Any) -> Iterator[np.ndarray]:
    """Yield what comes until None comes."""
    while (frame := frames.get()) is not None:
        yield frame


def brightness(frames: Any, found: Any) -> None:
    """Tell the mean of each frame."""
    found.put(("brightness", [float(frame.mean()) for frame in received(frames)]))


def motion(frames: Any, found: Any) -> None:
    """Tell how many pixels change from frame to frame; it keeps one frame back."""
    before, counts = None, []
    for frame in received(frames):
        if before is not None:
            counts.append(int(np.count_nonzero(frame[::8, ::8] != before[::8, ::8])))
        before = frame
    found.put(("motion", counts))


def recorder(frames: Any, found: Any) -> None:
    """Tell a checksum of all pixels."""
    total = 0
    for frame in received(frames):
        total = (31 * total + int(frame[::64].astype("u8").sum())) % (1 << 61)
    found.put(("recorder", total))


def film(arena: pyslab.Arena, number: int) -> np.ndarray:
    """Return a new frame: a grey picture on which a bar moves to the right."""
    frame = arena.zeros(SHAPE, "u1")
    frame += np.uint8(16)
    frame[:, 16 * number % SHAPE[1] :][:, :16] = 240
    return frame


def main() -> None:
    """Film, send each frame to all three, and look at what they say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=100)
    count = parser.parse_args().frames
    context = get_context("spawn")
    queues = [context.Queue(SLOTS) for _ in range(3)]
    found, peak = context.Queue(), 0
    consumers = [
        context.Process(target=work, args=(queue, found))
        for work, queue in zip((brightness, motion, recorder), queues, strict=True)
    ]
    for consumer in consumers:
        consumer.start()
    with pyslab.Arena("1GiB", shared=True, overcommit=True) as arena:
        for number in range(count):
            frame = film(arena, number)
            for queue in queues:
                queue.put(frame)
            del frame
            arena.reap()
            peak = max(peak, arena.stats().used_bytes)
        for queue in queues:
            queue.put(None)
        results = dict(found.get() for _ in consumers)
    for consumer in consumers:
        consumer.join()
        assert consumer.exitcode == 0
    assert len(results["brightness"]) == count
    assert set(results["motion"]) <= {2 * 2 * SHAPE[0] // 8}, "a bar leaves, a bar comes"
    assert peak <= (3 * (SLOTS + 3) + 1) * (2 << 20) + (8 << 20), "frames come back"
    print(f"{count} frames to 3 consumers: mean {results['brightness'][0]:.1f}, ", end="")
    print(f"{results['motion'][0]} pixels of a 64th change, checksum {results['recorder']}")
    print(f"frames took at most {peak >> 20} MiB, of {count * 3 * 2} MiB sent")


if __name__ == "__main__":
    main()
