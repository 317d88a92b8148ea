"""The cases of the web app: in memory, in a folder that is the user's alone, and told to those who watch.

``DATA/CASE/case.json``   what is known of a case
``DATA/CASE/files/``      its scans, named by their numbers
``DATA/CASE/input/``      the same, named for ``gliamap segment``
``DATA/CASE/out/``        what ``gliamap segment`` made
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from gliamap.errors import ConfigError, FileError
from gliamap.io.atomic import read_json, remove_leftovers, write_json
from gliamap.io.lock import alone
from gliamap.server.nouns import BUSY, CaseRecord, now
from gliamap.server.refusal import Refused
from gliamap.server.results import read_result
from gliamap.server.settings import Limits
from gliamap.server.watch import Watcher

RECORD = "case.json"
_ID = re.compile(r"[a-z2-7]{26}")
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_GONE = ".gone-"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Cases:
    """All cases. Used from one event loop; what takes long is done elsewhere and told here."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._records: dict[str, CaseRecord] = {}
        self._watchers: dict[Watcher, str | None] = {}
        self._lock = ExitStack()

    def open(self) -> None:
        """Take the folder into use and find what is in it; ``ConfigError`` where it is not the user's alone.

        Cases that ran when the app ended are done where their outputs are whole, else interrupted; so are those that
        waited, whatever an older job left.
        """
        make_private(self._folder)
        if not self._lock.enter_context(alone(self._folder)):
            raise ConfigError(f"another gliamap serve uses {self._folder}", remedy="end it, or name another --data")
        remove_leftovers(self._folder)
        for path in sorted(self._folder.iterdir()):
            if path.name.startswith(_GONE):
                shutil.rmtree(path, ignore_errors=True)
            elif _ID.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                self._find(path)

    def close(self) -> None:
        """Let go of the folder."""
        self._lock.close()

    def _find(self, path: Path) -> None:
        try:
            record = CaseRecord.from_disk(read_json(path / RECORD))
        except (FileError, KeyError, TypeError, ValueError):
            return  # cut off while it was made; left for its owner to look at
        if record.id != path.name:
            return
        remove_leftovers(path / "files")
        if record.state in BUSY:
            result = read_result(path / "out", record.short) if record.state == "running" else None
            record = replace(record, state="done" if result else "interrupted", result=result)
        self._records[record.id] = record

    def all(self) -> list[CaseRecord]:
        """All cases, newest first."""
        return self.among(self._records.keys())

    def among(self, ids: AbstractSet[str]) -> list[CaseRecord]:
        """Those of the cases that are still there, newest first."""
        there = [self._records[case_id] for case_id in ids if case_id in self._records]
        return sorted(there, key=lambda one: (one.created, one.id), reverse=True)

    def get(self, case_id: str) -> CaseRecord:
        """The case; ``Refused`` where there is none."""
        record = self._records.get(case_id)
        if record is None:
            raise Refused("not-found", "there is no such case", remedy="it may have been deleted: look at the list")
        return record

    def folder(self, case_id: str) -> Path:
        """The folder of a case that is there."""
        return self._folder / self.get(case_id).id

    def create(self, title: str, model: str | None) -> CaseRecord:
        """A new case without files; ``Refused`` where there are too many, or the disk is full."""
        if len(self._records) >= self._limits.cases:
            raise Refused("full", "there are too many cases", found=str(len(self._records)), remedy="delete some")
        self.check_room(0)
        record = CaseRecord("".join(secrets.choice(_LETTERS) for _ in range(26)), now(), title, model=model)
        for folder in (self._folder / record.id, self._folder / record.id / "files"):
            folder.mkdir(mode=0o700)
        return self.put(record)

    def room(self) -> int:
        """The bytes that the disk has for us; negative where it is too full already."""
        return shutil.disk_usage(self._folder).free - self._limits.free_bytes

    def check_room(self, more: int) -> None:
        """``Refused`` where the disk has no room for so many bytes."""
        if self.room() < more:
            raise Refused("full", "the disk is almost full", remedy="delete cases, or make room on the disk")

    def put(self, record: CaseRecord, *, keep: bool = True) -> CaseRecord:
        """The case as it is from now on; written where ``keep``, and told to those who watch."""
        before = self._records.get(record.id)
        record = replace(record, version=before.version + 1 if before else 1)
        if keep:
            write_json(self._folder / record.id / RECORD, record.to_disk())
        self._records[record.id] = record
        self._tell(record.id)
        return record

    def forget(self, case_id: str) -> Path:
        """The case is no more; its folder, under a name that is removed at the next start at the latest."""
        gone = self._folder / (_GONE + secrets.token_hex(8))
        self.folder(case_id).replace(gone)
        del self._records[case_id]
        self._tell(case_id)
        return gone

    @contextmanager
    def watched(self, case_id: str | None) -> Iterator[Watcher]:
        """Somebody who hears of each change of the case, or with ``None`` of any; ``Refused`` where too many look."""
        if len(self._watchers) >= self._limits.watchers:
            raise Refused("full", "too many windows watch the app", remedy="close some")
        watcher = Watcher()
        self._watchers[watcher] = case_id
        try:
            yield watcher
        finally:
            del self._watchers[watcher]

    def wake(self) -> None:
        """Have all who watch look whether they still may."""
        for watcher in self._watchers:
            watcher.call()

    def _tell(self, case_id: str) -> None:
        for watcher, wanted in self._watchers.items():
            if wanted in (None, case_id):
                watcher.call(case_id)


def make_private(folder: Path) -> None:
    """Make the folder, for the user alone; ``ConfigError`` where it is there and others may look into it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{folder} is no folder", expected="a folder, and no link to one", remedy="name another")
    if found.st_uid != os.getuid() or found.st_mode & _OTHERS:
        raise ConfigError(
            f"{folder} is open to others",
            found=f"owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o}",
            expected="a folder that is yours alone (mode 700)",
            remedy=f"chmod 700 {folder}, or name another --data",
        )
