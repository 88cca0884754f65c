"""How builds find the header: flags, pkg-config, CMake, entry points, cffi."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution, version
from importlib.resources import files
from pathlib import Path

import cffi
import pytest

import pyslab
from pyslab.cffi_builder import CDEF, ffibuilder
from tests.extensions.build import HERE, run_client
from tests.utils import assert_quiet


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def _option(name: str) -> str:
    return _run(sys.executable, "-m", "pyslab", name)


def test_the_directories() -> None:
    """Each function names a directory with its file, and the command line the same one."""
    for directory, name, option in (
        (pyslab.get_include(), "pyslab.h", None),
        (pyslab.get_cmake_dir(), "pyslabConfig.cmake", "--cmakedir"),
        (pyslab.get_pkgconfig_dir(), "pyslab.pc", "--pkgconfigdir"),
    ):
        assert (Path(directory) / name).is_file()
        assert option is None or directory == _option(option)


def test_the_flags(tmp_path: Path) -> None:
    """--includes is enough to compile a client; --cflags is pyslab's part of it."""
    flags = shlex.split(_option("--includes"))
    assert shlex.split(_option("--cflags")) == [f"-I{pyslab.get_include()}"]
    assert f"-I{pyslab.get_include()}" in flags
    if shutil.which("cc") is None:
        pytest.skip("cc is missing (a compiler)")
    target = tmp_path / "client.so"
    _run("cc", "-shared", "-fPIC", *flags, str(HERE / "client.c"), "-o", str(target))
    assert target.exists()


def test_several_options() -> None:
    """Each is answered on a line."""
    done = _run(sys.executable, "-m", "pyslab", "--cmakedir", "--version")
    assert [pyslab.get_cmake_dir(), f"pyslab {pyslab.__version__}"] == done.splitlines()


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="pkg-config is missing")
def test_pkg_config(tmp_path: Path) -> None:
    """It knows the version and the flags, also where the package was moved to."""
    moved = tmp_path / "a place" / "pyslab"
    shutil.copytree(Path(pyslab.get_pkgconfig_dir()), moved / "share" / "pkgconfig")
    shutil.copytree(pyslab.get_include(), moved / "include")
    for directory, include in (
        (pyslab.get_pkgconfig_dir(), pyslab.get_include()),
        (str(moved / "share" / "pkgconfig"), str(moved / "include")),
    ):
        told = _run("pkg-config", "--modversion", "pyslab", PKG_CONFIG_PATH=directory)
        assert version("pyslab-alloc") == told
        flags = _run("pkg-config", "--cflags", "pyslab", PKG_CONFIG_PATH=directory)
        (flag,) = shlex.split(flags)
        assert Path(include).samefile(flag.removeprefix("-I"))


CMAKE = """
cmake_minimum_required(VERSION 3.18)
project(client LANGUAGES C CXX)
find_package(pyslab {version} CONFIG REQUIRED)
add_library(client MODULE "{source}")
set_target_properties(client PROPERTIES PREFIX "")
target_include_directories(client PRIVATE "{python}")
target_link_libraries(client PRIVATE pyslab::pyslab)
"""


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is missing")
@pytest.mark.parametrize("option", ["-Dpyslab_DIR={0}/share/cmake/pyslab", "-Dpyslab_ROOT={0}"])
def test_cmake(tmp_path: Path, option: str) -> None:
    """find_package(pyslab) gives a target that a client compiles with; by name or by root."""
    text = CMAKE.format(
        version=".".join(version("pyslab-alloc").split(".")[:2]),
        source=HERE / "client.c",
        python=sysconfig.get_path("include"),
    )
    (tmp_path / "CMakeLists.txt").write_text(text, encoding="utf-8")
    root = Path(pyslab.get_include()).parent
    _run("cmake", "-S", str(tmp_path), "-B", str(tmp_path / "b"), option.format(root))
    _run("cmake", "--build", str(tmp_path / "b"))
    code = "import client; assert client.run('regions') == 0\nprint('alive')"
    assert_quiet(run_client(tmp_path / "b", code))


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is missing")
def test_cmake_of_another_major_version(tmp_path: Path) -> None:
    """A version that is not to be had is refused."""
    text = CMAKE.format(version="99.0", source=HERE / "client.c", python="")
    (tmp_path / "CMakeLists.txt").write_text(text, encoding="utf-8")
    command = ["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "b")]
    command.append(f"-Dpyslab_DIR={pyslab.get_cmake_dir()}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 != done.returncode
    assert "99.0" in done.stderr


def test_the_entry_points() -> None:
    """pkg_config leads to pyslab.pc, cmake.root to the root that find_package looks under."""
    found = {
        point.group: files(point.value)
        for point in distribution("pyslab-alloc").entry_points
        if point.name == "pyslab" and point.group not in ("console_scripts", "pytest11")
    }
    assert {"pkg_config", "cmake.root"} == set(found)
    assert (found["pkg_config"] / "pyslab.pc").is_file()
    root = found["cmake.root"]
    assert (root / "share" / "cmake" / "pyslab" / "pyslabConfig.cmake").is_file()


# --- cffi -------------------------------------------------------------------


def test_the_table_from_cffi() -> None:
    """pyslab.ffi knows struct pyslab_api: no compiler is needed to call through it."""
    api = pyslab.ffi.cast("pyslab_api *", pyslab.api_address())
    assert (1, 0) == (api.abi_major, api.abi_minor)
    assert pyslab.ffi.sizeof("pyslab_api") == api.struct_size
    arena = pyslab.Arena("16MiB")
    handle = pyslab.ffi.cast("pyslab_arena *", arena.handle)
    p = api.kmalloc(handle, 100, pyslab.GFP.KERNEL)
    assert 112 == api.ksize(handle, p)
    assert 0 == api.kfree(handle, p)
    arena.close()


def test_the_table_from_ctypes() -> None:
    """A function's address is the table's at its offset."""
    offset = pyslab.ffi.offsetof("pyslab_api", "strerror")
    address = ctypes.c_void_p.from_address(pyslab.api_address() + offset).value
    assert address is not None
    strerror = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int)(address)
    assert b"already free" == strerror(-4)


SOURCE = """
#define PYSLAB_NO_PYTHON
#include <pyslab.h>

static void *mine_alloc(pyslab_arena *arena)
{
    return pyslab_kzalloc(arena, 64, PYSLAB_GFP_KERNEL);
}
"""
CDEF_OF_MINE = "int pyslab_set_api(const void *); void *mine_alloc(pyslab_arena *);"


def test_ffi_include(tmp_path: Path) -> None:
    """Another cffi module shares the types, calls the functions, and compiles against them."""
    builder = cffi.FFI()
    builder.include(ffibuilder)
    builder.cdef(CDEF_OF_MINE)
    builder.set_source("mine", SOURCE, include_dirs=[pyslab.get_include()])
    builder.compile(tmpdir=str(tmp_path))
    code = """
    import pyslab
    from mine import ffi, lib
    assert lib.pyslab_set_api(ffi.cast("void *", pyslab.api_address())) == 0
    arena = pyslab.Arena("16MiB")
    handle = ffi.cast("pyslab_arena *", arena.handle)
    assert ffi.typeof(handle) is pyslab.ffi.typeof("pyslab_arena *")
    p = lib.mine_alloc(handle)
    assert p != ffi.NULL and lib.pyslab_ksize(handle, p) == 64
    assert lib.pyslab_kfree(handle, p) == lib.PYSLAB_OK
    print("alive")
    """
    assert_quiet(run_client(tmp_path, code))


def test_cffi_without_a_compiler(tmp_path: Path) -> None:
    """A module in ABI mode, which may include no compiled one, takes the text instead."""
    builder = cffi.FFI()
    builder.cdef(CDEF + "typedef struct { pyslab_arena *arena; void *p; } holder;")
    builder.set_source("mine_abi", None)
    builder.compile(tmpdir=str(tmp_path))
    code = """
    import pyslab
    from mine_abi import ffi
    arena = pyslab.Arena("16MiB")
    api = ffi.cast("pyslab_api *", pyslab.api_address())
    assert api.struct_size == ffi.sizeof("pyslab_api")
    holder = ffi.new("holder *", {"arena": ffi.cast("pyslab_arena *", arena.handle)})
    holder.p = api.kmalloc(holder.arena, 10, pyslab.GFP.KERNEL)
    assert api.kfree(holder.arena, holder.p) == 0
    print("alive")
    """
    assert_quiet(run_client(tmp_path, code))
