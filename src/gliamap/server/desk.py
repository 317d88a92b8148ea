"""What the web app does with cases when it is asked to: one method a request, whatever HTTP makes of it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from pydantic import Field

from gliamap.config import ModelSpec, Settings
from gliamap.io.model_spec import read_spec
from gliamap.models.shipped import resolve_model
from gliamap.server.browse import scans_at
from gliamap.server.cases import Cases
from gliamap.server.intake import FREE, Arrival, arriving, take_in
from gliamap.server.jobs import Jobs
from gliamap.server.nouns import BUSY, CaseRecord, Options
from gliamap.server.process import end_leftover
from gliamap.server.recognise import Problem, is_ready, problems_of
from gliamap.server.refusal import Refused
from gliamap.server.session import Sessions
from gliamap.server.settings import ServerSettings
from gliamap.sources.modalities import MODALITIES

_CHUNK = 2**20
_LOOKING = 2  # files looked through at a time


class OptionsChange(Settings):
    """Options that are to be set; those not named stay."""

    flips: bool | None = None
    uncertainty: bool | None = None
    force: bool | None = None
    resample_to: str | None = None


class CaseChange(Settings):
    """What of a case is to be changed; ``modalities`` by the number of the file."""

    title: str | None = None
    model: str | None = None
    modalities: dict[Annotated[int, Field(ge=1, le=10**6)], str | None] = Field(default_factory=dict)
    options: OptionsChange | None = None


class Desk:
    """Cases, jobs and models of a running app."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.specs: dict[str, ModelSpec] = {
            name: read_spec(resolve_model(path)) for name, path in settings.models.items()
        }
        own = [modality for spec in self.specs.values() for modality in spec.prep.modalities]
        self.modalities = tuple(dict.fromkeys((*MODALITIES, *own)))
        self.sessions = Sessions(settings.password)
        self.cases = Cases(settings.data, settings.limits)
        self.jobs = Jobs(self.cases, settings)
        self._locks: dict[str, asyncio.Lock] = {}
        self._looking = asyncio.Semaphore(_LOOKING)
        self._uploads = 0
        self._shown: dict[str, tuple[int, dict[str, Any]]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Take up the work; at the end every job is ended."""
        self.cases.open()
        try:
            for record in self.cases.all():
                end_leftover(self.cases.folder(record.id))
            self.jobs.open()
            yield
            await self.jobs.close()
        finally:
            self.cases.close()

    def show(self, record: CaseRecord) -> dict[str, Any]:
        """The case as the interface tells it; made once for each of its versions, however many watch."""
        version, shown = self._shown.get(record.id, (0, {}))
        if version != record.version:
            shown = self._show(record)
            self._shown[record.id] = record.version, shown
        return shown

    def _show(self, record: CaseRecord) -> dict[str, Any]:
        problems = self._problems(record)
        job = record.job
        told = {name: getattr(record, name) for name in ("id", "title", "created", "version", "state", "model")}
        return told | {
            "files": [one.as_json() for one in record.files],
            "options": vars(record.options),
            "problems": [one.as_json() for one in problems],
            "ready": is_ready(record, problems),
            "job": None if job is None else vars(job),
            "error": record.error,
            "result": record.result,
        }

    def _problems(self, record: CaseRecord) -> list[Problem]:
        return problems_of(record, self.specs, choosing=self.settings.choosing)

    def show_all(self) -> dict[str, Any]:
        """All cases, newest first."""
        return {"cases": [self.show(record) for record in self.cases.all()]}

    def show_changes(self, ids: AbstractSet[str]) -> dict[str, Any]:
        """The cases of these ids, newest first, and the ids of those that are gone."""
        there = self.cases.among(ids)
        gone = ids - {record.id for record in there}
        return {"cases": [self.show(record) for record in there], "gone": sorted(gone)}

    def create(self, title: str) -> CaseRecord:
        """A new case; with the only model where there is but one, and none is chosen later."""
        only = next(iter(self.specs)) if len(self.specs) == 1 and not self.settings.choosing else None
        return self.cases.create(self._title(title), only)

    async def change(self, case_id: str, change: CaseChange) -> CaseRecord:
        """Change title, model, modalities or options; all of it, or nothing where one is ``Refused``.

        What was made of the case stays until it is started again.
        """
        async with self._alone(case_id):
            return self.cases.put(self._changed(self.cases.get(case_id), change))

    def _changed(self, record: CaseRecord, change: CaseChange) -> CaseRecord:
        said = change.model_fields_set
        title = self._title(change.title or "") if "title" in said else record.title
        if said <= {"title"}:
            return replace(record, title=title)
        self._check_idle(record)
        model = change.model if "model" in said else record.model
        if model is not None and model not in self.specs:
            raise Refused("bad-request", "there is no such model", expected="one of " + ", ".join(self.specs))
        files = {one.number: one for one in record.files}
        for number, modality in change.modalities.items():
            if number not in files:
                raise Refused("not-found", f"the case has no file {number}")
            files[number] = replace(files[number], modality=self._modality(modality), told_by="hand")
        options = self._options(record.options, change.options)
        return replace(record.renewed(tuple(files.values())), title=title, model=model, options=options)

    async def start(self, case_id: str) -> CaseRecord:
        """Let the case be segmented; ``Refused`` where it cannot be."""
        async with self._alone(case_id):
            record = self._idle(case_id)
            problems = self._problems(record)
            if not is_ready(record, problems):
                found = next((one.text for one in problems if one.blocking), None)
                raise Refused("not-now", "the case cannot be segmented yet", found=found)
            self.cases.check_room(0)
            return self.jobs.enqueue(record)

    async def delete(self, case_id: str) -> None:
        """End the case's job, if there is one, and remove all of it."""
        async with self._alone(case_id):
            if self.cases.get(case_id).state in BUSY:
                await self.jobs.cancel(case_id)
            gone = self.cases.forget(case_id)
        self._locks.pop(case_id, None)
        self._shown.pop(case_id, None)
        await asyncio.to_thread(shutil.rmtree, gone, ignore_errors=True)

    async def delete_file(self, case_id: str, number: int) -> CaseRecord:
        """Remove a file of a case."""
        async with self._alone(case_id):
            record = self._idle(case_id)
            file = record.file(number)
            if file is None:
                raise Refused("not-found", f"the case has no file {number}")
            (self.cases.folder(case_id) / "files" / file.stored).unlink(missing_ok=True)
            return self.cases.put(record.without_file(number))

    @contextmanager
    def upload(self, case_id: str) -> Iterator[tuple[Path, BinaryIO]]:
        """A place for bytes that come in for a case that is idle; ``Refused`` where too many come at a time."""
        self._idle(case_id)
        if self._uploads >= self.settings.limits.uploads:
            raise Refused("full", "too many files come in at a time", remedy="try again", wait=1)
        self._uploads += 1
        try:
            with arriving(self.cases.folder(case_id) / "files") as place:
                yield place
        finally:
            self._uploads -= 1

    async def receive(self, case_id: str, arrival: Arrival) -> CaseRecord:
        """Take in a file that has come, see :func:`gliamap.server.intake.take_in`."""
        async with self._alone(case_id), self._looking:
            record = self._idle(case_id)
            limits, taken = self.settings.limits, frozenset(one.number for one in record.files)
            if arrival.number == FREE:
                arrival = replace(arrival, number=next(n for n in range(1, len(taken) + 2) if n not in taken))
            replaced = record.file(arrival.number)
            left = limits.case_bytes - sum(one.size for one in record.files) + (replaced.size if replaced else 0)
            room = limits.files - len(record.files) + (1 if replaced else 0)
            if room < 1 or arrival.path.stat().st_size > left:
                raise Refused("too-large", "the case holds as much as it may", expected=f"{limits.files} files")
            bounds = replace(limits, files=room, case_bytes=max(0, min(left, self.cases.room())))
            made = await asyncio.to_thread(take_in, arrival, taken - {arrival.number}, bounds)
            if replaced is not None and replaced.stored not in {one.stored for one in made}:
                (arrival.path.parent / replaced.stored).unlink(missing_ok=True)
            return self.cases.put(record.with_files(*made))

    async def copy_from(self, case_id: str, root: int, path: str) -> CaseRecord:
        """Copy the scans of a folder under an allowed root into the case, beside those that it has."""
        limits = self.settings.limits
        with scans_at(self.settings.roots, root, path, most=limits.files) as scans:
            for name, stream in scans:
                with self.upload(case_id) as (part, target):
                    await asyncio.to_thread(_copy, stream, target, limits.file_bytes)
                    record = await self.receive(case_id, Arrival(part, FREE, name))
        return record

    def _idle(self, case_id: str) -> CaseRecord:
        record = self.cases.get(case_id)
        self._check_idle(record)
        return record

    def _check_idle(self, record: CaseRecord) -> None:
        if record.state in BUSY:
            raise Refused("not-now", "the case is being segmented", remedy="wait for its end, or cancel it")

    @asynccontextmanager
    async def _alone(self, case_id: str) -> AsyncIterator[None]:
        """One change to a case's files at a time."""
        self.cases.get(case_id)
        async with self._locks.setdefault(case_id, asyncio.Lock()):
            yield

    def _title(self, title: str) -> str:
        most = self.settings.limits.title
        if len(title) > most or not title.isprintable():
            raise Refused("bad-request", "this title cannot be taken", expected=f"one line, at most {most} characters")
        return title.strip()

    def _modality(self, modality: str | None) -> str | None:
        if modality is not None and modality not in self.modalities:
            raise Refused("bad-request", "there is no such modality", expected="one of " + ", ".join(self.modalities))
        return modality

    def _options(self, options: Options, change: OptionsChange | None) -> Options:
        if change is None:
            return options
        said: dict[str, Any] = {name: getattr(change, name) for name in change.model_fields_set}
        self._modality(said.get("resample_to"))
        return replace(options, **{name: value for name, value in said.items() if value is not None or name == _ONTO})


_ONTO = "resample_to"


def _copy(source: BinaryIO, target: BinaryIO, most: int) -> None:
    left = most
    while chunk := source.read(min(_CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            raise Refused("too-large", "a file is too large", expected=f"at most {most} bytes")
        target.write(chunk)
    target.flush()
