"""An image pipeline in NumPy: gamma, blur, unsharp mask, contrast, over a stack of images.

Each step makes arrays as large as the image and drops them soon after, which is where NumPy
spends its time on page faults. Run it:

    python examples/image_pipeline.py --size 512 --images 16

It runs once with NumPy's own allocator and once inside ``arena.numpy_allocator()``, and the
pixels are the same. With Pillow, ``--save result.png`` writes the last image.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from timing import compare

import pyslab

GAMMA = 2.2
SIGMA = 1.5  # of the blur, pixels
AMOUNT = np.float32(0.8)  # of the unsharp mask
TAILS = (1, 99)  # percentiles that become black and white
STEPS = 4095  # of linear light

# Levels of the file to linear light, 0 to 1, and back.
TO_LINEAR = ((np.arange(256) / 255) ** GAMMA).astype(np.float32)
TO_DISPLAY = ((np.arange(STEPS + 1) / STEPS) ** (1 / GAMMA) * 255 + 0.5).astype(np.uint8)


def make_images(count: int, size: int, seed: int) -> np.ndarray:
    """Return count grey images of size x size pixels: waves, an edge and noise; uint8.

    Row by row, as from a file: larger arrays than the pipeline's own, dropped here, would
    have taught malloc to keep memory (docs/numpy.md, "grown heap").
    """
    rng = np.random.default_rng(seed)
    x = np.arange(size) / size
    images = np.empty((count, size, size), np.uint8)
    for image in images:
        fx, fy = rng.uniform(2, 12, 2)
        for y, row in zip(x, image, strict=True):
            grey = 110 + 60 * np.sin(2 * np.pi * (fx * x + fy * y)) + 40 * (x > y)
            row[:] = np.clip(grey + rng.normal(0, 8, size), 0, 255)
    return images


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return the image under a Gaussian, one axis after the other; its edges repeat."""
    radius = int(3 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    weights = (weights / weights.sum()).astype(image.dtype)
    height, width = image.shape
    tall = np.pad(image, ((radius, radius), (0, 0)), mode="edge")
    image = sum(weight * tall[start : start + height] for start, weight in enumerate(weights))
    wide = np.pad(image, ((0, 0), (radius, radius)), mode="edge")
    return sum(weight * wide[:, start : start + width] for start, weight in enumerate(weights))


def stretch(image: np.ndarray) -> np.ndarray:
    """Return the image with the percentiles TAILS of its levels black and white."""
    share = np.bincount(image.ravel(), minlength=256).cumsum() * (100 / image.size)
    black, white = np.searchsorted(share, TAILS)
    levels = np.clip((np.arange(256) - black) / max(white - black, 1), 0, 1)
    return (levels * 255 + 0.5).astype(np.uint8)[image]


def develop(image: np.ndarray) -> np.ndarray:
    """Return one image sharpened in linear light, its contrast stretched; uint8."""
    linear = TO_LINEAR[image]
    sharp = linear + AMOUNT * (linear - blur(linear, SIGMA))
    display = TO_DISPLAY[(np.clip(sharp, 0, 1) * STEPS).astype(np.uint16)]
    return stretch(display)


def main(argv: Sequence[str] | None = None) -> None:
    """Make the images, run the pipeline both ways, print both times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=512, help="width and height in pixels")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", help="write the last image there (Pillow)")
    options = parser.parse_args(argv)
    if min(options.size, options.images, options.rounds) < 1:
        parser.error("--size, --images and --rounds must be at least 1")
    images = make_images(options.images, options.size, options.seed)
    print(f"{options.images} images of {options.size} x {options.size} pixels")
    with pyslab.Arena("4GiB", overcommit=True) as arena:
        found = compare(
            lambda: {"developed": np.stack([develop(image) for image in images])},
            arena,
            options.rounds,
        )
        print(f"mean level {found['developed'].mean():.3f}, of the originals {images.mean():.3f}")
        if options.save:
            from PIL import Image

            Image.fromarray(found["developed"][-1]).save(options.save)


if __name__ == "__main__":
    main()
