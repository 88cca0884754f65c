"""The pickler for local connections: arrays of shared heaps become handles in it.

It is multiprocessing's own, with a reducer that is asked first. A pickle that fails takes its
handles back, so that no block waits for a receiver that there is not. Not here: where it is put in
(hooks.py).
"""

from __future__ import annotations

import io
from multiprocessing.reduction import ForkingPickler
from typing import Any

from pyslab._core import ArraySender

__all__ = ["LocalPickler"]


class LocalPickler(ForkingPickler):
    """ForkingPickler for a receiver on this machine."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.sender = ArraySender()
        self.__dict__["reducer_override"] = self.sender  # a call less than a method

    def dump(self, obj: Any) -> None:
        try:
            super().dump(obj)
        except BaseException:
            self.sender.revoke()
            raise

    @classmethod
    def dumps(cls, obj: Any, protocol: int | None = None) -> memoryview:
        file = io.BytesIO()
        cls(file, protocol).dump(obj)
        return file.getbuffer()
