"""What every process of ``bench/inference.py`` shares: its order, and what it reports at its end.

The standard library alone: nnU-Net's Python runs this, too, and has no gliamap.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

STAGES = ("read", "network", "write")
"""What the seconds go to: reading and preparing, the network, from its answer to the written mask."""


@dataclass(frozen=True)
class Job:
    """What one process is to do: the ``cases`` of ``data``, each with the files of its modalities, into ``out``.

    ``program`` is the script that does it. ``weights`` is a model folder, or a file of tensors for nnU-Net. ``patch``
    is the window along X, Y, Z. ``choice`` is what a system has beside that. ``asked_at`` is the time of day when the
    process was asked for, in seconds.
    """

    title: str
    program: str
    weights: str
    data: str
    cases: Mapping[str, Sequence[str]]
    out: str
    patch: tuple[int, int, int]
    threads: int
    flips: bool = False
    choice: Mapping[str, str] = field(default_factory=dict)
    asked_at: float = 0.0

    def write(self, path: Path) -> None:
        """As JSON for the process, asked for now."""
        path.write_text(json.dumps(asdict(self) | {"asked_at": time.time()}), encoding="utf-8")


def read_job() -> Job:
    """The job whose file the command line names."""
    return Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))


@dataclass
class Report:
    """What a process measured, all cases together, start-up apart.

    ``cpu_seconds`` are those of all its threads. ``passes`` counts forward passes by the size of what went through,
    ``112x160x128``. ``network_differs`` is how far a peer's network was from ours on the same image: the largest
    difference of two logits; ``None`` where it is the same module.
    """

    job: Job
    versions: dict[str, str]
    start_up_seconds: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    passes: dict[str, int] = field(default_factory=dict)
    peak_mib: float = 0.0
    network_differs: float | None = None

    def begin(self) -> None:
        """All is loaded; the first case comes now."""
        self.start_up_seconds = time.time() - self.job.asked_at
        self.cpu_seconds = time.process_time()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to a stage."""
        started = time.perf_counter()
        yield
        self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - started

    def counted(self, network: Any, *, turned: bool = False) -> Any:
        """The torch module ``network``, whose passes are counted from now on; ``turned``: it has Z first."""

        def count(_: object, given: tuple[Any, ...]) -> None:
            sizes = tuple(given[0].shape[2:])
            self.count(sizes[::-1] if turned else sizes, len(given[0]))

        network.register_forward_pre_hook(count)
        return network

    def count(self, sizes: Sequence[int], times: int = 1) -> None:
        """So many passes of this size."""
        size = "x".join(map(str, sizes))
        self.passes[size] = self.passes.get(size, 0) + times

    def end(self) -> None:
        """The last mask is written."""
        self.seconds = time.time() - self.job.asked_at - self.start_up_seconds
        self.cpu_seconds = time.process_time() - self.cpu_seconds
        self.peak_mib = peak_mib()

    def write(self) -> None:
        """On standard output, where the bench reads it."""
        print(json.dumps(asdict(self)))


def peak_mib() -> float:
    """Peak resident memory of this process so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
