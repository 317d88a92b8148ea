"""Work in several processes: order, errors, processes that die, Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest

import gliamap
from gliamap.errors import FileError
from gliamap.workflows.common.parallel import default_workers, in_parallel
from tiny import listening_to_ctrl_c
from work import die_afterwards, die_at_three, refuse_two, square, surroundings


def test_one_worker_stays_in_this_process_and_in_order() -> None:
    assert list(in_parallel(os.path.basename, ["a/b", "c/d"], workers=1)) == [(0, "b"), (1, "d")]
    assert list(in_parallel(square, [], workers=4)) == []
    assert multiprocessing.active_children() == []


def test_several_workers_give_the_same_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert dict(in_parallel(square, range(20), workers=2)) == {n: n * n for n in range(20)}
    assert {result for _, result in in_parallel(surroundings, range(4), workers=2)} == {("1", True)}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert multiprocessing.active_children() == []


def test_an_error_is_raised_here_and_no_process_is_left() -> None:
    with pytest.raises(FileError, match="two is refused"):
        list(in_parallel(refuse_two, range(6), workers=2))
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert multiprocessing.active_children() == []


def test_a_process_that_dies_costs_only_its_own_item() -> None:
    found = dict(in_parallel(die_at_three, range(8), workers=2))
    assert found == {0: 0, 1: 1, 2: 2, 3: None, 4: 4, 5: 5, 6: 6, 7: 7}


def test_a_process_that_dies_when_its_work_is_done_costs_nothing() -> None:
    assert dict(in_parallel(die_afterwards, range(2), workers=2)) == {0: 0, 1: 1}


def test_default_workers_is_what_this_process_may_use() -> None:
    assert 1 <= default_workers() <= (os.cpu_count() or 1)


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from gliamap.workflows.common.parallel import in_parallel\n"
        "from gliamap.errors import ConfigError\n"
        "try:\n    list(in_parallel(abs, [1, 2, 3], workers=2))\n"
        "except ConfigError as error:\n    print('told', error)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert "told worker processes cannot be started" in done.stdout
    assert "__main__" in done.stdout


def start_sleepers(script: Path, work: str = "time.sleep, [60] * 6") -> subprocess.Popen[str]:
    """A program of two processes that sleep for a minute, in a group of its own. It says ``go`` when it begins."""
    script.write_text(
        textwrap.dedent(f"""
            import time
            from gliamap.workflows.common.parallel import in_parallel

            if __name__ == "__main__":
                print("go", flush=True)
                try:
                    for _ in in_parallel({work}, workers=2):
                        pass
                except KeyboardInterrupt:
                    print("stopped")
        """)
    )
    with listening_to_ctrl_c():
        return subprocess.Popen(
            [sys.executable, script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(Path(gliamap.__file__).parents[1])},
        )


@pytest.mark.slow
@pytest.mark.parametrize("wait_s", [0.0, 0.03, 0.08, 0.15, 0.5, 2.0])
def test_ctrl_c_ends_everything_at_once_and_quietly(tmp_path: Path, wait_s: float) -> None:
    """The signal goes to the whole group, as a terminal sends it, also while the processes still start."""
    running = start_sleepers(tmp_path / "script.py")
    assert running.stdout is not None
    assert running.stdout.readline() == "go\n"
    time.sleep(wait_s)
    started = time.monotonic()
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert (out, err) == ("stopped\n", "")
    assert time.monotonic() - started < 10


@pytest.mark.slow
def test_ctrl_c_while_large_results_are_handed_over(tmp_path: Path) -> None:
    """Most of the time a process is in the middle of writing one."""
    with start_sleepers(tmp_path / "script.py", "bytes, [10_000_000] * 100_000") as running:
        time.sleep(2)
        os.killpg(running.pid, signal.SIGINT)
        try:
            assert running.communicate(timeout=30) == ("go\nstopped\n", "")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("wait_s", [0.1, 2.0])
def test_no_process_outlives_the_first_one(tmp_path: Path, number: signal.Signals, wait_s: float) -> None:
    """The signal goes to the first one alone, as ``kill`` and batch systems send it."""
    running = start_sleepers(tmp_path / "script.py")
    assert running.stdout is not None
    assert running.stdout.readline() == "go\n"
    time.sleep(wait_s)
    running.send_signal(number)
    try:
        running.communicate(timeout=20)  # returns when nobody holds its output any more
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == -number
