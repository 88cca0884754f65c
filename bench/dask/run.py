"""Dask's workers of one machine, with and without pyslab.dask: time, and memory at its peak.

Four workers of one thread each, as processes. Each job runs in a cluster of its own, both ways in
turn, `--rounds` times; the smallest time counts, and the smallest peak. Memory is the
proportional set size (PSS) of all processes of the cluster and of the client, read every 50 ms:
shared pages count once. `--size` is the bytes of the array that the job is about.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

JOBS = ("scatter", "rechunk", "rechunk-memory", "transpose", "overlap")


class Peak:
    """The largest sum of PSS while it is open."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.05):
            pids = [me.pid, *(child.pid for child in me.children(recursive=True))]
            self.nbytes = max(self.nbytes, sum(map(_pss, pids)))


def _pss(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return sum(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
    except OSError:
        return 0


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


def one(job: str, nbytes: int, with_pyslab: bool) -> dict[str, float]:
    """Run one job in a cluster of its own; print and return seconds and bytes."""
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
        run = prepare(client, nbytes)
        with Peak() as peak:
            begin = time.perf_counter()
            kept = run()
            seconds = time.perf_counter() - begin
            time.sleep(0.2)
        del kept
    return {"seconds": seconds, "peak_bytes": peak.nbytes}


def _child(job: str, nbytes: int, with_pyslab: bool) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", __file__, "--one", job, "--size", str(nbytes)]
    done = subprocess.run(
        command + ["--pyslab"] * with_pyslab, stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _best(results: list[dict[str, float]]) -> dict[str, float]:
    return {key: min(result[key] for result in results) for key in results[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1 << 30, help="bytes of the array")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", nargs="*", default=JOBS, choices=JOBS)
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--one", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--pyslab", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one, args.size, args.pyslab)))
        return
    table = {}
    print(f"{'job':16} {'plain s':>8} {'pyslab s':>9} {'ratio':>6}   peak MiB: plain pyslab ratio")
    for job in args.jobs:
        runs: dict[bool, list[dict[str, float]]] = {False: [], True: []}
        for _ in range(args.rounds):
            for with_pyslab in (False, True):
                runs[with_pyslab].append(_child(job, args.size, with_pyslab))
        plain, ours = _best(runs[False]), _best(runs[True])
        table[job] = {"plain": plain, "pyslab": ours}
        print(
            f"{job:16} {plain['seconds']:8.2f} {ours['seconds']:9.2f} "
            f"{plain['seconds'] / ours['seconds']:6.2f}   "
            f"{plain['peak_bytes'] / 2**20:15.0f} {ours['peak_bytes'] / 2**20:6.0f} "
            f"{ours['peak_bytes'] / plain['peak_bytes']:5.2f}",
            flush=True,
        )
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"size": args.size, "jobs": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
