"""What loading leaves behind: no memory that grows with cases or patches, nothing after a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stores import write_tiny_store

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path("/dev/shm")
LINUX = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="looks into /proc, which Linux has")

TOLERANCE = 1.15  # between few cases and many, few patches and many

LOAD_ON = """
import sys
from multiprocessing import active_children
from pathlib import Path
from test_sampling_loader import config, feed
from stores import open_store

loading = feed(open_store(Path(sys.argv[1])), config(workers=2, steps=10**6))
list(loading)
print(*[child.pid for child in active_children()], flush=True)
while True:
    list(loading)
"""


@LINUX
@pytest.mark.slow
def test_memory_grows_neither_with_cases_nor_with_patches() -> None:
    command = [sys.executable, str(ROOT / "bench" / "training.py"), "memory", "--cases", "4", "48", "--patches", "180"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)["rows"]
    assert [row[:2] for row in rows] == [[4, 0], [4, 2], [48, 0], [48, 2]]
    for first, second in ((2, 3), (4, 5)):
        for workers in (0, 2):
            found = [mib for row in rows if row[1] == workers for mib in row[first : second + 1]]
            if found[0] is None:
                assert (first, workers) == (4, 0)  # no workers, no memory
            else:
                assert max(found) < TOLERANCE * min(found)


def is_running(pid: int) -> bool:
    """The process is there, and not only waiting to be forgotten."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@LINUX
@pytest.mark.slow
def test_after_a_kill_workers_end_and_no_shared_memory_is_left(tmp_path: Path) -> None:
    write_tiny_store(tmp_path)
    before = set(os.listdir(SHARED))  # noqa: PTH208
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-c", LOAD_ON, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as training:
        assert training.stdout is not None
        workers = [int(pid) for pid in training.stdout.readline().split()]
        assert len(workers) == 2
        assert all(is_running(pid) for pid in workers)
        time.sleep(1)
        training.kill()
    until = time.monotonic() + 20  # they look for their parent every five seconds
    while any(is_running(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(is_running(pid) for pid in workers)
    left = {name for name in set(os.listdir(SHARED)) - before if name.startswith("torch_")}  # noqa: PTH208
    assert not left
