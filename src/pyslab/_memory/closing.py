"""Closing: `with thing:` ends in thing.close(), for classes that have such a method."""

from __future__ import annotations

from types import TracebackType

from pyslab import _hints as hints

__all__ = ["Closing"]


class Closing:
    """A context manager that is its own value, and closes itself whatever happened."""

    __slots__ = ()

    def __enter__(self: hints.T) -> hints.T:
        return self

    def __exit__(
        self: hints.Closable,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
