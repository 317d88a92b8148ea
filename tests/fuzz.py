"""Bytes broken in every way, and readers run apart from the test, under limits of time and memory.

A test draws from :func:`mutated` and hands each draw to what :func:`bounded` gives::

    with bounded(".png", "gliamap.io.images:read_image") as read:
        outcome = read(data)  # "read" or "refused"; AssertionError on anything else

The readers run in a process of their own, so that a crash, a hang or a flood of memory ends that process and not the
tests. Run as a program, this file is that process.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from gliamap.errors import GliamapError

MAX_SECONDS = 10.0
MAX_BYTES = 2**30
"""What one file may cost. The memory is that of the whole process, Python and libraries included."""

_ADDRESS_SPACE = 6 * 2**30  # stops a flood before the machine does; far above what counts as a failure
_EXTREMES = (0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_EXTREMES_64 = (*_EXTREMES, 2**63 - 1, 2**63, 2**64 - 1)

Change = Callable[[bytes], bytes]

Subject = tuple[Callable[[bytes], str], st.SearchStrategy[bytes]]
"""A bounded reader, and the broken files to try on it."""


# Breaking bytes


def mutated(data: bytes, *, head: int = 512, changes: int = 6) -> st.SearchStrategy[bytes]:
    """``data`` with one to ``changes`` of: bits turned, bytes set, a number of a header set to an extreme value, a part
    cut out, the end cut off, bytes put in, a part copied elsewhere.

    Half of the places lie among the first ``head`` bytes, where files say what they are.
    """
    at = st.one_of(st.integers(0, min(head, len(data))), st.integers(0, len(data)))
    length = st.integers(1, 64)
    change = st.one_of(
        st.builds(_turn_bit, at, st.integers(0, 7)),
        st.builds(_put, at, st.binary(min_size=1, max_size=4)),
        st.builds(
            _put, at, st.builds(_number, st.sampled_from(_EXTREMES_64), st.sampled_from((1, 2, 4, 8)), st.booleans())
        ),
        st.builds(_cut_out, at, length),
        st.builds(_cut_off, at),
        st.builds(_insert, at, st.binary(min_size=1, max_size=32)),
        st.builds(_copy, at, at, length),
    )
    return st.lists(change, min_size=1, max_size=changes).map(
        lambda steps: reduce(lambda broken, step: step(broken), steps, data)
    )


def _turn_bit(at: int, bit: int) -> Change:
    return lambda data: data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :] if at < len(data) else data


def _put(at: int, new: bytes) -> Change:
    return lambda data: data[:at] + new + data[at + len(new) :]


def _number(value: int, size: int, big: bool) -> bytes:
    return (value & (2 ** (8 * size) - 1)).to_bytes(size, "big" if big else "little")


def _cut_out(at: int, length: int) -> Change:
    return lambda data: data[:at] + data[at + length :]


def _cut_off(at: int) -> Change:
    return lambda data: data[:at]


def _insert(at: int, new: bytes) -> Change:
    return lambda data: data[:at] + new + data[at:]


def _copy(source: int, target: int, length: int) -> Change:
    return lambda data: data[:target] + data[source : source + length] + data[target + length :]


def try_examples(subject: Subject, examples: int, *, round_number: int = 0) -> set[str]:
    """What became of so many broken files."""
    read, broken = subject
    outcomes: set[str] = set()

    @seed(round_number)  # the same files on every run: a gate must not be red by chance
    @settings(max_examples=examples, derandomize=False)
    @given(broken)
    def try_one(data: bytes) -> None:
        outcomes.add(read(data))

    try_one()
    return outcomes


def time_to_spend(shares: int) -> Iterator[int]:
    """Rounds, counted from 1, for one of ``shares`` of the seconds that a file of long tests is allowed.

    That is ``GLIAMAP_FUZZ_SECONDS``, else 300.
    """
    end = time.monotonic() + float(os.environ.get("GLIAMAP_FUZZ_SECONDS", "300")) / shares
    for number in count(1):
        if time.monotonic() >= end:
            return
        yield number


# Reading apart


@contextmanager
def bounded(suffix: str, *readers: str, seconds: float = MAX_SECONDS) -> Iterator[Callable[[bytes], str]]:
    """A function that writes bytes to a file ending in ``suffix`` and has each of ``readers`` read it.

    A reader is ``module:function`` and takes a path. The answer is that of the last one: ``read`` where it returned,
    ``refused`` where it raised a ``GliamapError`` that names the file. ``AssertionError`` on any other exception or a
    warning, on voxels that are not on their grid, on a process that died, on over ``seconds`` of work (three times that
    by the clock, because the machine may be busy) or ``MAX_BYTES``.
    """
    with tempfile.TemporaryDirectory() as name:
        worker = _Worker(Path(name) / f"sample{suffix}", readers, seconds)
        try:
            yield worker.read
        finally:
            worker.stop()


class _Worker:
    """The process that reads, started when it is needed and again when it had to be stopped."""

    def __init__(self, path: Path, readers: tuple[str, ...], seconds: float) -> None:
        self._path, self._readers, self._seconds = path, readers, seconds
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, data: bytes) -> str:
        self._path.write_bytes(data)
        if self._process is None:
            self._process = self._start()
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        answered, _, _ = select.select([process.stdout], [], [], 3 * self._seconds)
        line = process.stdout.readline() if answered else b""
        if not line:
            self.stop()
            assert answered, f"no answer within {self._seconds:g} s"
            raise AssertionError(f"the reader's process died with code {process.returncode}")
        answer: dict[str, Any] = json.loads(line)
        if answer["outcome"] not in ("read", "refused") or answer["peak"] > MAX_BYTES or answer["cpu"] > self._seconds:
            self.stop()
            assert answer["peak"] <= MAX_BYTES, f"took {answer['peak'] / 2**20:.0f} MB"
            assert answer["cpu"] <= self._seconds, f"took {answer['cpu']:.1f} s"
            raise AssertionError(answer["outcome"])
        return str(answer["outcome"])

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "error", __file__, str(self._path), *self._readers]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        ready = process.stdout.readline()  # the imports do not count as time of a file
        assert ready, "the reader's process could not be started"
        return process


def _serve(path: Path, names: list[str]) -> None:
    """Read ``path`` once for each line of the standard input; one JSON line each on the standard output."""
    readers = [getattr(importlib.import_module(module), name) for module, name in (n.split(":") for n in names)]
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    _answer("ready")
    for _ in sys.stdin:
        outcome, started = "read", time.process_time()
        try:
            for reader in readers:
                outcome = _outcome(reader, path)
        except Exception:
            outcome = traceback.format_exc()
        _answer({"outcome": outcome, "peak": _peak(), "cpu": time.process_time() - started})


def _peak() -> int:
    """The most memory that this process had, in bytes. ``ru_maxrss`` would count that of the process it came from."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def _answer(content: object) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def _outcome(reader: Callable[[Path], object], path: Path) -> str:
    try:
        result = reader(path)
    except GliamapError as error:
        assert str(path) in str(error), f"the message does not name the file: {error}"
        return "refused"
    if isinstance(result, tuple) and isinstance(result[0], np.ndarray):
        assert result[0].shape == result[1].shape, f"voxels {result[0].shape} on a grid {result[1].shape}"
    return "read"


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2:])
