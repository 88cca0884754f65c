"""Sections of which the C driver measures everything, in modes of its own.

Each mode runs plain and, where that makes sense, with each malloc library preloaded. In a
preloaded run the driver measures only its "libc" contender, which then is the library; the rows
take the library's name. A library that does not run is left out with a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pyslab.bench.harness.driver import Peer, run_driver
from pyslab.bench.harness.results import BenchError, JsonObject, Results
from pyslab.bench.harness.section import Plan, Run, Section
from pyslab.bench.harness.series import PYSLAB
from pyslab.bench.harness.table import Table
from pyslab.bench.harness.verdict import Verdict

LIBC = "libc"
NO_ALLOCATOR = "none"  # the same work without allocating


@dataclass(frozen=True)
class Mode:
    """Arguments of the driver, and whether each library runs it too."""

    arguments: Sequence[str]
    with_peers: bool


@dataclass(frozen=True)
class _Process:
    """One process of the driver."""

    mode: Mode
    peer: Peer | None

    def document(self) -> JsonObject | BenchError:
        """What it printed, or why it did not."""
        only = ["--only", LIBC] if self.peer else []
        try:
            return run_driver([*self.mode.arguments, *only], self.peer)
        except BenchError as error:
            return error


def driver_section(
    place: str,
    record: type,
    key: str,
    modes: Callable[[Plan], Sequence[Mode]],
    tables: Callable[[Results], list[Table]],
    verdicts: Callable[[Results], list[Verdict]] = lambda _: [],
    make: Callable[..., object] | None = None,
    at_once: Callable[[Plan], int] = lambda _: 1,
) -> Section:
    """A section in depth: its records are the rows that the driver prints under a key.

    `place` is where the JSON document has them; `make` makes a record of a row's fields where
    the class alone does not; `at_once` is how many processes run side by side, which is for
    what is no time.
    """

    def measure(run: Run) -> None:
        measure_modes(run, key, make or record, modes(run.plan), at_once(run.plan))

    return Section(
        bar="In depth",
        steps=lambda plan: len(modes(plan)),
        steps_per_peer=lambda plan: sum(mode.with_peers for mode in modes(plan)),
        measure=measure,
        tables=tables,
        verdicts=verdicts,
        records={place: record},
    )


def measure_modes(
    run: Run, key: str, record: Callable[..., object], modes: Sequence[Mode], at_once: int = 1
) -> None:
    """Runs the modes and keeps record(**row) of each row that the documents have under key."""
    processes = [
        _Process(mode, peer)
        for mode in modes
        for peer in (None, *(run.peers if mode.with_peers else ()))
    ]
    with ThreadPoolExecutor(at_once) as pool:
        documents = pool.map(_Process.document, processes)
        for process, document in zip(processes, documents, strict=True):
            for fields in _rows(run, process, document, key):
                run.results.add(record(**fields))
            run.progress.advance()


def _rows(
    run: Run, process: _Process, document: JsonObject | BenchError, key: str
) -> Iterator[dict[str, Any]]:
    """The fields of each row; a key "p99.9" is the field p99_9."""
    peer = process.peer
    if isinstance(document, BenchError):
        if peer is None:
            raise document
        run.results.note(f"{process.mode.arguments[0]} of {peer.name} left out: {document}")
        return
    for row in document[key]:
        fields = {name.replace(".", "_"): _frozen(value) for name, value in row.items()}
        if peer and "contender" in fields:
            fields["contender"] = peer.name
        yield fields


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def peer_names(contenders: Iterable[str]) -> list[str]:
    """Of the contenders of some rows, the preloaded libraries."""
    names = dict.fromkeys(contenders)
    return [name for name in names if name not in (PYSLAB, LIBC, NO_ALLOCATOR)]
