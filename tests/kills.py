"""``gliamap`` run again and again, to be killed: children of one process that has everything imported already.

As a program: one command a line on standard input, as JSON; the answers are the child's process id and, when it has
ended, what ``os.waitstatus_to_exitcode`` says of it.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from gliamap.cli import app
from gliamap.workflows.training import tracking, train  # noqa: F401 (for the children)


@dataclass(frozen=True)
class Fault:
    """The process kills itself around call number ``call`` of ``where`` (``module:name``).

    ``when``: ``before``, ``after``, or ``cut``: after it, with the last bytes of the file that the called object
    writes cut off.
    """

    where: str
    call: int = 1
    when: str = "before"

    def set_up(self) -> None:
        module, _, names = self.where.partition(":")
        owner = importlib.import_module(module)
        *path, name = names.split(".")
        for step in path:
            owner = getattr(owner, step)
        setattr(owner, name, self._deadly(getattr(owner, name)))

    def _deadly(self, honest: Callable[..., Any]) -> Callable[..., Any]:
        calls = 0

        def call(*args: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == self.call and self.when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = honest(*args, **more)
            if calls == self.call:
                if self.when == "cut":
                    path = args[0]._path
                    os.truncate(path, path.stat().st_size - 7)
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call


class Running:
    """A child at work. ``err`` is what it writes, ``trace`` where it was when last asked."""

    def __init__(self, pid: int, err: Path, answers: IO[str]) -> None:
        self.pid = pid
        self.err = err
        self.trace = err.with_suffix(".trace")
        self._answers = answers

    def wait(self) -> int:
        """Its exit code, or the negative number of the signal that ended it."""
        return int(self._answers.readline())

    def kill(self) -> str:
        """Kill it with no warning; the Python frames in which it was found just before."""
        assert alive(self.pid), self.err.read_text()
        os.kill(self.pid, signal.SIGUSR1)
        deadline = time.monotonic() + 0.5
        while not self.trace.stat().st_size and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(self.pid, signal.SIGKILL)
        return self.trace.read_text()


class Nursery:
    """Starts children, one after the other."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._number = 0

    def start(self, line: str, *more: str, fault: Fault | None = None, setup: str = "") -> Running:
        """``gliamap LINE MORE`` in a process group of its own; ``setup`` is Python code that it runs first."""
        self._number += 1
        err = self._folder / f"{self._number}.err"
        order = {"argv": ["gliamap", *line.split(), *more], "err": str(err), "setup": setup}
        order["fault"] = asdict(fault) if fault else None
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Running(int(self._process.stdout.readline()), err, self._process.stdout)

    def run(self, line: str, *more: str, fault: Fault | None = None, setup: str = "") -> tuple[int, str]:
        """Exit code and output of a child that is left in peace."""
        child = self.start(line, *more, fault=fault, setup=setup)
        return child.wait(), child.err.read_text()


@contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    """Children that write their output under ``folder``, one thread each."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with process:
        yield Nursery(process, folder)
        assert process.stdin
        process.stdin.close()


def children_of(pid: int) -> list[int]:
    """The living processes that ``pid`` started."""
    return [child for child in _processes() if _parent(child) == pid]


def alive(pid: int) -> bool:
    """It runs: neither gone nor a zombie that nobody has buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _be_a_child(order: dict[str, Any]) -> NoReturn:
    os.setpgid(0, 0)
    out = os.open(order["err"], os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    trace = Path(order["err"]).with_suffix(".trace").open("w")
    faulthandler.register(signal.SIGUSR1, file=trace, all_threads=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What an interruption leaves open is closed by the collector, and Python by itself says nothing of it.
    warnings.simplefilter("ignore", ResourceWarning)
    exec(order["setup"], {})
    if order["fault"]:
        Fault(**order["fault"]).set_up()
    sys.argv = order["argv"]
    try:
        app.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)  # taking the interpreter down takes seconds, and nothing depends on it


def _serve() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # a child may be asked before it listens
    gc.freeze()  # so that a child's collector does not copy all pages
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _be_a_child(json.loads(line))
        os.setpgid(pid, pid)
        _answer(pid)
        _, status = os.waitpid(pid, 0)
        _answer(os.waitstatus_to_exitcode(status))


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve()
