"""Files inside tar archives, read where they lie: a path may lead into one, ``Task01.tar/imagesTr/BRATS_001.nii.gz``.

A plain tar is read in place. A packed one is unpacked once, into a temporary file without a name that goes with the
process; ``TMPDIR`` says where. What an archive may hold is for :mod:`gliamap.io.tar`.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, BinaryIO

from gliamap.errors import FileError
from gliamap.io.packing import GZIP, GZIP_MAGIC, UNPACKING_ERRORS
from gliamap.io.tar import Member, is_tar, members, refused

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz")

MAX_UNPACKED = 64 * 2**30
"""Bytes that a packed archive may unpack to."""

MAX_FOLDERS = 50_000
"""A data set has one a case."""

_ELSEWHERE = "set TMPDIR to a folder on a disk with room, or unpack it there yourself and name the folder"
_CHUNK = 2**20
_KEPT = 4  # archives whose contents are remembered at a time


@dataclass(frozen=True, eq=False)
class _Index:
    """What an archive holds: its files by name, and what each folder shows (is it a folder?); ``""`` is the top.

    ``unpacked`` is the temporary file of a packed archive; members' offsets count in it.
    """

    files: Mapping[str, Member]
    folders: Mapping[str, Mapping[str, bool]]
    unpacked: IO[bytes] | None


def is_archive(path: Path) -> bool:
    """Whether ``path`` is a file whose name says tar."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES) and path.is_file()


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder, an archive, or a folder in an archive."""
    place = _place(path)
    return path.is_dir() if place is None else place[1] in _index(place[0]).folders


def is_file(path: Path) -> bool:
    """Whether ``path`` is a file, or a file in an archive."""
    place = _place(path)
    return path.is_file() if place is None or not place[1] else place[1] in _index(place[0]).files


def list_members(folder: Path) -> Mapping[str, bool] | None:
    """The names in an archive, or in a folder of one, and whether each is a folder; ``None`` for other paths.

    ``OSError`` as for other folders where it does not exist, ``FileError`` where the archive is damaged or refused.
    """
    place = _place(folder)
    if place is None:
        return None
    archive, inside = place
    index = _index(archive)
    if inside not in index.folders:
        raise _os_error(errno.ENOTDIR if inside in index.files else errno.ENOENT, folder)
    return index.folders[inside]


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, or of a file in an archive, as a stream that can seek.

    ``OSError`` as from ``open``, also for what an archive lacks; ``FileError`` where the archive is damaged or refused,
    and for a pipe or device, which could keep its reader waiting for ever.
    """
    place = _place(path)
    if place is None or not place[1]:
        _check_regular(path)
        with path.open("rb") as stream:
            yield stream
        return
    index = _index(place[0])
    member = _member(index, place[1], path)
    with (
        nullcontext(index.unpacked) if index.unpacked else place[0].open("rb") as file,
        io.BufferedReader(_Part(file.fileno(), member.offset, member.size)) as part,
    ):
        yield part


def size_of(path: Path) -> int:
    """The bytes of a file, or of a file in an archive; ``OSError`` and ``FileError`` as from :func:`open_binary`."""
    return origin_of(path)[0]


def origin_of(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns; for a file in an archive, that of the archive."""
    place = _place(path)
    if place is None:
        found = path.stat()
        return found.st_size, found.st_mtime_ns
    archive, inside = place
    found = archive.stat()
    return _member(_index(archive), inside, path).size if inside else found.st_size, found.st_mtime_ns


class _Part(io.RawIOBase):
    """A stretch of an open file, as a file of its own.

    It reads by position, so that streams, threads and forked processes can share the one descriptor.
    """

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        super().__init__()
        self._descriptor, self._start, self._size, self._at = descriptor, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError(f"negative position {at}")
        self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._size - self._at))
        count = os.preadv(self._descriptor, [memoryview(buffer)[:wanted]], self._start + self._at) if wanted else 0
        self._at += count
        return count


def _place(path: Path) -> tuple[Path, str] | None:
    """The archive that ``path`` is or leads into, and the name inside, empty for the archive itself."""
    for place in (*reversed(path.parents), path):
        if is_archive(place):
            inside = path.relative_to(place).as_posix()
            return place, "" if inside == "." else inside
    return None


def _member(index: _Index, inside: str, path: Path) -> Member:
    if inside not in index.files:
        raise _os_error(errno.EISDIR if inside in index.folders else errno.ENOENT, path)
    return index.files[inside]


def _check_regular(path: Path) -> None:
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # open refuses a folder in its own words
        return
    kind = "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
    raise FileError(f"{path} is no file", found=f"a {kind}", expected="a file", remedy="copy the file itself here")


def _os_error(code: int, path: Path) -> OSError:
    return OSError(code, os.strerror(code), str(path))  # Python makes it the fitting subclass


def _index(archive: Path) -> _Index:
    found = archive.stat()
    return _read_index(archive.absolute(), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=_KEPT)
def _read_index(archive: Path, size: int, _changed_ns: int) -> _Index:
    """The content of an archive; read anew once its size or its time differ."""
    try:
        with archive.open("rb") as file, ExitStack() as temporary:
            if file.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
                return _index_of(file, size, archive, None)
            file.seek(0)
            unpacked = temporary.enter_context(tempfile.TemporaryFile())
            _unpack(file, unpacked, archive)
            index = _index_of(unpacked, unpacked.seek(0, os.SEEK_END), archive, unpacked)
            weakref.finalize(index, temporary.pop_all().close)
            return index
    except OSError as error:
        remedy = "check its permissions, and that temporary files can be written"
        raise FileError(f"{archive} cannot be read", found=error.strerror, remedy=remedy) from error


def _index_of(file: IO[bytes], total: int, archive: Path, unpacked: IO[bytes] | None) -> _Index:
    files: dict[str, Member] = {}
    folders: dict[str, dict[str, bool]] = {"": {}}
    for member in members(file, total, archive):
        if member.name in files or (member.name in folders and not member.is_folder):
            raise _twice(archive, member.name)
        if not member.is_folder:
            files[member.name] = member
        elif member.name:
            folders.setdefault(member.name, {})
        name, is_folder = member.name, member.is_folder
        while name:
            parent, _, last = name.rpartition("/")
            if parent in files:
                raise _twice(archive, parent)
            folders.setdefault(parent, {})[last] = is_folder
            name, is_folder = parent, True
        if len(folders) > MAX_FOLDERS:
            raise refused(archive, f"more than {MAX_FOLDERS} folders")
    return _Index(files, folders, unpacked)


def _unpack(packed: BinaryIO, unpacked: IO[bytes], archive: Path) -> None:
    """Write the content of a packed archive to a file; of anything but a tar, its beginning."""
    try:
        room = shutil.disk_usage(tempfile.gettempdir()).free
        with GZIP(fileobj=packed, mode="rb") as stream:
            total = 0
            while chunk := stream.read(_CHUNK):
                total += len(chunk)
                if total > min(MAX_UNPACKED, room):
                    raise _too_large(archive, room)
                unpacked.write(chunk)
                if total == len(chunk) and not is_tar(chunk[:512]):
                    break
        unpacked.flush()
    except UNPACKING_ERRORS as error:
        raise FileError(
            f"{archive} is damaged or cut short",
            found=str(error),
            expected="a complete gzip file",
            remedy="copy or download it again",
        ) from error
    except OSError as error:
        raise FileError(f"{archive} cannot be unpacked", found=error.strerror, remedy=_ELSEWHERE) from error


def _too_large(archive: Path, room: int) -> FileError:
    full = room < MAX_UNPACKED
    return FileError(
        f"{archive} cannot be unpacked",
        found=f"more than the {room} bytes that are free in {tempfile.gettempdir()}" if full else "no end to it",
        expected=f"at most {min(room, MAX_UNPACKED)} bytes",
        remedy=_ELSEWHERE,
    )


def _twice(archive: Path, name: str) -> FileError:
    return FileError(
        f"{archive} holds two members of one name",
        found=name,
        expected="one file of each name",
        remedy="unpack it, keep the right one, and name the folder",
    )
