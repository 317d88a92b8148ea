"""The members of a zip from somebody who is not trusted, unpacked one by one within limits.

What an archive says of itself is not believed: sizes are counted while unpacking, names are never used as paths.
"""

from __future__ import annotations

import errno
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gliamap.errors import FileError

MAX_DIRECTORY = 2**20
"""Bytes of the table of contents, which is read at once: some ten thousand members."""

_END, _END_SIZE, _COMMENT = b"PK\5\6", 22, 2**16
_END_64, _END_64_SIZE = b"PK\6\7", 20
_ENCRYPTED = 1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_CHUNK = 2**20
# What zipfile raises on broken archives, as found by breaking them.
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError, LookupError)


@dataclass(frozen=True)
class ZipLimits:
    """How many members, how many bytes each and together, unpacked."""

    members: int
    member_bytes: int
    total_bytes: int


def unzip(path: Path, limits: ZipLimits) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Each plain file of the archive: its name, for recognition alone, and its content in chunks.

    Folders, empty files and what systems leave beside the data (``__MACOSX``, names that begin with a dot) are passed
    over. ``FileError`` where the archive is damaged, encrypted, beyond ``limits``, or holds links or names that lead
    out of it; the limit on bytes is noticed while a content is read.
    """
    with _faults(path), path.open("rb") as stream:
        _check_directory(stream, path)
        with zipfile.ZipFile(stream) as archive:
            yield from _members(archive, path, limits)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Turn what ``zipfile`` raises on damaged archives into a ``FileError``."""
    try:
        yield
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a place before the file's beginning
            raise
        raise FileError(
            f"{path} is damaged or not a zip archive", found=type(error).__name__, remedy="make the archive again"
        ) from error


def _members(archive: zipfile.ZipFile, path: Path, limits: ZipLimits) -> Iterator[tuple[str, Iterator[bytes]]]:
    wanted = [one for one in archive.infolist() if _is_data(one, path)]
    if len(wanted) > limits.members:
        raise _refused(path, f"{len(wanted)} files", f"at most {limits.members}")
    left = limits.total_bytes
    for one in wanted:
        most = min(left, limits.member_bytes)
        counted = _Counted(archive, one, path, most)
        yield one.filename, counted.chunks()
        left -= counted.seen


@dataclass
class _Counted:
    """The content of a member, no more than ``most`` bytes of it; ``seen`` were read."""

    archive: zipfile.ZipFile
    member: zipfile.ZipInfo
    path: Path
    most: int
    seen: int = 0

    def chunks(self) -> Iterator[bytes]:
        with _faults(self.path), self.archive.open(self.member) as stream:
            while chunk := stream.read(_CHUNK):
                self.seen += len(chunk)
                if self.seen > self.most:
                    raise _refused(self.path, "more than that when unpacked", f"at most {self.most} bytes")
                yield chunk


def _is_data(member: zipfile.ZipInfo, path: Path) -> bool:
    """Whether a member is a file that may be data; ``FileError`` where no honest archive has it."""
    parts = member.filename.replace("\\", "/").split("/")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if member.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise _refused(path, "a name that leads out of it", "plain files and folders inside the archive")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(path, "a link or a device", "plain files and folders")
    if member.flag_bits & _ENCRYPTED:
        raise _refused(path, "a file under a password", "files that anybody can read")
    if member.is_dir() or any(part.startswith((".", "__MACOSX")) for part in parts):
        return False
    if member.compress_type not in _METHODS:
        raise _refused(path, f"compression method {member.compress_type}", "stored or deflated files")
    return member.file_size > 0 or member.compress_size > 0


def _check_directory(stream: BinaryIO, path: Path) -> None:
    """``FileError`` where the table of contents, which ``zipfile`` reads at once, is no usual one or too large."""
    size = stream.seek(0, 2)
    start = max(0, size - _END_SIZE - _COMMENT - _END_64_SIZE)
    stream.seek(start)
    tail = stream.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        raise zipfile.BadZipFile("no end of the table of contents")
    length = int.from_bytes(tail[at + 12 : at + 16], "little")
    if tail[max(0, at - _END_64_SIZE) : at].startswith(_END_64):
        raise _refused(path, "the format for archives of more than 4 GB", "a smaller archive")
    if length > MAX_DIRECTORY:
        raise _refused(path, f"a table of contents of {length} bytes", f"at most {MAX_DIRECTORY}")
    stream.seek(0)


def _refused(path: Path, found: str, expected: str) -> FileError:
    return FileError(
        f"{path} is not an archive that gliamap opens",
        found=found,
        expected=expected,
        remedy="unpack it and send the files themselves",
    )
