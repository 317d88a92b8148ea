"""``dataset.json``, which MSD and nnU-Net describe a data set with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gliamap.errors import FileError
from gliamap.io.archive import size_of
from gliamap.io.atomic import read_json

DESCRIPTION = "dataset.json"

_MAX_BYTES = 2**24
"""Some hundred bytes a case."""


def read_description(path: Path) -> Mapping[str, Any]:
    """The table in a ``dataset.json``; ``FileError`` where it is damaged, is no table, or is absurdly long."""
    try:
        size = size_of(path)
    except OSError as error:
        raise FileError(f"{path} cannot be read", found=error.strerror) from error
    if size > _MAX_BYTES:
        raise FileError(f"{path} does not describe a data set", found=f"{size} bytes", expected=f"at most {_MAX_BYTES}")
    described = read_json(path)
    if not isinstance(described, dict):
        raise FileError(
            f"{path} does not describe a data set",
            found=f"a JSON {type(described).__name__}",
            expected="a table with the names of modalities and labels",
            remedy="restore the file, or copy the data set again",
        )
    return described
