"""What tells whether a file is still the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gliamap.io.archive import open_binary

_CHUNK = 2**20


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, which may lie in an archive.

    ``OSError`` and ``FileError`` as from :func:`~gliamap.io.archive.open_binary`.
    """
    digest = hashlib.sha256()
    with open_binary(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
