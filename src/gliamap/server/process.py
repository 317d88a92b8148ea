"""``gliamap segment`` as a process in a session of its own: started, listened to, ended for certain."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, Any

from gliamap.errors import FileError
from gliamap.io.atomic import read_json, write_json
from gliamap.server.nouns import CaseRecord
from gliamap.server.settings import ServerSettings

PROCESS = "process.json"
_NOT_FOR_JOBS = ("GLIAMAP_PASSWORD",)
_LONGEST_LINE, _KEPT_ERRORS = 2**16, 4096
_LAST_WORDS = 5.0  # seconds that are given to what was printed before the end
_PAUSE = 0.2  # seconds between two events, so that a fast job floods nobody

Tell = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Ended:
    """How a job ended: its exit code, its own error event if it sent one, the end of what it wrote as errors."""

    code: int
    error: Mapping[str, Any] | None
    stderr: str


def command(record: CaseRecord, model: Path | None, settings: ServerSettings) -> list[str]:
    """The words of the job, which chooses a model itself where none is named.

    Nothing that a client sent is among them as it came: names come from our own lists.
    """
    options = record.options
    named = ["--model", str(model)] if model else []
    words = [*settings.command, "input", "--out", "out", *named, "--report", "--events"]
    words += ["--pattern", "{case}_{modality}"]
    words += [f"--{name}" for name in ("flips", "uncertainty", "force") if getattr(options, name)]
    return words + (["--resample-to", options.resample_to] if options.resample_to else [])


def prepare(folder: Path, record: CaseRecord) -> None:
    """Lay the scans out as ``gliamap segment`` reads them, by links, and remove what an earlier job made."""
    for name in ("input", "out"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "input").mkdir(mode=0o700)
    for one in record.files:
        if one.modality is not None:
            place = folder / "input" / f"{record.short}_{one.modality}{one.suffix}"
            os.link(folder / "files" / one.stored, place, follow_symlinks=False)


def start(folder: Path, words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the job in the case's ``folder``, and note who it is, so that an app that was killed finds it again."""
    process = subprocess.Popen(
        words,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in _NOT_FOR_JOBS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        umask=0o077,
    )
    try:
        write_json(folder / PROCESS, {"pid": process.pid})
    except BaseException:
        signal_group(process.pid, signal.SIGKILL)  # nobody would hear it out, and nobody find it
        process.communicate()
        raise
    return process


def attend(process: subprocess.Popen[bytes], tell: Tell) -> Ended:
    """Hear the job out, and end what is left of its session when it has ended; ``tell`` is called with its events."""
    errors = bytearray()
    events: dict[str, Mapping[str, Any]] = {}
    assert process.stdout and process.stderr  # both are pipes
    readers = [
        Thread(target=_hear, args=(process.stdout, events, tell), daemon=True),
        Thread(target=_keep_end, args=(process.stderr, errors), daemon=True),
    ]
    for reader in readers:
        reader.start()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # its number stays its own until it is waited for
    signal_group(process.pid, signal.SIGKILL)
    code = process.wait()
    for reader, stream in zip(readers, (process.stdout, process.stderr), strict=True):
        reader.join(_LAST_WORDS)
        if not reader.is_alive():  # else somebody who left the session holds the pipe
            stream.close()
    return Ended(code, events.get("error"), errors.decode("utf-8", "replace"))


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to all processes of the job; nothing where there are none."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def end_leftover(folder: Path) -> None:
    """End what is left of a job that outlived the app that started it.

    Its processes are those of the session that was noted which work in the case's ``folder``: another session that has
    its number by now is left alone, and children are found though the job itself has ended.
    """
    noted = folder / PROCESS
    try:
        session = int(read_json(noted)["pid"])
    except (FileError, KeyError, TypeError, ValueError):
        return
    for pid in _processes():
        with suppress(OSError):
            if os.getsid(pid) == session and Path(f"/proc/{pid}/cwd").samefile(folder):
                os.kill(pid, signal.SIGKILL)
    noted.unlink(missing_ok=True)


def _processes() -> list[int]:
    """All processes of this machine; none where the system does not list them."""
    with suppress(OSError):
        return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return []


def _hear(stream: IO[bytes], events: dict[str, Mapping[str, Any]], tell: Tell) -> None:
    told, stage = 0.0, None
    for event in _events(stream):
        events[str(event.get("event"))] = event
        now = time.monotonic()
        if now - told >= _PAUSE or event.get("stage") != stage:
            told, stage = now, event.get("stage")
            tell(event)


def _events(stream: IO[bytes]) -> Iterator[Mapping[str, Any]]:
    """The JSON objects among the lines; whatever else a library prints is passed over."""
    while line := stream.readline(_LONGEST_LINE):
        with suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict):
                yield event


def _keep_end(stream: IO[bytes], kept: bytearray) -> None:
    while chunk := stream.read1(_KEPT_ERRORS):  # type: ignore[attr-defined]
        kept += chunk
        del kept[:-_KEPT_ERRORS]
