"""The members of a tar file, read block by block with a limit on everything that the file itself says.

``tarfile`` unpacks one header; which headers follow each other is read here, because an archive of somebody else's may
nest, repeat or enlarge them without end. Only plain files and folders inside the archive are let through.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from gliamap.errors import FileError

MAX_HEADERS = 500_000
"""One or two a member; a data set of slices has some ten thousand files."""

_MAX_NAME = 1024
_MAX_DEPTH = 32
_MAX_EXTENSION = 2**16  # bytes of what a member says beyond its header: long names, attributes of macOS

_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_EXTENSIONS = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG_NAME = tarfile.GNUTYPE_LONGNAME
_SKIPPED = (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK)  # remarks on all members, and where a link leads
_REMARKS = (*_EXTENSIONS, _LONG_NAME, *_SKIPPED)  # headers about the members that follow
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_LEFT_BY_SYSTEMS = ("__MACOSX", "PaxHeader", "._")  # how names begin that are no data


class Member(NamedTuple):
    """A file or folder: its name with ``/`` between the parts, where its bytes begin and how many there are."""

    name: str
    is_folder: bool
    offset: int
    size: int


def members(file: IO[bytes], total: int, path: Path) -> Iterator[Member]:
    """The files and folders of the tar ``file`` of ``total`` bytes; ``path`` is for messages.

    What macOS and other tools leave beside the data is passed over. ``FileError`` where the file is no tar, is cut
    short, or holds what no data set needs: names that lead out of it, links, devices, sparse files, more than
    :data:`MAX_HEADERS` headers. Folders may be named twice; two files of one name are for the caller to notice.
    """
    at = 0
    said: dict[str, str] = {}
    for _ in range(MAX_HEADERS):
        header = _header(file, at, total, path)
        if header is None:
            return
        data = at + tarfile.BLOCKSIZE
        size = _size(header, said, path)
        if data + size > total:
            raise _cut_short(path, f"'{header.name}' claims {size} bytes where {max(0, total - data)} are left")
        at = data + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        if header.type in _EXTENSIONS:
            said |= _records(_extension(file, data, size, path), path)
        elif header.type == _LONG_NAME:
            said["path"] = _text(_extension(file, data, size, path).rstrip(b"\0"))
        elif header.type not in _SKIPPED:
            member = Member(_checked_name(header, said, path), header.type == tarfile.DIRTYPE, data, size)
            said = {}
            if not any(part.startswith(_LEFT_BY_SYSTEMS) for part in member.name.split("/")):
                yield member
    raise refused(path, f"more than {MAX_HEADERS} headers")


def is_tar(block: bytes) -> bool:
    """Whether a file that begins with ``block``, 512 bytes, is a tar with at least one member."""
    try:
        return bool(tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").chksum)
    except tarfile.HeaderError:
        return False


def _header(file: IO[bytes], at: int, total: int, path: Path) -> tarfile.TarInfo | None:
    """The header at ``at``; ``None`` for the empty block that ends an archive."""
    file.seek(at)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) == tarfile.BLOCKSIZE and not block.strip(b"\0"):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if at == 0:
            raise FileError(
                f"{path} is not a tar archive",
                found="other content" if total else "an empty file",
                expected="tar, plain or packed with gzip (.tar, .tar.gz, .tgz)",
                remedy="copy or download it again, or unpack it and name the folder",
            ) from error
        found = "no end mark" if at >= total else f"no header at byte {at}"
        raise _cut_short(path, found) from error


def _size(header: tarfile.TarInfo, said: Mapping[str, str], path: Path) -> int:
    """The bytes that follow the header; folders have none, whatever theirs says."""
    if header.type == tarfile.DIRTYPE:
        return 0
    text = str(header.size) if header.type in _REMARKS else said.get("size", str(header.size))
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise _cut_short(path, f"'{header.name}' claims {text[:30]} bytes")
    return int(text)


def _extension(file: IO[bytes], at: int, size: int, path: Path) -> bytes:
    if size > _MAX_EXTENSION:
        raise refused(path, f"{size} bytes of remarks on one member")
    file.seek(at)
    return file.read(size)


def _records(data: bytes, path: Path) -> dict[str, str]:
    """What a pax header says that matters here: ``LENGTH KEY=VALUE\\n`` each, the length counting itself."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data) and data[at]:
        digits, _, rest = data[at : at + 20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = data[at + len(digits) + 1 : at + length].partition(b"=")
        if not (rest and equals and value.endswith(b"\n") and at + length <= len(data)):
            raise _cut_short(path, "an extended header that cannot be read")
        if key.startswith(b"GNU.sparse"):
            raise refused(path, _KINDS[tarfile.GNUTYPE_SPARSE])
        if key in (b"path", b"size"):
            found[key.decode()] = _text(value[:-1])
        at += length
    return found


def _checked_name(header: tarfile.TarInfo, said: Mapping[str, str], path: Path) -> str:
    """The member's name without ``.`` and empty parts; empty for the archive's own top folder."""
    name = said.get("path", header.name)
    shown = f"'{name[:60]}'" if name.isprintable() else ascii(name[:60])
    if header.type not in (*_FILES, tarfile.DIRTYPE):
        raise refused(path, f"{shown}, {_KINDS.get(header.type, 'neither a file nor a folder')}")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise refused(path, f"{shown}, a name that leads out of the archive")
    if len(name) > _MAX_NAME or len(parts) > _MAX_DEPTH:
        raise refused(path, f"{shown}, a name of {len(name)} characters and {len(parts)} folders")
    if any(ord(letter) < 32 or "\ud800" <= letter <= "\udfff" for letter in name):
        raise refused(path, f"{shown}, a name that is not plain UTF-8 text")
    if not parts and header.type != tarfile.DIRTYPE:
        raise refused(path, "a file without a name")
    return "/".join(parts)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def refused(path: Path, found: str) -> FileError:
    """The error of an archive that holds what no data set needs."""
    return FileError(
        f"{path} is not an archive that gliamap opens",
        found=found,
        expected="plain files and folders, all inside the archive",
        remedy="check where it comes from; if it is trusted, unpack it and name the folder",
    )


def _cut_short(path: Path, found: str) -> FileError:
    return FileError(
        f"{path} is damaged or cut short",
        found=found,
        expected="a complete tar archive",
        remedy="copy or download it again",
    )
