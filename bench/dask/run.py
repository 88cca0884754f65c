"""Dask's workers of one machine, with and without pyslab.dask: time, and memory at its peak.

Four workers of one thread each, as processes. Each job runs in a cluster of its own that has done
a small one before, both ways in turn, `--rounds` times; of each figure the smallest counts. Memory
is the proportional set size (PSS) of all processes of the cluster and of the client, read every
50 ms: shared pages count once. Reading it takes the processes' time, so it has rounds of its own
(`--memory-rounds`). CPU seconds and page faults are those of all these processes during the job,
and say where time goes. `--size` is the bytes of the array that the job is about.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

WARM_UP_BYTES = 32 << 20
# Of a result: its unit in the table, and how many digits of it.
FIGURES = (
    *(("seconds", 1, 2), ("user_s", 1, 2), ("system_s", 1, 2)),
    *(("faults", 1000, 0), ("peak_bytes", 1 << 20, 0), ("begin_bytes", 1 << 20, 0)),
)
JOBS = ("scatter", "rechunk", "rechunk-memory", "transpose", "overlap")


def _pids() -> list[int]:
    me = psutil.Process()
    return [me.pid, *(child.pid for child in me.children(recursive=True))]


def _pss(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return sum(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
    except OSError:
        return 0


def _used(pid: int) -> tuple[float, float, int]:
    """Return user and system seconds of a process, and its page faults."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / ticks, int(fields[12]) / ticks, int(fields[7])


class Peak:
    """The largest sum of PSS while it is open; not looking, nothing."""

    def __init__(self, look: bool) -> None:
        self._pids = _pids()
        self.begin_bytes = self.nbytes = sum(map(_pss, self._pids)) if look else 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run if look else self._stop.wait)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            self.nbytes = max(self.nbytes, sum(map(_pss, self._pids)))


def _sums() -> list[float]:
    return [sum(each) for each in zip(*map(_used, _pids()), strict=True)]


def timed(run: Callable[[], Any], look: bool) -> dict[str, float]:
    """Run a job; return its seconds and what all processes used, or (looking) its memory."""
    with Peak(look) as peak:
        before, begin = _sums(), time.perf_counter()
        kept = run()
        seconds = time.perf_counter() - begin
        used = map(operator.sub, _sums(), before)
        time.sleep(0.2)
    del kept
    if look:
        return {"peak_bytes": peak.nbytes, "begin_bytes": peak.begin_bytes}
    names = ("user_s", "system_s", "faults")
    return {"seconds": seconds, **dict(zip(names, used, strict=True))}


def _scatter(client: Any, nbytes: int) -> Callable[[], Any]:
    import numpy as np
    from distributed import wait

    array = np.random.default_rng(1).random(nbytes // 8)
    return lambda: wait(client.scatter(array, broadcast=True))


def _rechunk(client: Any, nbytes: int) -> Callable[[], Any]:
    import dask.array as da
    from distributed import wait

    n = int((nbytes / 8) ** 0.5) // 16 * 16
    array = da.random.random((n, n), chunks=(n // 16, n))
    return lambda: wait(array.rechunk((n, n // 16)).persist())


def _square(nbytes: int) -> Any:
    import dask.array as da
    from distributed import wait

    n = int((nbytes / 8) ** 0.5) // 8 * 8
    array = da.random.random((n, n), chunks=(n // 8, n // 8)).persist()
    wait(array)
    return array


def _transpose(client: Any, nbytes: int) -> Callable[[], Any]:
    array = _square(nbytes)
    return lambda: (array + array.T).sum().compute()


def _overlap(client: Any, nbytes: int) -> Callable[[], Any]:
    array = _square(nbytes)
    mapped = array.map_overlap(lambda block: 2 * block, depth=16, boundary="reflect")
    return lambda: mapped.sum().compute()


def one(job: str, nbytes: int, with_pyslab: bool, look: bool) -> dict[str, float]:
    """Run one job in a cluster of its own; return its figures."""
    import dask
    from distributed import Client, LocalCluster

    options: dict[str, Any] = {}
    if with_pyslab:
        from pyslab.dask import PyslabPlugin

        options["plugins"] = [PyslabPlugin("50%")]
    if job == "rechunk-memory":  # shuffles keep what they got, instead of writing it to disk
        dask.config.set({"distributed.p2p.storage.disk": False})
    prepare = {
        "scatter": _scatter,
        "rechunk": _rechunk,
        "rechunk-memory": _rechunk,
        "transpose": _transpose,
        "overlap": _overlap,
    }[job]
    with (
        LocalCluster(
            n_workers=4,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            memory_limit="auto",
            **options,
        ) as cluster,
        Client(cluster) as client,
    ):
        prepare(client, WARM_UP_BYTES)()  # workers import what the job needs
        return timed(prepare(client, nbytes), look)


def _child(job: str, nbytes: int, with_pyslab: bool, look: bool) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", __file__, "--one", job, "--size", str(nbytes)]
    command += ["--pyslab"] * with_pyslab + ["--look"] * look
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _best(results: list[dict[str, float]]) -> dict[str, float]:
    best: dict[str, float] = {}
    for result in results:
        for key, value in result.items():
            best[key] = min(value, best.get(key, value))
    return best


def both(job: str, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Run a job both ways in turn; return the best figures of each."""
    runs: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for number in range(args.rounds + args.memory_rounds):
        for with_pyslab in (False, True):
            runs[with_pyslab].append(_child(job, args.size, with_pyslab, number >= args.rounds))
    return {"plain": _best(runs[False]), "pyslab": _best(runs[True])}


def row(job: str, plain: dict[str, float], ours: dict[str, float]) -> str:
    """Return a line of the table."""
    line = f"{job:14}"
    for key, unit, digits in FIGURES:
        line += f" {plain[key] / unit:8.{digits}f} {ours[key] / unit:8.{digits}f}"
        line += f" {plain[key] / ours[key]:5.2f} "
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1 << 30, help="bytes of the array")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-rounds", type=int, default=1)
    parser.add_argument("--jobs", nargs="*", default=JOBS, choices=JOBS)
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--one", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--pyslab", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--look", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one, args.size, args.pyslab, args.look)))
        return
    print(f"{'job':14}" + "".join(f" {key:>10} pyslab ratio " for key, _, _ in FIGURES))
    table = {}
    for job in args.jobs:
        table[job] = both(job, args)
        print(row(job, table[job]["plain"], table[job]["pyslab"]), flush=True)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"size": args.size, "jobs": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
