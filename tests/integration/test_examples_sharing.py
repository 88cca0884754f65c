"""The examples of examples/sharing run; what they show they assert themselves."""

import os
import subprocess
import sys

import pytest

from tests.utils import REPO

pytest.importorskip("numpy")

SMALL = {  # options, and what is printed
    "images.py": (("--images", "4", "--height", "270"), "the pixels are the same"),
    "reduction.py": (("--size", "64MiB", "--workers", "2"), "3 processes have"),
    "camera.py": (("--frames", "20"), "20 frames to 3 consumers"),
    "recovery.py": ((), "8388608 times 7"),
    "prefetch.py": (("--batches", "4"), "4 batches, the same numbers both times"),
}


def test_each_is_tried() -> None:
    assert set(SMALL) == {path.name for path in (REPO / "examples" / "sharing").glob("*.py")}


@pytest.mark.parametrize("name", SMALL)
def test_runs(name: str) -> None:
    """Quietly, and to the end."""
    options, printed = SMALL[name]
    command = [sys.executable, str(REPO / "examples" / "sharing" / name), *options]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=REPO, env=environment
    )
    assert 0 == done.returncode, done.stderr
    assert printed in done.stdout
    assert "" == done.stderr
