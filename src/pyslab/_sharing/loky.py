"""The picklers of loky and joblib, which are put in when these modules are imported.

Their picklers are classes made at run time over cloudpickle's, which has a reducer_override of its
own: the one for arrays is asked before it. joblib's memory maps are files; arrays of a shared heap
do not become such.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from pyslab._core import ArraySender

__all__ = ["Finder"]

_LOKY = ("loky.backend.reduction", "joblib.externals.loky.backend.reduction")
_JOBLIB = ("joblib.pool",)


def _with_sender(cls: type[Any]) -> type[Any]:
    """Return the pickler class with a sender that is asked before its own reducer_override."""

    class Local(cls):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._sender = ArraySender()

        def reducer_override(self, obj: Any) -> Any:
            reduced = self._sender(obj)
            if reduced is NotImplemented and hasattr(cls, "reducer_override"):
                return super().reducer_override(obj)
            return reduced

        def dump(self, obj: Any) -> None:
            try:
                super().dump(obj)
            except BaseException:
                self._sender.revoke()
                raise

    return Local


def _patch_loky(
    module: ModuleType, put: Callable[..., None], prepared: Callable[[Any], Any]
) -> None:
    made: dict[type[Any], type[Any]] = {}

    def dump(obj: Any, file: Any, reducers: Any = None, protocol: int | None = None) -> None:
        """Replacement for pickle.dump() using _LokyPickler."""
        cls = module._LokyPickler
        if cls not in made:
            made[cls] = _with_sender(cls)
        made[cls](file, reducers=reducers, protocol=protocol).dump(prepared(obj))

    put(module, "dump", dump)


def _patch_joblib(module: ModuleType, put: Callable[..., None], prepared: object) -> None:
    put(module, "CustomizablePickler", _with_sender(module.CustomizablePickler))


class _Loader(importlib.abc.Loader):
    """Another loader's module, patched."""

    def __init__(self, loader: Any, patch: Callable[[ModuleType], None]) -> None:
        self._loader, self._patch = loader, patch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._patch(module)


class Finder(importlib.abc.MetaPathFinder):
    """Finds nothing by itself; patches those modules when others have found them."""

    def __init__(self, put: Callable[..., None], prepared: Callable[[Any], Any]) -> None:
        self._put, self._prepared = put, prepared
        self._busy: set[str] = set()

    def _patch(self, module: ModuleType) -> None:
        patch = _patch_joblib if module.__name__ in _JOBLIB else _patch_loky
        patch(module, self._put, self._prepared)

    def patch_loaded(self) -> None:
        """Patch those that the program has imported already."""
        for name in (*_LOKY, *_JOBLIB):
            if name in sys.modules:
                self._patch(sys.modules[name])

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in (*_LOKY, *_JOBLIB) or fullname in self._busy:
            return None
        self._busy.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._busy.discard(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._patch)
        return spec
