"""The work of each example in Python with every one of its allocations failing, in turn."""

from __future__ import annotations

import importlib.util
import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest

import pyslab
from pyslab import testing
from tests.utils import REPO

pytest.importorskip("numpy")


def example(name: str) -> Any:
    """Return an example as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", REPO / f"examples/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPO / "examples")  # they import each other
        spec.loader.exec_module(module)
    return module


def test_numbers_on_disk(tmp_path: Path) -> None:
    """Arenas, runs of frames and windows: none is left over, and the file can be made anew."""
    numbers = example("out_of_core")
    path = tmp_path / "numbers.bin"
    nbytes = 2 * numbers.LOW

    def work() -> None:
        path.unlink(missing_ok=True)
        numbers.create(path, nbytes)
        numbers.update_with_window(path, nbytes)

    assert testing.every_failure(work) == 3


def test_a_table(tmp_path: Path) -> None:
    """One Buffer that Arrow's columns keep."""
    pytest.importorskip("pyarrow")
    load = example("arrow_load")
    path = tmp_path / "table.arrow"
    load.write_file(path, 1000, 1)
    with pyslab.Arena("16MiB") as arena:
        assert testing.every_failure(load.read_table, path, arena, arena=arena) == 1


@pytest.mark.parametrize("name", ["spectral", "image_pipeline"])
def test_arrays(name: str) -> None:
    """NumPy makes the arrays of a calculation in the arena: each of them may fail."""
    module = example(name)
    if name == "spectral":
        data, calculate = module.make_signal(0.05, 1), module.analyse
    else:
        data, calculate = module.make_images(1, 32, 1)[0], module.stretch
    with pyslab.Arena("64MiB") as arena:

        def work() -> None:
            with arena.numpy_allocator():
                calculate(data)

        # NumPy does without some of them: it takes a slower way.
        assert testing.every_failure(work, arena=arena, recovers=True) > 3


def test_a_camera_that_shares() -> None:
    """What examples/sharing does in one process: it makes a frame, sends it, and gets it."""
    camera = example("sharing/camera")
    with pyslab.Arena("64MiB", shared=True) as arena:

        def work() -> None:
            frame = camera.film(arena, 1)
            received = pickle.loads(ForkingPickler.dumps(frame))
            assert (received == frame).all()

        assert testing.every_failure(work, arena=arena) >= 1
