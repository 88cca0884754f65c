"""The bounds find a constant that was tuned for one thing and breaks another."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.counts.bounds import broken
from tests.counts.programs import REPO, tool

pytestmark = pytest.mark.counts

Plant = Callable[[str, str, str], Path]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Return a builder of `contend` from sources in which one text is replaced."""

    def build(file: str, old: str, new: str) -> Path:
        for name in ("CMakeLists.txt", "cmake", "csrc", "tests/counts"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            if (REPO / name).is_dir():
                shutil.copytree(REPO / name, tmp_path / name)
            else:
                shutil.copy(REPO / name, tmp_path / name)
        source = tmp_path / file
        text = source.read_text()
        assert text.count(old) == 1
        source.write_text(text.replace(old, new))
        built = tmp_path / "build"
        options = ["-DPYSLAB_BUILD_COUNTS=ON", "-DPYSLAB_BUILD_DRIVER=OFF"]
        for command in (
            [tool("cmake"), "-S", tmp_path, "-B", built, "-DCMAKE_BUILD_TYPE=Release", *options],
            [tool("cmake"), "--build", built, "-j2", "--target", "contend"],
        ):
            subprocess.run(list(map(str, command)), check=True, capture_output=True)
        return built

    return build


def test_sheaves_that_do_not_grow(plant: Plant) -> None:
    """Without growth, two threads on random sizes take the cache's lock all the time."""
    built = plant(
        "csrc/slab/slab_internal.h",
        "#define THREAD_GROWN_BYTES ((uint32_t)768 << 10)",
        "#define THREAD_GROWN_BYTES ((uint32_t)0)",
    )
    found = broken("random_sizes", 2, built)
    assert {"cache_locks", "exchanges"} <= {text.split(":")[0] for text in found}
    assert [] == broken("same_size", 2, built)


def test_large_sheaves(plant: Plant) -> None:
    """Sheaves of 128 KiB take fewer locks, and more memory than the bound."""
    built = plant(
        "csrc/slab/sheaf_size.c",
        "#define SHEAF_LARGE_BYTES ((uint64_t)16 << 10)",
        "#define SHEAF_LARGE_BYTES ((uint64_t)128 << 10)",
    )
    found = broken("random_sizes", 2, built) + broken("shared_table", 32, built)
    assert {"peak_pages"} <= {text.split(":")[0] for text in found}
