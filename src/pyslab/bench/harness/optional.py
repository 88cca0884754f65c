"""Modules that a machine may lack."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from pyslab.bench.harness.results import BenchError


def optional(module: str) -> ModuleType | None:
    """The module, or None where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def required_numpy() -> Any:
    """NumPy; BenchError where it is not installed."""
    module = optional("numpy")
    if module is None:
        raise BenchError("numpy is not installed")
    return module
