"""Ways to damage the files of tests/test_bad_input.py: each function changes the folder that it is given."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import resource
import shutil
import signal
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Damage = Callable[[Path], object]

CASE = "case1"
T2 = f"scans/{CASE}/{CASE}_t2.nii.gz"
SEG = f"scans/{CASE}/{CASE}_seg.nii.gz"
MODALITIES = ("t1", "t1ce", "t2", "flair")


def t(part: str) -> str:
    """The file of a modality, as the layout names it."""
    return f"scans/{CASE}/{CASE}_{part}.nii.gz"


def nothing(_: Path) -> None:
    """No damage: the command itself is what is wrong."""


def all_of(*damages: Damage) -> Damage:
    """Several, one after the other."""

    def act(work: Path) -> None:
        for damage in damages:
            damage(work)

    return act


# Bytes


def write(name: str, content: bytes | str) -> Damage:
    """Put ``content`` into a file."""

    def act(work: Path) -> None:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return act


def edit(name: str, change: Callable[[bytes], bytes]) -> Damage:
    """Change the bytes of a file."""
    return lambda work: (work / name).write_bytes(change((work / name).read_bytes()))


def cut(name: str, keep: float) -> Damage:
    """Keep the first share of a file."""
    return edit(name, lambda data: data[: int(len(data) * keep)])


def turn_bit(name: str, at: float) -> Damage:
    """Turn a bit at a share of a file."""

    def change(data: bytes) -> bytes:
        place = min(len(data) - 1, int(len(data) * at))
        return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]

    return edit(name, change)


# NIfTI


def header(name: str = T2, **fields: Any) -> Damage:
    """Set fields of a packed NIfTI-1 header."""

    def change(packed: bytes) -> bytes:
        data = gzip.decompress(packed)
        head = nib.Nifti1Header(data[:348], check=False)
        for field, value in fields.items():
            head[field] = value
        return gzip.compress(head.binaryblock + data[348:], mtime=0)

    return edit(name, change)


def volume(change: Callable[[NDArray[Any]], NDArray[Any]], *names: str, kind: Any = nib.Nifti1Image) -> Damage:
    """Change the voxels of files, which take the type of the result."""

    def act(work: Path) -> None:
        for name in names or (T2,):
            image = nib.Nifti1Image.from_filename(work / name)
            data = change(np.asarray(image.dataobj))
            kind(data, image.affine, dtype=data.dtype).to_filename(work / name)

    return act


def placed(affine: Callable[[NDArray[Any]], NDArray[Any]], *names: str) -> Damage:
    """Change the sform of files; the qform is unset, so that it holds no other truth."""

    def act(work: Path) -> None:
        for name in names or (T2,):
            data = gzip.decompress((work / name).read_bytes())
            head = nib.Nifti1Header(data[:348], check=False)
            new = affine(head.get_best_affine())
            head["qform_code"], head["sform_code"] = 0, 1
            head["srow_x"], head["srow_y"], head["srow_z"] = new[:3]
            (work / name).write_bytes(gzip.compress(head.binaryblock + data[348:], mtime=0))

    return act


def big_endian(*names: str) -> Damage:
    """Swap the bytes of files."""

    def act(work: Path) -> None:
        for name in names:
            image = nib.Nifti1Image.from_filename(work / name)
            swapped = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header.as_byteswapped(">"))
            swapped.to_filename(work / name)

    return act


def as_mgz(work: Path) -> None:
    """The case as ``mgz/case1_t1.mgz`` and so on."""
    (work / "mgz").mkdir()
    for part in MODALITIES:
        image = nib.Nifti1Image.from_filename(work / t(part))
        data = np.asarray(image.dataobj).astype(np.float32)
        nib.MGHImage(data, image.affine).to_filename(work / "mgz" / f"{CASE}_{part}.mgz")


def bomb(work: Path) -> None:
    """A file of one megabyte that unpacks to a gigabyte, as its header says: one packed block of zeros, many times."""
    head = nib.Nifti1Header()
    head.set_data_dtype(np.uint8)
    head.set_data_shape((1000, 1000, 1000))
    head["magic"], head["vox_offset"] = b"n+1", 352
    head.set_sform(np.eye(4), 1)
    block = gzip.compress(bytes(2**24), mtime=0)
    (work / T2).write_bytes(gzip.compress(head.binaryblock + bytes(4), mtime=0) + 60 * block)


def bomb_behind_a_scan(work: Path) -> None:
    """The scan itself, then a gigabyte of zeros in the same packed file."""
    edit(T2, lambda data: data + 60 * gzip.compress(bytes(2**24), mtime=0))(work)


def extension(size: int) -> Damage:
    """A NIfTI header extension of a stated ``size`` that is not there."""

    def change(packed: bytes) -> bytes:
        data = gzip.decompress(packed)
        return gzip.compress(data[:348] + b"\1\0\0\0" + struct.pack("<ii", size, 6) + data[352:], mtime=0)

    return edit(T2, change)


def rgb(data: NDArray[Any]) -> NDArray[Any]:
    """Colour voxels."""
    out = np.zeros(data.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    out["R"] = data % 250
    return out


def once(value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Set one voxel, in float32."""

    def change(data: NDArray[Any]) -> NDArray[Any]:
        out = data.astype(np.float32)
        out[3, 4, 5] = value
        return out

    return change


# Images


def picture(name: str, change: Callable[[Image.Image], Image.Image], **options: Any) -> Damage:
    """Change an image and save it anew."""

    def act(work: Path) -> None:
        with Image.open(work / name) as image:
            image.load()
        change(image).save(work / name, **options)

    return act


def coloured(image: Image.Image) -> Image.Image:
    """An image whose channels differ."""
    grey = np.asarray(image.convert("L"))
    return Image.fromarray(np.stack([grey, 255 - grey, grey // 2], axis=-1))


def palette(colours: list[int]) -> Callable[[Image.Image], Image.Image]:
    """An image of indices into ``colours``."""

    def change(image: Image.Image) -> Image.Image:
        out = Image.fromarray((np.asarray(image.convert("L")) > 100).astype(np.uint8))
        out.putpalette(colours)
        return out

    return change


def turned_by_exif(work: Path) -> None:
    """A photograph on its side, which says so in its EXIF data; its mask stands upright."""
    with Image.open(work / "pairs/images/1.png") as image:
        lying = image.convert("L").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[274] = 6  # to be shown turned by 90 degrees clockwise
    lying.save(work / "pairs/images/1.jpg", exif=exif, quality=100)
    (work / "pairs/images/1.png").unlink()


def png_bomb(name: str) -> Damage:
    """A PNG header of 60000 x 60000 pixels, all zero."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0))
    return write(name, b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(2**20))) + chunk(b"IEND", b""))


# Folders, links and what is no file


def remove(name: str) -> Damage:
    """Delete a file."""
    return lambda work: (work / name).unlink()


def instead(name: str, make: Callable[[Path], object]) -> Damage:
    """Something else in place of a file."""

    def act(work: Path) -> None:
        (work / name).unlink(missing_ok=True)
        make(work / name)

    return act


def link_to(target: str) -> Callable[[Path], object]:
    """A symbolic link."""
    return lambda path: path.symlink_to(target)


def copy(source: str, target: str) -> Damage:
    """Copy a file or folder."""

    def act(work: Path) -> None:
        (work / target).parent.mkdir(parents=True, exist_ok=True)
        if (work / source).is_dir():
            shutil.copytree(work / source, work / target)
        else:
            shutil.copyfile(work / source, work / target)

    return act


def rename_case(name: str) -> Damage:
    """The case, and its folder and files, under another name."""

    def act(work: Path) -> None:
        folder = work / "scans" / name
        (work / "scans" / CASE).rename(folder)
        for path in list(folder.iterdir()):
            path.rename(folder / path.name.replace(CASE, name))

    return act


def second_case(work: Path) -> None:
    """A second, good case: ``good``."""
    copy(f"scans/{CASE}", "scans/good")(work)
    for path in list((work / "scans/good").iterdir()):
        path.rename(path.with_name(path.name.replace(CASE, "good")))


# Models, splits, archives


def spec(**fields: Any) -> Damage:
    """Set fields of ``model/model.json``."""

    def act(work: Path) -> None:
        path = work / "model/model.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return act


def network(**fields: Any) -> Damage:
    """Set fields of the network in ``model/model.json``."""

    def act(work: Path) -> None:
        own = json.loads((work / "model/model.json").read_text())["network"]
        spec(network=own | fields)(work)

    return act


def split(**parts: list[str]) -> Damage:
    """A ``split.json`` of these parts."""

    def act(work: Path) -> None:
        content = {"train": [], "val": [], "test": [], "seed": 0} | parts
        (work / "split.json").write_text(json.dumps(content))

    return act


def msd(work: Path) -> None:
    """A Decathlon task ``Task01`` of one case, as a folder."""
    task = work / "Task01"
    (task / "imagesTr").mkdir(parents=True)
    (task / "labelsTr").mkdir()
    images = [nib.Nifti1Image.from_filename(work / t(part)) for part in ("flair", "t1", "t1ce", "t2")]
    stacked = np.stack([np.asarray(image.dataobj) for image in images], axis=-1)
    nib.Nifti1Image(stacked, images[0].affine).to_filename(task / "imagesTr/BRATS_001.nii.gz")
    seg = np.asarray(nib.Nifti1Image.from_filename(work / SEG).dataobj)
    values = np.array([0, 2, 1, 0, 3], np.uint8)[seg]
    nib.Nifti1Image(values, images[0].affine).to_filename(task / "labelsTr/BRATS_001.nii.gz")
    description = {
        "name": "BRATS",
        "tensorImageSize": "4D",
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
        "training": [{"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}],
        "test": [],
    }
    (task / "dataset.json").write_text(json.dumps(description))


def packed(name: str, *, extra: Callable[[tarfile.TarFile], object] | None = None) -> Damage:
    """The Decathlon task in a tar file; ``extra`` adds members."""

    def act(work: Path) -> None:
        msd(work)
        with tarfile.open(work / name, "w:gz" if name.endswith("gz") else "w") as tar:
            tar.add(work / "Task01", "Task01")
            if extra is not None:
                extra(tar)
        shutil.rmtree(work / "Task01")

    return act


def member(name: str, **fields: Any) -> Callable[[tarfile.TarFile], object]:
    """A small member of a tar file, with fields of its header set."""

    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        content = b"" if fields.get("type") in (tarfile.SYMTYPE, tarfile.LNKTYPE) else b"text"
        info.size = len(content)
        for field, value in fields.items():
            setattr(info, field, value)
        tar.addfile(info, io.BytesIO(content))

    return add


def size_beyond_the_end(tar: tarfile.TarFile) -> None:
    """A last member that claims a gigabyte and brings one block."""
    info = tarfile.TarInfo("Task01/imagesTr/BRATS_002.nii.gz")
    info.size = 2**30
    assert tar.fileobj is not None
    tar.fileobj.write(info.tobuf() + bytes(512))
    tar.offset += 1024


# The surroundings


class _FullDisk(io.FileIO):
    """A file on a disk without room."""

    def write(self, _: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Hang(BaseException):
    """A command took too long; nothing that it catches."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """:class:`Hang` in what runs longer, even where it waits for the system."""

    def stop(*_: Any) -> None:
        raise Hang(f"no answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def full_disk() -> Iterator[None]:
    """Nothing that is written finds room."""
    honest = Path.open

    def open_(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if not set(mode) & set("wax"):
            return honest(path, mode, *args, **options)
        raw = io.BufferedWriter(_FullDisk(path, "w"), 16)
        return raw if "b" in mode else io.TextIOWrapper(raw)

    with mock.patch.object(Path, "open", open_):
        yield


@contextmanager
def quota(most_bytes: int = 200) -> Iterator[None]:
    """No file may grow beyond a few bytes: the writer is stopped in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
