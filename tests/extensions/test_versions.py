"""Clients and libraries of different versions, made by changing a copy of the header.

An older header lacks the last functions of the list and the last field of a struct that a
function fills; a newer one has more of both. The library is the real one in every case.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import pyslab
from tests.extensions.build import HERE, build, build_client, run_client
from tests.utils import assert_quiet

NR_LEFT_OUT = 4
SMALL = HERE / "small.c"


def _edit(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), flags=re.M)
    assert count == 1, f"{pattern} is {count} times in {path.name}"
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    """Return a copy of the header's folder."""
    return Path(shutil.copytree(pyslab.get_include(), tmp_path / "include"))


def _set_minor(headers: Path, minor: int) -> None:
    _edit(headers / "pyslab" / "api.h", r"(define PYSLAB_ABI_MINOR) \d+", rf"\1 {minor}")


def _append(headers: Path, lines: str) -> None:
    with (headers / "pyslab" / "functions.h").open("a", encoding="utf-8") as stream:
        stream.write(lines)


def _nr_entries(path: Path) -> int:
    return len(re.findall(r"^PYSLAB_\w+\(", path.read_text(encoding="utf-8"), re.M))


def test_an_older_client(headers: Path, tmp_path: Path) -> None:
    """A client whose table and structs are shorter works, and nothing is written past them."""
    functions = headers / "pyslab" / "functions.h"
    entries = re.split(r"^(?=PYSLAB_\w+\()", functions.read_text(encoding="utf-8"), flags=re.M)
    functions.write_text("".join(entries[:-NR_LEFT_OUT]), encoding="utf-8")
    assert _nr_entries(functions) > 90
    types = headers / "pyslab" / "types.h"
    _edit(types, r"^    uint64_t pages_released;.*\n", "")  # the last of pyslab_arena_stats
    build(tmp_path / "small.so", [SMALL], include=headers)
    code = """
        import small
        from pyslab import testing

        def work():
            if small.run() != 0:
                raise MemoryError

        assert small.run() == 0, small.run()
        assert testing.every_failure(work) == 1
        print("alive")
    """
    assert_quiet(run_client(tmp_path, code))


NEW_FUNCTION = """
#if PYSLAB_TARGET_ABI_MINOR >= {minor}
PYSLAB_FN(int, of_tomorrow, (pyslab_arena *arena), (arena))
#endif
"""


def test_a_newer_client(headers: Path, tmp_path: Path) -> None:
    """A client that wants functions of a later version gets an ImportError with both."""
    _set_minor(headers, 7)
    _append(headers, NEW_FUNCTION.format(minor=7))
    build_client(tmp_path, include=headers)
    done = run_client(
        tmp_path,
        """
        try:
            import client
        except ImportError as error:
            print(error)
        """,
    )
    assert 0 == done.returncode, done.stderr
    assert "C API 1.0" in done.stdout
    assert "compiled for 1.7" in done.stdout


def test_a_newer_header_for_an_older_target(headers: Path, tmp_path: Path) -> None:
    """PYSLAB_TARGET_ABI_MINOR leaves the later functions out: the client works again."""
    _set_minor(headers, 7)
    _append(headers, NEW_FUNCTION.format(minor=7))
    types = headers / "pyslab" / "types.h"
    _edit(types, r"^(    uint64_t pages_released;.*\n)", r"\1    uint64_t pages_of_tomorrow;\n")
    _edit(types, r"^(    uint32_t shared; .*\n)", r"\1    uint64_t tomorrow;\n")
    build_client(tmp_path, defines=["PYSLAB_TARGET_ABI_MINOR=0"], include=headers)
    code = """
    import client
    for name in client.names():
        assert (line := client.run(name)) == 0 or name == "arenas", (name, line)
    print("alive")
    """
    assert_quiet(run_client(tmp_path, code))


def test_another_major_version(headers: Path, tmp_path: Path) -> None:
    """A client of another major version gets an ImportError, whatever the sizes."""
    _edit(headers / "pyslab" / "api.h", r"(define PYSLAB_ABI_MAJOR) \d+", r"\1 2")
    build_client(tmp_path, include=headers)
    done = run_client(tmp_path, "import client")
    assert 1 == done.returncode
    assert re.search(r"ImportError: .*C API 1\.0 .*compiled for 2\.0", done.stderr)


def test_a_longer_table_of_the_same_version(headers: Path, tmp_path: Path) -> None:
    """The size counts too, should somebody forget the number."""
    _append(headers, NEW_FUNCTION.format(minor=0))
    build_client(tmp_path, include=headers)
    done = run_client(tmp_path, "import client")
    assert 1 == done.returncode
    sizes = r"1\.0 \(a table of (\d+) bytes\).*1\.0 \((\d+) bytes\)"
    found = re.search(rf"ImportError: .*{sizes}", done.stderr)
    assert found is not None
    assert int(found[1]) < int(found[2])


def test_a_target_beyond_the_header(tmp_path: Path) -> None:
    """PYSLAB_TARGET_ABI_MINOR of a later version does not compile."""
    with pytest.raises(AssertionError, match="newer than this"):
        build_client(tmp_path, defines=["PYSLAB_TARGET_ABI_MINOR=1"])


@pytest.mark.parametrize(
    "spoil",
    ["del pyslab._C_API", "pyslab._C_API = None", "sys.modules['pyslab'] = None"],
)
def test_no_table(c_client: Path, spoil: str) -> None:
    """A pyslab without the capsule, as the first versions were, is an ImportError."""
    done = run_client(c_client, f"import pyslab\n{spoil}\nimport client")
    assert 1 == done.returncode
    assert re.search(r"(ImportError|ModuleNotFoundError): .*pyslab", done.stderr)
