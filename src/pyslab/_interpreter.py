"""Importing this is an ImportError in a subinterpreter, before anything else is imported.

The compiled module refuses by itself where its init runs; older Pythons copy the module of
the main interpreter instead, types and all.
"""

from __future__ import annotations

from pyslab._core import _require_main_interpreter

__all__: list[str] = []

_require_main_interpreter()
