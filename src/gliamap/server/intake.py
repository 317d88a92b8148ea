"""Files from outside, on their way into a case: counted, looked through, and only then given their place.

A file is taken for what its content is; its name tells the modality and nothing else. On the disk it is a number.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from gliamap.errors import FileError, GliamapError
from gliamap.io import images
from gliamap.io.packing import GZIP_MAGIC
from gliamap.io.whole import check_whole
from gliamap.io.zipped import ZipLimits, unzip
from gliamap.server.nouns import FileRecord, GridRecord
from gliamap.server.recognise import recognised
from gliamap.server.refusal import Refused
from gliamap.server.settings import Limits

KINDS = (".nii", ".nii.gz", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".zip")
"""What the page offers to choose."""

_ZIP = ".zip"
_IN_ZIP = tuple(kind for kind in KINDS if kind != _ZIP)
_STARTS = (
    (GZIP_MAGIC, ".nii.gz"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"PK\x03\x04", _ZIP),
    (b"PK\x05\x06", _ZIP),
)
_MOST_NAME = 255
_IMAGE_BYTES = 2**26
"""Of a PNG, JPEG or TIFF: a slice has a hundredth of it, and readers take the whole file into memory."""

FREE, LAST_NUMBER = 0, 999
"""Of a file of a case: it is to have the first number that is free; the last that there is."""


@dataclass(frozen=True)
class Arrival:
    """A file as it came: where its bytes lie, the number it is to have or ``FREE``, and the client's name for it."""

    path: Path
    number: int
    name: str | None


@contextmanager
def arriving(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A file for bytes to come, in ``folder``; removed when the block ends. For the user alone."""
    path = folder / f".part-{secrets.token_hex(8)}"
    stream = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600), "wb")
    try:
        with stream:
            yield path, stream
    finally:
        path.unlink(missing_ok=True)


def take_in(arrival: Arrival, taken: frozenset[int], limits: Limits) -> list[FileRecord]:
    """Look through a file that came, or those of a zip, and give each its place beside it.

    ``taken``: numbers that are not free; a zip's files have the free ones from the arrival's on, and after the last
    number those from 1. ``Refused`` where a file is not what gliamap reads, where it unpacks to more than its header
    declares or than ``limits`` allow. All of the files are taken, or none; of a zip, files of other kinds are passed
    over.
    """
    suffix = _kind(arrival.path)
    try:
        if suffix != _ZIP:
            return [_placed(arrival, suffix, limits)]
        return _unpacked(arrival, taken, limits)
    except FileError as error:
        raise _about(error, arrival) from error


def _placed(arrival: Arrival, suffix: str, limits: Limits) -> FileRecord:
    """The file under its number, once it was looked through."""
    part = arrival.path.with_name(arrival.path.name + suffix)  # readers go by the suffix
    arrival.path.replace(part)
    try:
        if suffix == _ZIP:
            raise FileError(f"{part} is an archive in an archive", remedy="unpack it and send the scans")
        image, size = suffix in images.IMAGE_SUFFIXES, part.stat().st_size
        if image and size > _IMAGE_BYTES:
            raise FileError(f"{part} is too large", found=f"{size} bytes", expected=f"at most {_IMAGE_BYTES}")
        grid = images.read_grid(part) if image else check_whole(part, most_bytes=limits.file_bytes)
        modality, told_by = recognised(arrival.name or "", image=image)
        record = FileRecord(arrival.number, suffix, size, GridRecord.of(grid), modality, told_by, arrival.name)
        part.replace(part.with_name(record.stored))
        return record
    finally:
        part.unlink(missing_ok=True)


def _unpacked(arrival: Arrival, taken: frozenset[int], limits: Limits) -> list[FileRecord]:
    folder = arrival.path.parent
    onwards = (*range(arrival.number, LAST_NUMBER + 1), *range(1, arrival.number))
    numbers = (n for n in onwards if n not in taken)
    bounds = ZipLimits(limits.files, limits.file_bytes, limits.case_bytes)
    made: list[FileRecord] = []
    try:
        for name, content in unzip(arrival.path, bounds):
            if not name.lower().endswith(_IN_ZIP):
                continue  # a text beside the scans, or an archive in the archive
            with arriving(folder) as (path, stream):
                for chunk in content:
                    stream.write(chunk)
                stream.flush()
                inner = Arrival(path, next(numbers), _shown(name))
                try:
                    made.append(_placed(inner, _kind(path), limits))
                except FileError as error:
                    raise _about(error, inner) from error
    except GliamapError:
        for one in made:
            (folder / one.stored).unlink(missing_ok=True)
        raise
    if not made:
        raise FileError(f"{arrival.path} holds no scans", expected="NIfTI files or images", remedy="look into it")
    return made


def _kind(path: Path) -> str:
    """The suffix that the content calls for; what is nothing else is left for the reader of NIfTI to judge."""
    with path.open("rb") as stream:
        start = stream.read(16)
    return next((suffix for magic, suffix in _STARTS if start.startswith(magic)), ".nii")


def _about(error: FileError, arrival: Arrival) -> Refused:
    """The error in terms of the file that the user sent: where it lies here is nobody's business."""
    here = f"{arrival.path.parent}{os.sep}"
    shown = f"'{arrival.name}'" if arrival.name else "the file"

    def plain(text: str | None) -> str | None:
        return None if text is None else _without_path(text, here, shown)

    return Refused(
        "refused",
        plain(error.what) or "",
        found=plain(error.found),
        expected=plain(error.expected),
        remedy=plain(error.remedy),
    )


def _without_path(text: str, here: str, shown: str) -> str:
    """``text`` with ``shown`` for every path below ``here``."""
    first, *rest = text.split(here)
    return first + "".join(shown + tail[len(tail.split(" ", 1)[0]) :] for tail in rest)


def _shown(name: str) -> str:
    """A name fit to be shown: one line, of printable letters, its end where it is too long."""
    return "".join(letter if letter.isprintable() else "�" for letter in name)[-_MOST_NAME:]


def client_name(header: str | None) -> str | None:
    """The file's name from a percent-encoded header; ``None`` where it says nothing."""
    return _shown(unquote(header, errors="replace")) if header else None
