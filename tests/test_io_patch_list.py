"""The list of patches on disk: rows come back one by one, from a map, or the file is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gliamap.errors import FileError
from gliamap.io.patch_list import ROW, open_rows, write_rows

ROWS = np.array([(0, (1, -2, 3), True), (7, (4, 5, 6), False)], ROW)


def test_rows_come_back_from_a_map(tmp_path: Path) -> None:
    write_rows(tmp_path / "new" / "patches.npy", ROWS)
    found = open_rows(tmp_path / "new" / "patches.npy")
    assert isinstance(found, np.memmap) and not found.flags.writeable
    assert found.tobytes() == ROWS.tobytes()
    assert found[0]["start"].tolist() == [1, -2, 3]


@pytest.mark.parametrize("content", [None, b"", b"nothing of the kind", b"cut"])
def test_a_file_that_is_missing_or_damaged_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "patches.npy"
    if content == b"cut":
        write_rows(path, ROWS)
        content = path.read_bytes()[:-1]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=r"patches\.npy is missing or damaged.*--resume"):
        open_rows(path)


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "patches.npy", np.zeros(3))
    with pytest.raises(FileError, match="float64 with 1 axes"):
        open_rows(tmp_path / "patches.npy")
