"""What does the truncated SVD of a matrix on disk cost on a cluster, beside dask's own, and how many digits are right?

``python -m benchmarks.dask_svd FOLDER [--rows 800000] [--rounds 1]`` writes blocks of rows into FOLDER (4 GB with the
default), runs every contender cold (blocks out of the page cache) and warm, in alternating order, and stores a table.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, wait

from benchmarks.report import machine, machine_line
from lina.linalg import truncated_svd

COLUMNS, BLOCK, TERMS = 640, 6250, 20
WORKERS, MEMORY = 2, "2GB"
NOISE = 1e-8
OWN = "lina, 2 readings"


def write(folder: Path, rows: int) -> None:
    """Write blocks of a matrix whose leading singular values fall by halves, with a little noise, and these values."""
    rng = np.random.default_rng(0)
    R = np.zeros((0, COLUMNS))
    right = np.linalg.qr(rng.standard_normal((COLUMNS, 2 * TERMS)))[0].T * 2.0 ** -np.arange(2.0 * TERMS)[:, None]
    for i in range(rows // BLOCK):
        block = rng.standard_normal((BLOCK, 2 * TERMS)) @ right + NOISE * rng.standard_normal((BLOCK, COLUMNS))
        np.save(folder / f"{i:05d}.npy", block)
        R = np.linalg.qr(np.concatenate([R, block]), mode="r")
    np.savez(folder / "values.npz", values=np.linalg.svd(R, compute_uv=False)[:TERMS])


def blocks_of(folder: Path, rows: int) -> Any:
    """Return the matrix as a dask array; every reading of a block leaves a byte in the file "reads"."""
    sizes = (BLOCK,) * (rows // BLOCK)
    meta = np.empty((0, 0))
    return da.map_blocks(_read, folder=str(folder), chunks=(sizes, (COLUMNS,)), dtype=float, meta=meta)


def _read(folder: str, block_info: Any = None) -> np.ndarray:
    with open(f"{folder}/reads", "ab") as log:
        log.write(b".")
    block: np.ndarray = np.load(f"{folder}/{block_info[None]['chunk-location'][0]:05d}.npy")
    return block


def contenders(A: Any) -> dict[str, Callable[[], Any]]:
    """Return functions that compute (U, s, Vt) on the cluster and keep U there."""

    def dask_own(steps: int, iterator: str) -> Callable[[], Any]:
        # compute=True reads anew for each product, as arrays larger than the memory need it
        return lambda: da.linalg.svd_compressed(A, TERMS, n_power_iter=steps, iterator=iterator, seed=0, compute=True)

    def own(**options: Any) -> Callable[[], Any]:
        return lambda: tuple(truncated_svd(A, TERMS, method="krylov", rng=0, **options))

    return {
        OWN: own(max_passes=2),
        "dask, svd_compressed, power, 1 step": dask_own(1, "power"),
        "dask, svd_compressed, QR, 1 step": dask_own(1, "QR"),
        "lina, 3 readings": own(max_passes=3),
    }


def _reset() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts here


def _peak() -> tuple[float, float]:
    status = Path("/proc/self/status").read_text()
    peak = float(status.partition("VmHWM:")[2].split()[0]) / 1024
    times = os.times()
    return peak, times.user + times.system


def forget(folder: Path) -> None:
    """Take the blocks out of the page cache."""
    for each in folder.glob("*.npy"):
        with each.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(client: Client, folder: Path, call: Callable[[], Any]) -> dict[str, Any]:
    """Return seconds, CPU seconds of the workers, readings of a block, the largest peak of a worker, and the values."""
    (folder / "reads").write_bytes(b"")
    client.run(_reset)
    before = client.run(_peak)
    start = time.perf_counter()
    factors = dask.persist(*call())
    wait(factors)
    seconds = time.perf_counter() - start
    after = client.run(_peak)
    return {
        "wall": seconds,
        "cpu": sum(after[each][1] - before[each][1] for each in after),
        "reads": len((folder / "reads").read_bytes()) / len(list(folder.glob("*.npy"))),
        "peak": max(each[0] for each in after.values()),
        "values": np.asarray(factors[1].compute()),
    }


def run(client: Client, folder: Path, rows: int, rounds: int) -> dict[str, dict[str, float]]:
    """Measure all contenders in alternating order and return the least times and the largest peak and error of each."""
    calls = contenders(blocks_of(folder, rows))
    found: dict[str, dict[str, list[dict[str, Any]]]] = {name: {"cold": [], "warm": []} for name in calls}
    for turn in range(rounds):
        for name in list(calls) if turn % 2 == 0 else list(calls)[::-1]:
            forget(folder)
            for state in ("cold", "warm"):
                found[name][state].append(measure(client, folder, calls[name]))
                last = found[name][state][-1]
                print(f"{name}, {state}: {last['wall']:.1f} s, {last['cpu']:.1f} s of CPU", flush=True, file=sys.stderr)
    exact = np.load(folder / "values.npz")["values"]
    return {name: summary(states, exact) for name, states in found.items()}


def summary(states: dict[str, list[dict[str, Any]]], exact: np.ndarray) -> dict[str, float]:
    """Return what is shown of the runs of a contender."""
    runs = states["cold"] + states["warm"]
    return {
        "cold, s": min(each["wall"] for each in states["cold"]),
        "warm, s": min(each["wall"] for each in states["warm"]),
        "CPU, s": min(each["cpu"] for each in runs),
        "readings": runs[0]["reads"],
        "peak of a worker, MB": max(each["peak"] for each in runs),
        "largest relative error of the values": max(float(np.max(np.abs(r["values"] - exact) / exact)) for r in runs),
    }


def store(found: dict[str, dict[str, float]], rows: int, folder: Path) -> None:
    """Write dask-DATE.json and dask-DATE.md."""
    where = machine()
    size = f"{rows} x {COLUMNS} float64, {rows * COLUMNS * 8 / 1e9:.1f} GB in {rows // BLOCK} files"
    note = f"{size}; {WORKERS} workers of one thread with {MEMORY} each; {TERMS} terms. Least times, largest errors."
    names = list(next(iter(found.values())))
    table = [f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for contender, values in found.items():
        cells = [f"{v:.1e}" if "error" in name else f"{v:.4g}" for name, v in values.items()]
        table.append(f"| {contender} | {' | '.join(cells)} |")
    title = "## What does the truncated SVD of a matrix on disk cost on a cluster, and how many digits are right?"
    text = [f"# dask, {where['date']}", "", machine_line(where), "", title, "", note, "", *table, "", *verdicts(found)]
    stem = folder / f"dask-{where['date']}"
    stem.with_suffix(".json").write_text(json.dumps({"machine": where, "rows": rows, "runs": found}, indent=1) + "\n")
    stem.with_suffix(".md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print("\n".join(text))


def verdicts(found: dict[str, dict[str, float]]) -> list[str]:
    """Return a line for each target: no slower than dask, half of its readings, right digits."""
    own, lines = found[OWN], []
    for peer in (name for name in found if name.startswith("dask")):
        for state in ("cold, s", "warm, s"):
            ratio = own[state] / found[peer][state]
            lines.append(
                f"- {'met' if ratio <= 1 else 'MISSED'}: {OWN} takes {ratio:.2f} of {peer}, {state[:4]} (wanted 1)"
            )
        share = own["readings"] / found[peer]["readings"]
        lines.append(f"- {'met' if share <= 0.5 else 'MISSED'}: {share:.2g} of the readings of {peer} (wanted 0.5)")
    error = own["largest relative error of the values"]
    return [*lines, f"- {'met' if error < 1e-8 else 'MISSED'}: error {error:.1e} of the values (wanted 1e-8)"]


def main() -> None:
    """Write the blocks, run, store the table, and take the blocks away again."""
    parser = argparse.ArgumentParser(prog="benchmarks.dask_svd")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=800_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    folder = arguments.folder / "dask_svd"
    folder.mkdir(parents=True)
    try:
        write(folder, arguments.rows)
        with (
            LocalCluster(
                n_workers=WORKERS, threads_per_worker=1, memory_limit=MEMORY, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            found = run(client, folder, arguments.rows, arguments.rounds)
    finally:
        shutil.rmtree(folder)
    store(found, arguments.rows, arguments.out)


if __name__ == "__main__":
    main()
