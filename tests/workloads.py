"""The modules of bench/workloads, which is a folder of scripts and no package."""

import importlib
import sys
from types import ModuleType

from tests.utils import REPO

FOLDER = REPO / "bench" / "workloads"


def load(name: str) -> ModuleType:
    """Return a module of the folder; its scripts import each other by bare names."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return importlib.import_module(name)
