"""Broken PNG, JPEG, TIFF and MATLAB files are read or refused, fast and within bounds of memory, and nothing else."""

from __future__ import annotations

import io
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import strategies as st
from PIL import Image

import fuzz
import make
from fuzz import Subject, bounded, mutated, time_to_spend, try_examples
from gliamap.errors import FileError

ROWS = np.random.default_rng(0).integers(0, 256, (13, 9)).astype(np.uint8)
IMAGE_READERS = ("gliamap.io.images:read_image", "gliamap.io.images:read_mask", "gliamap.io.raster:read_head")
MATLAB_READERS = tuple(
    f"gliamap.io.matlab:{name}" for name in ("read_patient", "read_class", "read_mask", "read_image")
)


def saved(kind: str, rows: np.ndarray = ROWS, mode: str | None = None, **settings: object) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(rows)
    (image.convert(mode) if mode else image).save(stream, kind, **settings)
    return stream.getvalue()


def tiff(rows: np.ndarray, **settings: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, rows, metadata=None, **settings)
    return stream.getvalue()


def matlab(folder: Path) -> dict[str, bytes]:
    return {"slice": make.write_matlab_slice(folder / "1.mat", ROWS.astype(np.int16), ROWS > 200).read_bytes()}


def folds(folder: Path) -> dict[str, bytes]:
    return {"folds": make.write_folds(folder / "cvind.mat", range(1, 6)).read_bytes()}


def mended(png: bytes) -> bytes:
    """``png`` with right checksums, as far as its chunks can be followed, so that what is in them is looked at."""
    out, at = png[:8], 8
    while at + 12 <= len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        body = png[at + 4 : at + 8 + size]
        out += png[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        at += 12 + size
    return out + png[at:]


EXIF = Image.Exif()
EXIF[274] = 6
PNGS = {
    "grey": saved("PNG"),
    "16 bit": saved("PNG", ROWS.astype(np.uint16) * 99),
    "palette, turned": saved("PNG", mode="P", exif=EXIF),
    "alpha": saved("PNG", mode="LA"),
    "colour": saved("PNG", mode="RGB"),
}
JPEGS = {
    "grey, turned": saved("JPEG", exif=EXIF),
    "progressive": saved("JPEG", mode="RGB", progressive=True),
}
TIFFS = {
    "LZW": saved("TIFF", compression="tiff_lzw"),
    "turned": saved("TIFF", exif=EXIF),
    "float64": tiff(ROWS.astype(np.float64), compression="zlib"),
    "int16 colour, tiles": tiff(np.stack([ROWS.astype(np.int16)] * 3), photometric="rgb", tile=(16, 16)),
}
KINDS: dict[str, tuple[str, Callable[[Path], dict[str, bytes]], tuple[str, ...]]] = {
    "png": (".png", lambda _: PNGS, IMAGE_READERS),
    "jpeg": (".jpg", lambda _: JPEGS, IMAGE_READERS),
    "tiff": (".tif", lambda _: TIFFS, IMAGE_READERS),
    "matlab": (".mat", matlab, MATLAB_READERS),
    "matlab folds": (".mat", folds, ("gliamap.io.matlab:read_folds",)),
}


@pytest.fixture(scope="module", params=KINDS)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    suffix, make_samples, readers = KINDS[request.param]
    samples = make_samples(tmp_path_factory.mktemp("samples"))
    head = 2048 if suffix == ".mat" else 128  # where the format says what is in the file; MATLAB puts 512 bytes before
    broken = st.sampled_from(sorted(samples)).flatmap(lambda name: mutated(samples[name], head=head))
    if suffix == ".png":
        broken = broken | broken.map(mended)
    with bounded(suffix, *readers) as read:
        for name, data in samples.items():
            assert read(data) == "read", f"{name}: the sample itself is refused"
        yield read, broken


def test_broken_files_are_read_or_refused(subject: Subject) -> None:
    assert "refused" in try_examples(subject, 40)


@pytest.mark.slow
def test_many_broken_files_are_read_or_refused(subject: Subject) -> None:
    seen: set[str] = set()
    for number in time_to_spend(len(KINDS)):
        seen |= try_examples(subject, 300, round_number=number)
    assert seen == {"read", "refused"}  # both happen, or the changes are too weak or too strong


# The tool itself


def hang(path: Path) -> None:
    time.sleep(60)


def flood(path: Path) -> None:
    np.ones(2**26)


def die(path: Path) -> None:
    sys.exit(3)


def fail(path: Path) -> None:
    raise KeyError(path.name)


def murmur(path: Path) -> None:
    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


def forget_the_name(path: Path) -> None:
    raise FileError("some file is damaged")


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        ("hang", r"no answer within 0\.5 s"),
        ("flood", r"took [56]\d\d MB"),
        ("die", "died with code 3"),
        ("fail", r"KeyError: 'sample\.png'"),
        ("murmur", "RuntimeWarning: overflow"),
        ("forget_the_name", "does not name the file"),
    ],
)
def test_a_reader_that_misbehaves_is_noticed(reader: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "MAX_BYTES", 2**29)
    seconds = 0.5 if reader == "hang" else 10
    with (
        bounded(".png", f"test_fuzz_images:{reader}", seconds=seconds) as read,
        pytest.raises(AssertionError, match=message),
    ):
        read(b"")
