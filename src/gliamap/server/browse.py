"""Folders under the roots that the user allowed: looked into and copied from, never left.

Every part of a path is opened from the folder before it and is not to be a link, so that nobody can lead out of a root,
not even by changing the folders meanwhile.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from gliamap.server.intake import KINDS
from gliamap.server.refusal import Refused
from gliamap.sources.layout import natural_key

_SHOWN = 1000
"""Entries of a folder. Whoever has more chooses a folder in it by its name."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not keep the reader waiting
_MOST_PARTS, _MOST_NAME = 64, 255


def list_folder(roots: Sequence[Path], root: int, path: str) -> dict[str, Any]:
    """The folders and scans in a folder, as the interface shows them; ``Refused`` where there is no such folder.

    Hidden names, links, other kinds of files and names that no page could show are left out.
    """
    with _opened(roots, root, path) as folder:
        found = list(_entries(folder))
    found.sort(key=lambda one: natural_key(one[0]))
    folders = [{"name": name} for name, size in found if size is None]
    files = [{"name": name, "bytes": size} for name, size in found if size is not None]
    more = len(found) > _SHOWN
    return {"root": root, "path": path, "folders": folders[:_SHOWN], "files": files[:_SHOWN], "more": more}


@contextmanager
def scans_at(roots: Sequence[Path], root: int, path: str, *, most: int) -> Iterator[list[tuple[str, BinaryIO]]]:
    """The scans in a folder, or the one that ``path`` names, with their names, open for reading.

    ``Refused`` where there is none, or more than ``most``.
    """
    parts = _parts(path)
    opened: list[tuple[str, BinaryIO]] = []
    try:
        if parts and _is_scan(parts[-1]):
            with _opened(roots, root, "/".join(parts[:-1])) as folder:
                opened.append((parts[-1], _open_file(folder, parts[-1])))
        else:
            with _opened(roots, root, path) as folder:
                names = sorted((name for name, size in _entries(folder) if size is not None), key=natural_key)
                if len(names) > most:
                    raise Refused("too-large", "there are too many scans", found=str(len(names)), expected=f"{most}")
                opened.extend((name, _open_file(folder, name)) for name in names)
        if not opened:
            raise Refused("refused", "there are no scans in this folder", expected="NIfTI files or images")
        yield opened
    finally:
        for _, stream in opened:
            stream.close()


def _entries(folder: int) -> Iterator[tuple[str, int | None]]:
    """Names in the open ``folder``: of a folder with ``None``, of a scan with its size."""
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                entry.name.encode()
                if entry.name.startswith(".") or not entry.name.isprintable():
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name, None
                elif entry.is_file(follow_symlinks=False) and _is_scan(entry.name):
                    yield entry.name, entry.stat(follow_symlinks=False).st_size
            except (OSError, UnicodeError):
                continue


def _is_scan(name: str) -> bool:
    return name.lower().endswith(KINDS)


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    odd = any(part.startswith(".") or "\0" in part or len(part) > _MOST_NAME for part in parts)
    if odd or len(parts) > _MOST_PARTS:
        raise _nowhere()
    return parts


@contextmanager
def _opened(roots: Sequence[Path], root: int, path: str) -> Iterator[int]:
    """A descriptor of the folder."""
    parts = _parts(path)
    if not 0 <= root < len(roots):
        raise _nowhere()
    try:
        folder = os.open(roots[root], _FOLDER)
    except OSError as error:
        raise _nowhere() from error
    try:
        for part in parts:
            try:
                inner = os.open(part, _FOLDER, dir_fd=folder)
            except (OSError, ValueError) as error:
                raise _nowhere() from error
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _open_file(folder: int, name: str) -> BinaryIO:
    try:
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except (OSError, ValueError) as error:
        raise _nowhere() from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _nowhere()
    return os.fdopen(descriptor, "rb")


def _nowhere() -> Refused:
    """One answer for what is not there, what may not be read and what lies outside: it tells nothing of the disk."""
    return Refused("not-found", "there is no such folder or file here", remedy="choose another one")
