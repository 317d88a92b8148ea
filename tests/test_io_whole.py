from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gliamap.errors import FileError
from gliamap.io.whole import check_whole

PLAIN = nib.Nifti1Image(np.ones((4, 5, 6), np.int16), np.diag([1.0, 1.0, 2.0, 1.0])).to_bytes()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("name", "content"), [("a.nii", PLAIN), ("a.nii.gz", gzip.compress(PLAIN, mtime=0))])
def test_whole_file_gives_its_grid(tmp_path: Path, name: str, content: bytes) -> None:
    grid = check_whole(written(tmp_path / name, content), most_bytes=10_000)
    assert grid.shape == (4, 5, 6)
    assert grid.spacing == (1.0, 1.0, 2.0)


def test_bomb_is_noticed_at_the_first_byte_past_what_the_header_declares(tmp_path: Path) -> None:
    bomb = written(tmp_path / "a.nii.gz", gzip.compress(PLAIN + bytes(50 * 2**20)))
    assert bomb.stat().st_size < 60_000
    tracemalloc.start()
    with pytest.raises(FileError, match="more bytes"):
        check_whole(bomb, most_bytes=2**30)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        PLAIN[:-1],
        PLAIN + b"x",
        gzip.compress(PLAIN[:-1], mtime=0),
        gzip.compress(PLAIN, mtime=0) * 2,
        b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 1_100_000,  # a header without end
    ],
)
def test_shorter_and_longer_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / ("a.nii" if content.startswith(PLAIN[:4]) else "a.nii.gz"), content)
    with pytest.raises(FileError):
        check_whole(path, most_bytes=10_000)


def test_byte_too_many_is_noticed_where_a_chunk_ends(tmp_path: Path) -> None:
    plain = nib.Nifti1Image(np.ones((42, 73, 171), np.int16), np.eye(4)).to_bytes()
    assert len(plain) - 348 == 2**20
    assert check_whole(written(tmp_path / "a.nii", plain), most_bytes=2**21).shape == (42, 73, 171)
    with pytest.raises(FileError, match="more bytes"):
        check_whole(written(tmp_path / "b.nii", plain + b"x"), most_bytes=2**21)
    with pytest.raises(FileError, match="damaged"):
        check_whole(written(tmp_path / "c.nii.gz", gzip.compress(plain)[:-8] + bytes(8)), most_bytes=2**21)


def test_header_that_promises_more_than_is_wanted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="too large"):
        check_whole(written(tmp_path / "a.nii", PLAIN), most_bytes=500)


def test_header_that_promises_a_world_is_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((30_000, 30_000, 30_000))
    header.set_data_dtype(np.uint8)
    header["vox_offset"] = 352
    with pytest.raises(FileError, match="too large"):
        check_whole(written(tmp_path / "a.nii.gz", gzip.compress(header.binaryblock + bytes(4))), most_bytes=2**60)
