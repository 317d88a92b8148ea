"""Broken NIfTI and MGZ files are read or refused, fast and within bounds of memory, and nothing else."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import strategies as st

import make
from fuzz import Subject, bounded, mutated, time_to_spend, try_examples

READERS = (
    "gliamap.io.nifti:read_grid",
    "gliamap.io.facts:read_facts",
    "gliamap.io.nifti:read_labels",
    "fuzz_readers:write_beside",
    "fuzz_readers:inspect_folder",
    "gliamap.io.nifti:read_volume",
)
MGZ_READERS = tuple(f"gliamap.io.mgz:{name}" for name in ("read_grid", "read_labels", "read_volume"))

TYPES = (2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304)
"""The data types of the standard, of 8 bits to complex numbers of 256."""

INTEGERS = (0, 1, 2, 3, 4, 5, 7, 8, 255, 352, 32767, -1, -2, -32768)
LONG_INTEGERS = (*INTEGERS, 2**31 - 1, -(2**31), 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, 1.0, -1.0, 1e-3, -0.0, 2.0, 351.5, 1e9, 3e38, -3e38, 1e-38, 1e-45, np.nan, np.inf, -np.inf)
MAGICS = (b"n+1\0", b"ni1\0", b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n", b"", b"\xff\xff\xff\xff", b"n+1")


def data_of(shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    return (np.arange(np.prod(shape)) % 5).astype(dtype).reshape(shape)


def nifti(kind: Any, dtype: str, shape: tuple[int, ...] = (3, 4, 5), order: str = "<", grid: str = "oblique") -> bytes:
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(order))
    data = data_of(shape, dtype)
    if dtype.startswith("f"):
        data.flat[0] = np.nan
    return bytes(kind(data, make.affine(grid), header).to_bytes())


SAMPLES = {
    "8 bit": nifti(nib.Nifti1Image, "u1"),
    "16 bit, big-endian": nifti(nib.Nifti1Image, "i2", order=">"),
    "NIfTI-2": nifti(nib.Nifti2Image, "i4", grid="flipped"),
    "NIfTI-2, floats, big-endian": nifti(nib.Nifti2Image, "f8", order=">"),
    "2D": nifti(nib.Nifti1Image, "f4", (6, 7)),
    "a fourth axis": nifti(nib.Nifti1Image, "u2", (3, 4, 5, 1)),
}


def values_of(field: np.dtype[Any]) -> st.SearchStrategy[Any]:
    """Anything that a header's field can hold, the odd things often."""
    if field.subdtype is not None:
        base, (count,) = field.subdtype
        return st.lists(values_of(base), min_size=count, max_size=count)
    if field.kind == "S":
        return st.sampled_from(MAGICS).map(lambda text: text[: field.itemsize]) | st.binary(max_size=field.itemsize)
    if field.kind == "f":
        width = {4: 32, 8: 64}[field.itemsize]
        return st.sampled_from(FLOATS) | st.floats(width=width)  # type: ignore[arg-type]
    low, high = np.iinfo(field).min, np.iinfo(field).max
    odd = [number for number in LONG_INTEGERS if low <= number <= high]
    return st.sampled_from(odd) | st.integers(int(low), int(high))


@st.composite
def drawn_files(draw: st.DrawFn) -> bytes:
    """A file whose header is right but for a few fields, each of them anything; with the voxels it needs, or others."""
    kind = draw(st.sampled_from((nib.Nifti1Header, nib.Nifti2Header)))
    header = kind(endianness=draw(st.sampled_from("<>")))
    shape = draw(st.lists(st.integers(1, 6), min_size=2, max_size=4))
    header.set_data_shape(shape)
    header["datatype"] = draw(st.sampled_from(TYPES))
    header["magic"] = header.single_magic
    header["vox_offset"] = header.single_vox_offset
    affine = make.affine(draw(st.sampled_from(make.KINDS)))
    if draw(st.booleans()):
        header.set_sform(affine, code=draw(st.integers(0, 4)))
    if draw(st.booleans()):
        header.set_qform(affine, code=draw(st.integers(0, 4)), strip_shears=True)
    fields = header.structarr.dtype.fields
    for name in draw(st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=5)):
        with np.errstate(all="ignore"):
            header[name] = draw(values_of(fields[name][0]))
    extension = draw(st.just(bytes(4)) | st.binary(min_size=4, max_size=40))
    size = int(np.prod(shape)) * draw(st.sampled_from((1, 2, 4, 8, 16)))
    voxels = draw(st.just(bytes(size)) | st.binary(max_size=64).map(lambda some: (some * size)[:size] if some else b""))
    return bytes(header.binaryblock + extension + voxels)


def packed(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def mgz(folder: Path, dtype: str) -> bytes:
    path = folder / "a.mgz"
    nib.MGHImage(data_of((3, 4, 5), dtype), make.affine("oblique")).to_filename(path)
    return path.read_bytes()


def broken_bytes(samples: dict[str, bytes], *, head: int = 352) -> st.SearchStrategy[bytes]:
    return st.sampled_from(sorted(samples)).flatmap(lambda name: mutated(samples[name], head=head))


Kind = tuple[str, Callable[[Path], tuple[list[bytes], st.SearchStrategy[bytes]]], tuple[str, ...]]


def plain_kind(_: Path) -> tuple[list[bytes], st.SearchStrategy[bytes]]:
    return list(SAMPLES.values()), drawn_files() | broken_bytes(SAMPLES)


def packed_kind(_: Path) -> tuple[list[bytes], st.SearchStrategy[bytes]]:
    small = {name: packed(data) for name, data in SAMPLES.items()}
    inside = drawn_files() | broken_bytes(SAMPLES)
    return list(small.values()), inside.map(packed) | broken_bytes(small, head=64)


def mgz_kind(folder: Path) -> tuple[list[bytes], st.SearchStrategy[bytes]]:
    samples = {dtype: mgz(folder, dtype) for dtype in ("u1", "i2", "f4")}
    inside = {dtype: gzip.decompress(data) for dtype, data in samples.items()}
    return list(samples.values()), broken_bytes(inside, head=90).map(packed) | broken_bytes(samples, head=64)


KINDS: dict[str, Kind] = {
    "NIfTI": (".nii", plain_kind, READERS),
    "NIfTI, packed": (".nii.gz", packed_kind, READERS),
    "MGZ": (".mgz", mgz_kind, MGZ_READERS),
}


@pytest.fixture(scope="module", params=KINDS)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    suffix, make_samples, readers = KINDS[request.param]
    samples, broken = make_samples(tmp_path_factory.mktemp("samples"))
    with bounded(suffix, *readers) as read:
        for data in samples:
            assert read(data) == "read", "the sample itself is refused"
        yield read, broken


def test_broken_files_are_read_or_refused(subject: Subject) -> None:
    try_examples(subject, 15)


@pytest.mark.slow
def test_many_broken_files_are_read_or_refused(subject: Subject) -> None:
    seen: set[str] = set()
    for number in time_to_spend(len(KINDS)):
        seen |= try_examples(subject, 300, round_number=number)
    assert seen == {"read", "refused"}  # both happen, or the changes are too weak or too strong


BLOCK = gzip.compress(bytes(2**22), 9, mtime=0)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "i8", "f8"])
def test_the_most_that_a_small_file_may_unpack_to(dtype: str) -> None:
    """A file just under 1 MB with as many voxels as are let through: time and memory are what they may be at worst."""
    voxels = min(2**27, 380 * 10**6 // np.dtype(dtype).itemsize)
    header = nib.Nifti1Header()
    header.set_data_dtype(np.dtype(dtype))
    header.set_data_shape((512, 512, voxels // 512**2))
    header.set_sform(np.eye(4), code=1)
    header["magic"], header["vox_offset"] = header.single_magic, header.single_vox_offset
    data = packed(header.binaryblock + bytes(4)) + BLOCK * (voxels * np.dtype(dtype).itemsize // 2**22 + 1)
    data += packed(np.random.default_rng(0).bytes(10**6 - 2000 - len(data)))  # behind the voxels, never read
    assert 0.99e6 < len(data) < 1e6
    with bounded(".nii.gz", "gliamap.io.nifti:read_labels", "gliamap.io.nifti:read_volume") as read:
        assert read(data) == "read"
