"""Importing this is an ImportError in a subinterpreter, before anything else is imported.

The compiled module alone cannot refuse so that the user reads why. Python 3.13 and later run its
init in the main interpreter first, whatever interpreter imports it; 3.12 and later let none in
that has a GIL of its own; and Python 3.11 and earlier copy what the main interpreter has, types
and all. So this asks Python where that can be asked, and then the compiled module.
"""

from __future__ import annotations

import sys

__all__: list[str] = []

_REFUSAL = "pyslab works in the main interpreter only, and this is a subinterpreter"


def _is_main() -> bool:
    """Tell whether this is the main interpreter; true where Python has no way to ask."""
    try:
        if sys.version_info >= (3, 13):
            import _interpreters as interpreters
        else:
            import _xxsubinterpreters as interpreters  # type: ignore[import-not-found]
    except ImportError:  # left out of this Python
        return True
    return bool(interpreters.get_current() == interpreters.get_main())


if sys.version_info >= (3, 12) and not _is_main():
    raise ImportError(_REFUSAL, name="pyslab")

from pyslab._core import _require_main_interpreter  # noqa: E402  # which _is_main() comes before

_require_main_interpreter()
