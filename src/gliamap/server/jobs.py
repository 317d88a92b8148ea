"""The queue of jobs: bounded, few at a time, each cancelled for certain; nothing of them outlives the app."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gliamap.errors import GliamapError, OutputError
from gliamap.server.cases import Cases
from gliamap.server.nouns import CaseRecord, Job, State
from gliamap.server.process import PROCESS, Ended, attend, command, prepare, signal_group, start
from gliamap.server.refusal import Refused, error_json
from gliamap.server.results import read_result
from gliamap.server.settings import ServerSettings

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Running:
    """A job that a worker has taken up. ``ending``: the state that it was asked to end in."""

    began: float = field(default_factory=time.monotonic)
    process: subprocess.Popen[bytes] | None = None
    ending: State | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Jobs:
    """Starts and ends jobs. Used from one event loop."""

    def __init__(self, cases: Cases, settings: ServerSettings) -> None:
        self._cases, self._settings = cases, settings
        self._waiting: deque[str] = deque()
        self._more = asyncio.Event()
        self._running: dict[str, _Running] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._threads = ThreadPoolExecutor(settings.jobs, "jobs")

    def open(self) -> None:
        """Begin to work."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._settings.jobs)]

    async def close(self) -> None:
        """End all jobs; their cases are interrupted."""
        waiting, self._waiting = list(self._waiting), deque()
        for case_id in waiting:
            self._settle(case_id, "interrupted")
        await asyncio.gather(*(self._end(running, "interrupted") for running in list(self._running.values())))
        for worker in self._workers:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
        self._threads.shutdown(wait=True)

    def kill(self) -> None:
        """End all jobs at once, from wherever: for an app that has no time to close."""
        for running in self._running.values():
            if running.process is not None and not running.over.is_set():
                signal_group(running.process.pid, signal.SIGKILL)

    def enqueue(self, record: CaseRecord) -> CaseRecord:
        """Let the case wait for its turn; ``Refused`` where the queue is full."""
        if len(self._waiting) >= self._settings.limits.queue:
            raise Refused("full", "too many cases wait already", remedy="try again when one is done", wait=60)
        job = Job(position=len(self._waiting) + len(self._running))
        record = self._cases.put(replace(record, state="queued", job=job, error=None, result=None))
        self._waiting.append(record.id)
        self._more.set()
        return record

    async def cancel(self, case_id: str) -> None:
        """End the job of a case, waiting or running; back when it has ended. ``Refused`` where there is none."""
        running = self._running.get(case_id)
        if running is not None:
            await self._end(running, "cancelled")
        elif case_id in self._waiting:
            self._waiting.remove(case_id)
            self._settle(case_id, "cancelled")
            self._move_up()
        else:
            raise Refused("not-now", "this case is not being segmented")

    async def _end(self, running: _Running, ending: State) -> None:
        """Ask the job to end, then make it."""
        running.ending = running.ending or ending
        if running.process is not None:
            signal_group(running.process.pid, signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(running.over.wait(), self._settings.grace)
            if not running.over.is_set():
                signal_group(running.process.pid, signal.SIGKILL)
        await running.over.wait()

    async def _work(self) -> None:
        """Take the cases that wait, one after the other."""
        while True:
            while not self._waiting:
                self._more.clear()
                await self._more.wait()
            case_id = self._waiting.popleft()
            running = self._running[case_id] = _Running()
            try:
                await self._run(case_id, running)
            except Exception as error:
                _log.error("case %s ended in an unforeseen %s", case_id[:8], type(error).__name__)
                self._settle(case_id, "failed", error=_unforeseen())
            finally:
                del self._running[case_id]
                running.over.set()
                self._move_up()

    async def _run(self, case_id: str, running: _Running) -> None:
        record, folder = self._cases.get(case_id), self._cases.folder(case_id)
        record = self._cases.put(replace(record, state="running", job=Job(stage="start")))
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, prepare, folder, record)
        if running.ending is not None:
            self._settle(case_id, running.ending)
            return
        model = self._settings.models[record.model] if record.model else None
        running.process = start(folder, command(record, model, self._settings))

        def hear(event: Mapping[str, Any]) -> None:
            loop.call_soon_threadsafe(self._hear, case_id, running, event)

        ended = await loop.run_in_executor(self._threads, attend, running.process, hear)
        (folder / PROCESS).unlink(missing_ok=True)
        self._conclude(record, folder, ended, running)

    def _hear(self, case_id: str, running: _Running, event: Mapping[str, Any]) -> None:
        """An event of a job: how far it is."""
        if event.get("event") != "progress" or running.ending is not None or case_id not in self._running:
            return
        left = event.get("seconds_left")
        seconds = round(time.monotonic() - running.began, 1)
        job = Job(0, str(event["stage"]), float(event["share"]), None if left is None else float(left), seconds)
        self._cases.put(replace(self._cases.get(case_id), job=job), keep=False)

    def _conclude(self, record: CaseRecord, folder: Path, ended: Ended, running: _Running) -> None:
        result = read_result(folder / "out", record.short) if ended.code == 0 else None
        if running.ending is not None:
            self._settle(record.id, running.ending)
        elif result is not None:
            self._settle(record.id, "done", result=result)
        else:
            self._settle(record.id, "failed", error=_why(ended, folder))

    def _settle(
        self,
        case_id: str,
        state: State,
        *,
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        """The job's end, known even where the disk is full: the next start finds on it that the case was busy."""
        settled = replace(self._cases.get(case_id), state=state, job=None, result=result, error=error)
        try:
            self._cases.put(settled)
        except OutputError:
            _log.error("case %s ended, but the disk cannot be written to", case_id[:8])
            self._cases.put(settled, keep=False)

    def _move_up(self) -> None:
        """Tell those who wait how many are before them now."""
        for place, case_id in enumerate(self._waiting):
            record = self._cases.get(case_id)
            if record.job is not None:
                job = replace(record.job, position=place + len(self._running))
                self._cases.put(replace(record, job=job), keep=False)


def _why(ended: Ended, folder: Path) -> dict[str, Any]:
    """Why a job failed, in its own words where it said so; without paths of this machine."""
    if ended.code < 0:
        name = signal.Signals(-ended.code).name
        remedy = "memory may have run out: close other programs, or use a smaller scan"
        return error_json("failed", GliamapError("the work was ended by the system", found=name, remedy=remedy))
    told = ended.error
    if told is None:
        _log.error("a job ended with exit code %d and no message", ended.code)
        return _unforeseen()
    places = (f"{folder}/", "input/", "out/")

    def plain(text: object) -> str | None:
        if not isinstance(text, str):
            return None
        for place in places:
            text = text.replace(place, "")
        return text

    what = plain(told.get("what")) or "the case could not be segmented"
    return {"code": "failed", "what": what} | {k: plain(told.get(k)) for k in ("found", "expected", "remedy")}


def _unforeseen() -> dict[str, Any]:
    what = "the case could not be segmented for a reason that nobody foresaw"
    return error_json("failed", GliamapError(what, remedy="try it with gliamap segment to see the whole message"))
