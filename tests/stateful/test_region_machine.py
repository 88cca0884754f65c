"""A region, its children and its marks against a model: a stack of what is alive.

The model is a list in the order of time, one for each region, of Buffers with their bytes,
marks, callables and children. Going back cuts the list, and tells what must have been
called, closed and released, in which order.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import pyslab
from tests.arrays import stale_array
from tests.utils import assert_balanced, assert_idle, pattern


@dataclass
class Piece:
    """A Buffer and its bytes; view: an export, stale: an array that holds none."""

    buf: pyslab.Buffer
    text: bytes
    view: memoryview | None = None


@dataclass
class Model:
    """A region: Pieces, marks (int), callables (str) and children (Model) in order."""

    region: pyslab.Region
    items: list[Piece | int | str | Model] = field(default_factory=list)

    def pieces(self, start: int = 0) -> list[Piece]:
        """Return every Piece from an item on, children's included."""
        found: list[Piece] = []
        for item in self.items[start:]:
            if isinstance(item, Piece):
                found.append(item)
            elif isinstance(item, Model):
                found += item.pieces()
        return found

    def calls(self, start: int = 0) -> list[str]:
        """Return the callables from an item on in the order that they must run."""
        names: list[str] = []
        for item in reversed(self.items[start:]):
            if isinstance(item, str):
                names.append(item)
            elif isinstance(item, Model):
                names += item.calls()
        return names

    def models(self) -> list[Model]:
        """Return this one and all below."""
        found = [self]
        for item in self.items:
            if isinstance(item, Model):
                found += item.models()
        return found


class RegionMachine(RuleBasedStateMachine):
    """One tree of regions in a small arena."""

    def __init__(self) -> None:
        """Start with one empty region."""
        super().__init__()
        self.arena = pyslab.Arena("8MiB", hugepages="no")
        self.root = Model(self.arena.region())
        self.stale: list[tuple[Any, Piece]] = []  # arrays, over Buffers that may be released
        self.dead_marks: list[int] = []
        self.log: list[str] = []
        self.serial = 0

    def _model(self, data: Any) -> Model:
        """Draw one of the regions."""
        models = self.root.models()
        return models[data.draw(st.integers(0, len(models) - 1))]

    @rule(data=st.data(), size=st.integers(0, 9000) | st.sampled_from([65536, 65537, 200_000]),
          align=st.sampled_from([1, 16, 64, 4096, 16384]), zero=st.booleans())  # fmt: skip
    def alloc(self, data: Any, size: int, align: int, zero: bool) -> None:
        """A Buffer, filled; or there is no memory, which changes nothing."""
        model = self._model(data)
        used = model.region.used
        try:
            buf = (model.region.zalloc if zero else model.region.alloc)(size, align=align)
        except pyslab.OutOfMemoryError:
            assert used == model.region.used
            return
        self.serial += 1
        assert 0 == buf.address % max(align, 16)
        assert not zero or not any(buf.tobytes())
        text = pattern(self.serial, size)
        buf[:] = text
        model.items.append(Piece(buf, text))

    @rule(data=st.data())
    def mark(self, data: Any) -> None:
        """A mark is the same as the last one only if nothing came between."""
        model = self._model(data)
        mark = model.region.mark()
        known = [item for item in model.items if isinstance(item, int)]
        assert mark not in self.dead_marks
        if mark in known:
            assert mark == known[-1]
            assert mark == model.items[-1]
        else:
            model.items.append(mark)

    @rule(data=st.data())
    def on_exit(self, data: Any) -> None:
        """A callable that notes its name."""
        self.serial += 1
        name = f"exit {self.serial}"
        model = self._model(data)
        model.region.on_exit(lambda: self.log.append(name))
        model.items.append(name)

    @rule(data=st.data(), hint=st.sampled_from([0, 0, 1, 20_000]))
    def child(self, data: Any, hint: int) -> None:
        """A region in one of them."""
        model = self._model(data)
        with contextlib.suppress(pyslab.OutOfMemoryError):
            model.items.append(Model(model.region.child(hint)))

    @precondition(lambda self: self.root.pieces())
    @rule(data=st.data(), stale=st.booleans())
    def look(self, data: Any, stale: bool) -> None:
        """A view, or an array that holds none."""
        pieces = self.root.pieces()
        piece = pieces[data.draw(st.integers(0, len(pieces) - 1))]
        if stale and piece.text:
            self.stale.append((stale_array(piece.buf), piece))
        elif piece.view is None:
            piece.view = memoryview(piece.buf)

    @rule()
    def look_away(self) -> None:
        """Views and arrays go."""
        self.stale.clear()
        for piece in self.root.pieces():
            if piece.view is not None:
                piece.view.release()
                piece.view = None

    def _go_back(self, model: Model, start: int, call: Any) -> bool:
        """Do it; tell whether it was done."""
        pieces, calls = model.pieces(start), model.calls(start)
        children = [item for item in model.items[start:] if isinstance(item, Model)]
        self.log.clear()
        if any(piece.view is not None for piece in pieces):
            with pytest.raises(BufferError):
                call()
            assert [] == self.log
            return False
        call()
        assert calls == self.log
        assert all(piece.buf.released for piece in pieces)
        assert all(child.region.closed for child in children)
        self.dead_marks += [item for item in model.items[start:] if isinstance(item, int)]
        del model.items[start:]
        return True

    @rule(data=st.data())
    def rewind(self, data: Any) -> None:
        """Back to a live mark, which stays."""
        model = self._model(data)
        places = [place for place, item in enumerate(model.items) if isinstance(item, int)]
        if places:
            place = places[data.draw(st.integers(0, len(places) - 1))]
            mark = model.items[place]
            self._go_back(model, place + 1, partial(model.region.rewind, mark))

    @rule(data=st.data())
    def reset(self, data: Any) -> None:
        """Back to the beginning."""
        model = self._model(data)
        self._go_back(model, 0, model.region.reset)

    @rule(data=st.data())
    def close_child(self, data: Any) -> None:
        """A child that ends by itself; it may not wait for a view here."""
        parents = [m for m in self.root.models() if any(isinstance(i, Model) for i in m.items)]
        if not parents:
            return
        parent = parents[data.draw(st.integers(0, len(parents) - 1))]
        child = next(item for item in parent.items if isinstance(item, Model))
        if all(piece.view is None for piece in child.pieces()):
            assert self._go_back(child, 0, child.region.close)
            parent.items.remove(child)

    @precondition(lambda self: self.dead_marks)
    @rule(data=st.data())
    def stale_mark(self, data: Any) -> None:
        """A mark that was rewound past is refused by every region."""
        mark = self.dead_marks[data.draw(st.integers(0, len(self.dead_marks) - 1))]
        for model in self.root.models():
            with pytest.raises(ValueError, match="mark"):
                model.region.rewind(mark)

    @invariant()
    def bytes_are_the_models(self) -> None:
        """Every live Buffer has its bytes, whatever stale arrays write; the recount is clean."""
        for array, piece in self.stale:
            if piece.buf.released:
                array[:] = 0xEE
        for piece in self.root.pieces():
            assert not piece.buf.released
            assert piece.text == piece.buf.tobytes()
        self.arena.validate()
        stats = self.arena.stats()
        assert_balanced(stats)
        assert stats.current_count >= len(self.root.pieces())
        reserved = sum(model.region.reserved for model in self.root.models())
        assert stats.block_pages * 4096 >= reserved

    def teardown(self) -> None:
        """Everything comes back."""
        self.look_away()
        self._go_back(self.root, 0, self.root.region.close)
        assert_idle(self.arena)


TestRegion = RegionMachine.TestCase
TestRegion.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
