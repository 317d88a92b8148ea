"""What the patch table of a store costs: seconds and memory, in 2D and 3D. JSON on standard output, for a table:

    python bench/patches.py STORE ... > patches.json && mv patches.json docs/results/patch-table.json
    make tables

Each table is made twice in a process of its own: memory is that of the first time, seconds are those of the second,
when the files are in the page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from run import anonymous_mib, commit, machine

from gliamap.boxes import Shape
from gliamap.io.store import read_store
from gliamap.workflows.data.patches import make_patch_table

SIZE, STRIDE = 64, 32


def measure(store: Path, size: Shape) -> list[Any]:
    """Cases, patches, seconds, patches a second, and the largest ``RssAnon`` in MiB up to a third of the cases and in
    all, looked at between cases.
    """
    looks: list[float] = []

    def look(*_: object) -> None:
        looks.append(anonymous_mib(os.getpid()))

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "patches.parquet"
        make_patch_table(store, out, size=size, stride=STRIDE, progress=look)
        started = time.perf_counter()
        made = make_patch_table(store, out, size=size, stride=STRIDE)
        seconds = time.perf_counter() - started
    # The first look is at a process that has read no case yet.
    third = max(looks[1 : 1 + max(1, made.cases // 3)])
    return [made.cases, made.patches, seconds, made.patches / seconds, third, max(looks)]


def rows_of(store: Path) -> list[list[Any]]:
    """A row in 2D, and one in 3D where all cases are volumes."""
    volumes = all(entry.shape[2] > 1 for entry in read_store(store).cases)
    sizes: list[Shape] = [(SIZE, SIZE, 1), (SIZE, SIZE, SIZE)] if volumes else [(SIZE, SIZE, 1)]
    found = []
    for size in sizes:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            measured = pool.submit(measure, store, size).result()
        words = "x".join(str(n) for n in size if n > 1)
        found.append([store.name, words, *measured])
    return found


def main() -> None:
    """Measure every store and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path, nargs="+")
    rows = [row for store in parser.parse_args().stores for row in rows_of(store)]
    rounded = [[float(f"{cell:.3g}") if isinstance(cell, float) else cell for cell in row] for row in rows]
    head = ["Store", "Patch", "Cases", "Patches", "Seconds", "Patches a second"]
    head += ["RssAnon up to a third of the cases, MiB", "up to the end"]
    note = f"Patches of {SIZE} voxels an edge, {STRIDE} apart; one process, files in the page cache"
    print(json.dumps({"commit": commit(), "machine": machine(), "head": head, "rows": rounded, "note": note}, indent=1))


if __name__ == "__main__":
    main()
