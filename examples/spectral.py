"""A spectrogram and Welch's periodogram of a chirp in noise, in NumPy.

Windowed segments, their Fourier transforms and their powers are arrays as large as the signal and
larger. Run it:

    python examples/spectral.py --seconds 20

It runs once with NumPy's own allocator and once inside ``arena.numpy_allocator()``, and the
spectra are the same to the last bit. The chirp's frequency is then read from the spectrogram.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from timing import compare

import pyslab

RATE = 48_000  # samples a second
SEGMENT = 2048  # samples, half of them shared with the next segment
FIRST_HZ, LAST_HZ = 1_000.0, 9_000.0  # of the chirp
SPREAD_HZ = 250.0  # how far the ends of the chirp may be from the middle of a segment
NOISE = 0.5  # standard deviation; the chirp's amplitude is 1


def make_signal(seconds: float, seed: int) -> np.ndarray:
    """Return a linear chirp with white noise."""
    time = np.arange(int(seconds * RATE)) / RATE
    phase = FIRST_HZ * time + (LAST_HZ - FIRST_HZ) * time**2 / (2 * seconds)
    noise = np.random.default_rng(seed).normal(0, NOISE, time.size)
    return np.sin(2 * np.pi * phase) + noise


def spectrogram(signal: np.ndarray) -> np.ndarray:
    """Return the power density of each segment: rows are segments, columns frequencies.

    Hann's window; scaled so that the sum over frequencies times RATE / SEGMENT is the
    mean square of the signal (Welch 1967).
    """
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SEGMENT) / SEGMENT)
    views = np.lib.stride_tricks.sliding_window_view(signal, SEGMENT)[:: SEGMENT // 2]
    segments = (views - views.mean(axis=1, keepdims=True)) * window
    spectra = np.fft.rfft(segments, axis=1)
    power = (spectra * spectra.conj()).real / (RATE * (window**2).sum())
    power[:, 1:-1] *= 2  # the negative frequencies
    return power


def analyse(signal: np.ndarray) -> dict[str, np.ndarray]:
    """Return the spectrogram, the periodogram, and the strongest frequency of each segment."""
    power = spectrogram(signal)
    decibels = 10 * np.log10(power + 1e-12)
    strongest = decibels.argmax(axis=1) * (RATE / SEGMENT)
    return {"spectrogram": decibels, "periodogram": power.mean(axis=0), "strongest": strongest}


def main(argv: Sequence[str] | None = None) -> None:
    """Make the signal, analyse it both ways, print both times and what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the signal")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    if options.seconds * RATE < SEGMENT or options.rounds < 1:
        parser.error(f"at least {SEGMENT / RATE:.3f} seconds and one round are needed")
    signal = make_signal(options.seconds, options.seed)
    print(f"{signal.size} samples, {signal.nbytes >> 20} MiB")
    with pyslab.Arena("4GiB", overcommit=True) as arena:
        found = compare(lambda: analyse(signal), arena, options.rounds)
        first, last = found["strongest"][[0, -1]]
        power = found["periodogram"].sum() * RATE / SEGMENT
        print(f"chirp from {first:.0f} Hz to {last:.0f} Hz")
        if max(abs(first - FIRST_HZ), abs(last - LAST_HZ)) > SPREAD_HZ:
            raise SystemExit("the spectrogram shows another chirp")
        if abs(power / (signal**2).mean() - 1) > 0.05:
            raise SystemExit("the periodogram has another power than the signal")
        print(f"mean square {power:.3f}, of the signal {(signal**2).mean():.3f}")


if __name__ == "__main__":
    main()
