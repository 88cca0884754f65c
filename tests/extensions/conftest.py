"""The clients and the library for programs without Python, each compiled once a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.extensions.build import build_client
from tests.extensions.cython import load, pool_user
from tests.extensions.library import install
from tests.utils import WITHOUT_GIL

LIMITED = "Py_LIMITED_API=0x030A0000"
CONFIGURATIONS = {
    "c11": ("c11", []),
    "c++17": ("c++17", []),
    "c11-limited": ("c11", [LIMITED]),
    "c++17-limited": ("c++17", [LIMITED]),
    "unchecked": ("c11", ["PYSLAB_NO_IMPORT_CHECK"]),
}


@pytest.fixture(scope="session", params=CONFIGURATIONS)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a module `client`, in each way of compiling it."""
    language, defines = CONFIGURATIONS[request.param]
    if WITHOUT_GIL and LIMITED in defines:
        pytest.skip("a Python without a GIL has no limited API before 3.15")
    return build_client(tmp_path_factory.mktemp("client"), language, defines=defines)


@pytest.fixture(scope="session")
def c_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a module `client` in C."""
    return build_client(tmp_path_factory.mktemp("c_client"))


@pytest.fixture(scope="session", params=["cymem", "pyslab"])
def any_user(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the module pool_user over cymem and over pyslab: one changed cimport."""
    pytest.importorskip(request.param)
    return load(pool_user(request.param, tmp_path_factory.mktemp("pool_user")))


@pytest.fixture(scope="session")
def user_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of the module pool_user over pyslab, for a child process."""
    return pool_user("pyslab", tmp_path_factory.mktemp("pool_user"))


@pytest.fixture(scope="session")
def user(user_path: Path) -> Any:
    """Return the module pool_user over pyslab."""
    return load(user_path)


@pytest.fixture(scope="session")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that `make install-c` has put the library into."""
    return install(tmp_path_factory.mktemp("library"))
