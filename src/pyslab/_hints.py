"""The door to the names that annotations use and calls do not: ``hints.Any``, ``hints.Window``.

Annotations of pyslab are kept as texts. A text is evaluated by those who ask for it
(typing.get_type_hints, Sphinx, pydantic, beartype) in the globals of the function's module, so
what it names must be there; but typing and the classes of the package's lazy modules take
milliseconds to import, which a program that only allocates would pay for. This module is there,
and imports _hint_names.py when the first name is asked for. A module that `import pyslab` does
not import may import what it annotates with as usual.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what a type checker takes for true, without importing typing

if TYPE_CHECKING:
    from pyslab._hint_names import *  # noqa: F403

if not TYPE_CHECKING:  # a type checker would take every name for a hint

    def __getattr__(name):
        """Give a name of _hint_names.py. Underscored ones are what tools ask any module for."""
        if not name.startswith("_"):
            from pyslab import _hint_names

            return getattr(_hint_names, name)
        raise AttributeError(f"module 'pyslab._hints' has no attribute {name!r}", name=name)
