"""A consumer: starts the program camera, and reads its frames where they are.

Run: python viewer.py ./camera
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np

import pyslab

NR_FRAMES = 20
HANDLE_BYTES = 32


def main(camera: str) -> None:
    """Look at some frames, as arrays over the camera's own memory."""
    nbytes = 0
    with subprocess.Popen([camera], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(NR_FRAMES):
            process.stdin.write(b"n")
            process.stdin.flush()
            with pyslab.open_handle(process.stdout.read(HANDLE_BYTES)) as frame:
                pixels = np.frombuffer(frame, np.uint8)
                assert not pixels.flags.writeable
                assert (pixels == number).all()
                nbytes = pixels.nbytes
                del pixels
        process.stdin.close()
    assert process.returncode == 0
    print(f"{NR_FRAMES} frames of {nbytes} bytes, none copied")


if __name__ == "__main__":
    main(sys.argv[1])
