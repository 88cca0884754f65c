"""Closing: `with thing:` ends in thing.close(), for classes that have such a method."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, TypeVar

__all__ = ["Closing"]

_T = TypeVar("_T")


class _Closable(Protocol):
    def close(self) -> None:
        """End it."""


class Closing:
    """A context manager that is its own value, and closes itself whatever happened."""

    __slots__ = ()

    def __enter__(self: _T) -> _T:
        return self

    def __exit__(
        self: _Closable,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
