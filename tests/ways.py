"""The ways of tests/test_bad_input.py: each a damage, a command, its exit code, what it says, what it leaves."""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

import damage as d
from damage import CASE, SEG, T2, Damage


def segment(source: str = f"scans/{CASE}", *, model: str = "model", out: str = "out") -> str:
    """The command that segments ``source``."""
    return f"segment {source} -o {out} --model {model} --no-pictures"


SEGMENT = segment()
SEGMENT_ALL = segment("scans")
SLICES = segment("pairs/images", model="model-2d")
PREPARE = "prepare scans -o out"
PREPARE_PAIRS = "prepare pairs -o out"
TASK = "prepare Task01.tar -o out"
EVALUATE = "evaluate masks scans -o out"
TRAIN = "train store -o out --steps 1 --network unet --widths 4,8 --patch 16 16 16 --batch 1 --workers 0"

MASK = (f"{CASE}.json", f"{CASE}.nii.gz")
STORED = ("cases", "cases/*", "store.json")
LONG = "a" * 200
BYTES = os.fsdecode(b"case\xff")
ONE = "pairs/images/1.png"
MASK_OF_ONE = "pairs/masks/1.png"
OTHERS = ("2.json", "2.png")
EVERY = ("1.json", "1.png", *OTHERS)


@dataclass(frozen=True)
class Way:
    """One way to go wrong, or to look wrong and be right.

    ``says``: parts of what is printed. ``leaves``: the files of the folder ``out`` afterwards, ``*`` for any; nothing
    else in the working folder may change. ``during``: a surrounding that holds while the command runs. ``proof`` looks
    at the result.
    """

    name: str
    damage: Damage
    says: tuple[str, ...] = ()
    line: str = SEGMENT
    code: int = 2
    leaves: tuple[str, ...] = ()
    during: Callable[[], AbstractContextManager[Any]] = nullcontext
    proof: Callable[[Path], object] = d.nothing


def accepted(
    name: str,
    damage: Damage,
    *,
    line: str = SEGMENT,
    says: tuple[str, ...] = (),
    leaves: tuple[str, ...] = MASK,
    proof: Callable[[Path], object] = d.nothing,
) -> Way:
    """A way that ends well."""
    return Way(name, damage, says, line, code=0, leaves=leaves, proof=proof)


def mask_lies_on(name: str) -> Callable[[Path], object]:
    """The mask has shape and affine of this file."""

    def proof(work: Path) -> None:
        mask, scan = nib.load(work / f"out/{CASE}.nii.gz"), nib.load(work / name)
        assert mask.shape == scan.shape[:3]
        np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-5)

    return proof


def mask_has_size(name: str, size: tuple[int, int]) -> Callable[[Path], object]:
    """The mask is an image of so many columns and rows."""

    def proof(work: Path) -> None:
        with Image.open(work / "out" / name) as mask:
            assert mask.size == size

    return proof


FOLDERS = (
    Way(
        "empty folder",
        lambda w: (w / "empty").mkdir(),
        ("empty is not a data set", "an empty folder"),
        line=segment("empty"),
    ),
    Way("folder that does not exist", d.nothing, ("nowhere does not exist",), line=segment("nowhere")),
    Way(
        "unknown layout",
        d.write("x/report.pdf", "%PDF"),
        ("x is not a data set or case", "report.pdf", "BraTS cases"),
        line=segment("x"),
    ),
    Way(
        "a single NIfTI file in place of a case",
        d.nothing,
        ("taken alone", "name the case folder"),
        line=segment(T2),
    ),
    Way("gliamap's own store in place of scans", d.nothing, ("store is a prepared data set",), line=segment("store")),
    Way("missing modality", d.remove(T2), (f"case {CASE} lacks t2", "t1, t1c, flair", "add the missing file")),
    Way(
        "missing modality, one case of two",
        d.all_of(d.second_case, d.remove(T2)),
        ("1 of 2 cases failed", f"{CASE}: case {CASE} lacks t2"),
        line=SEGMENT_ALL,
        code=1,
        leaves=("good.json", "good.nii.gz"),
    ),
    Way(
        "a model asked for modalities that no case has",
        d.all_of(*(d.remove(d.t(p)) for p in ("t1", "t1ce"))),
        ("lacks t1, t1c", "choose a model that does not need it"),
        line=SEGMENT_ALL,
    ),
    Way(
        "two cases of one name",
        d.all_of(d.copy(f"scans/{CASE}", f"graded/HGG/{CASE}"), d.copy(f"scans/{CASE}", f"graded/LGG/{CASE}")),
        ("names several cases alike", CASE),
        line=segment("graded"),
    ),
    Way(
        "two masks of one name",
        d.copy("pairs/masks/1.png", "pairs/masks/1.tif"),
        ("several masks of one name", "1.png, 1.tif"),
        line=PREPARE_PAIRS,
    ),
    Way(
        "bad --pattern: names no case",
        d.nothing,
        ("{modality}.nii.gz", "{case}"),
        line=f"{SEGMENT_ALL} --pattern {{modality}}.nii.gz",
    ),
    Way(
        "bad --pattern: unknown placeholder",
        d.nothing,
        ("{colour}",),
        line=f"{SEGMENT_ALL} --pattern {{case}}_{{colour}}.nii.gz",
    ),
    Way(
        "bad --pattern: leaves the folder",
        d.nothing,
        ("..",),
        line=f"{SEGMENT_ALL} --pattern ../{{case}}_{{modality}}.nii.gz",
    ),
    Way(
        "bad --pattern: fits nothing",
        d.nothing,
        ("{case}+{modality}.nii.gz",),
        line=f"{SEGMENT_ALL} --pattern {{case}}+{{modality}}.nii.gz",
    ),
    Way("no masks to train on", d.remove(SEG), ("holds no case with labels", "gliamap segment"), line=PREPARE),
)

FILES = (
    Way("zero-byte file", d.write(T2, ""), (f"{T2} is empty", "copy or download it again")),
    Way(
        "not NIfTI: text",
        d.write(T2, "hello, this is no scan " * 40),
        (f"{T2} is not what its name says", "no gzip content"),
    ),
    Way(
        "not NIfTI: packed text",
        d.edit(T2, lambda _: gzip.compress(b"hello " * 200)),
        (f"{T2} is not a NIfTI file", "no NIfTI header", "dcm2niix"),
    ),
    Way("wrong magic", d.header(magic=b"abc"), (f"{T2} is not a NIfTI file",)),
    Way("truncated gzip", d.cut(T2, 0.7), (f"{T2} is damaged or cut short",)),
    Way("gzip cut before its checksum", d.cut(T2, 0.9995), (f"{T2} is damaged or cut short",)),
    Way("one bit turned in a packed file", d.turn_bit(T2, 0.6), (f"{T2} is damaged or cut short",)),
    Way("gzip bomb: 1 MB that unpacks to 1 GB", d.bomb, (f"{T2} is too large", "1000000000 voxels")),
    accepted("gzip bomb behind a good scan", d.bomb_behind_a_scan),
    Way(
        "plain content in .nii.gz",
        d.edit(T2, gzip.decompress),
        ("not what its name says", "rename it to end in .nii"),
    ),
    Way(
        "header that lies about its size", d.header(dim=[3, 90, 90, 90, 1, 1, 1, 1]), (f"{T2} is damaged or cut short",)
    ),
    Way(
        "huge dimensions",
        d.header(dim=[3, 32000, 32000, 32000, 1, 1, 1, 1]),
        (f"{T2} is too large", "32768000000000 voxels"),
    ),
    Way("a dimension of zero", d.header(dim=[3, 24, 0, 26, 1, 1, 1, 1]), (f"{T2} is not", "24x0x26")),
    Way("a negative dimension", d.header(dim=[3, 24, -28, 26, 1, 1, 1, 1]), (f"{T2} is not",)),
    Way("the header says ninety axes", d.header(dim=[90, 24, 28, 26, 1, 1, 1, 1]), (T2,)),
    Way(
        "4D where 3D is expected",
        d.volume(lambda v: np.stack([v, v], axis=-1)),
        (f"{T2} is not one 3D volume", "24x28x26x2"),
    ),
    Way(
        "2D where 3D is expected",
        d.volume(lambda v: v[..., 9], *map(d.t, d.MODALITIES)),
        ("takes volumes", "a single slice"),
    ),
    Way("colour voxels", d.volume(d.rgb), (f"{T2} does not hold one number per voxel", "colour")),
    Way("complex voxels", d.volume(lambda v: v.astype(np.complex64)), ("one number per voxel", "complex64")),
    Way("a data type that does not exist", d.header(datatype=9999), (f"{T2} is not a NIfTI file",)),
    Way("scaling that is not finite", d.header(scl_slope=2, scl_inter=np.inf), ("how its values are scaled",)),
    Way("voxels said to begin behind the end", d.header(vox_offset=1e30), (f"{T2} is damaged or cut short",)),
    Way(
        "unknown kind of file",
        d.all_of(d.copy(T2, "x/case1_t1.nrrd"), d.copy(T2, "x/case1_t1c.nrrd")),
        ("x is not a data set or case",),
        line=segment("x"),
    ),
    accepted("NaN and infinite voxels", d.volume(d.once(np.nan)), says=("1 voxels that are not finite",)),
    accepted("an image of one value", d.volume(lambda v: np.full_like(v, 7)), says=("t2: every voxel is 7",)),
    accepted("all images are zero", d.volume(np.zeros_like, *map(d.t, d.MODALITIES)), says=("every voxel is 0",)),
    accepted("a mask in place of an image", d.copy(SEG, T2), says=("t2: only the values",)),
    accepted("big-endian", d.big_endian(*map(d.t, d.MODALITIES)), proof=mask_lies_on(T2)),
    accepted("NIfTI-2", d.volume(lambda v: v, *map(d.t, d.MODALITIES), kind=nib.Nifti2Image), proof=mask_lies_on(T2)),
    accepted(
        "MGZ",
        d.as_mgz,
        line="segment mgz -o out --model model --no-pictures --pattern {case}_{modality}.mgz",
        proof=mask_lies_on(T2),
    ),
    accepted("64-bit integers", d.volume(lambda v: v.astype(np.int64))),
    accepted("unsigned 64-bit integers", d.volume(lambda v: v.astype(np.uint64))),
    accepted("64-bit floats", d.volume(lambda v: v.astype(np.float64))),
    accepted("a slope of NaN, meaning none", d.header(scl_slope=np.nan, scl_inter=np.nan)),
    accepted("a slope of zero, meaning none", d.header(scl_slope=0)),
    accepted("a header extension said to be endless", d.extension(2**31 - 16)),
    accepted("a header extension of negative size", d.extension(-16)),
    accepted("bits per voxel that contradict the data type", d.header(bitpix=3)),
)

GRIDS = (
    Way(
        "differing grids",
        d.volume(lambda v: v[..., ::2]),
        ("do not share a voxel grid", "24x28x26", "24x28x13", "--resample-to"),
    ),
    accepted(
        "differing grids with --resample-to",
        d.volume(lambda v: v[..., ::2]),
        line=f"{SEGMENT} --resample-to t2",
        says=("not registered",),
        proof=mask_lies_on(T2),
    ),
    Way(
        "--resample-to a modality that is not there",
        d.nothing,
        ("no modality 'dwi'", "flair, t1, t1c, t2"),
        line=f"{SEGMENT} --resample-to dwi",
    ),
    Way("a shifted origin", d.placed(lambda a: a + np.eye(4, 4, 3) * 5), ("do not share a voxel grid", "origin")),
    Way("spacing of zero", d.placed(lambda a: a * [0, 1, 1, 1]), ("where its voxels lie", "singular")),
    accepted("spacing of zero in pixdim beside a good sform", d.header(pixdim=[1, 0, 0, 0, 1, 1, 1, 1])),
    accepted("negative spacing in pixdim", d.header(pixdim=[1, -6, -6, -6, 1, 1, 1, 1])),
    Way(
        "absurd spacing: light years",
        d.placed(lambda a: a * [1e19, 1e19, 1e19, 1]),
        ("where its voxels lie", "voxels of 6.17e+19"),
    ),
    Way("absurd spacing: atoms", d.placed(lambda a: a * [1e-08, 1e-08, 1e-08, 1]), ("where its voxels lie",)),
    Way("singular affine", d.placed(lambda a: a[:, [0, 0, 2, 3]]), ("where its voxels lie", "singular")),
    Way("an affine of NaN", d.placed(lambda a: a * np.nan), ("where its voxels lie", "not finite")),
    Way(
        "a mask on another grid", d.volume(lambda v: v[..., ::2], SEG), ("do not share a voxel grid", SEG), line=PREPARE
    ),
)

LABELS = (
    accepted(
        "float labels that are integers", d.volume(lambda v: v.astype(np.float64), SEG), line=PREPARE, leaves=STORED
    ),
    Way(
        "labels that are not whole numbers",
        d.volume(d.once(1.5), SEG),
        (f"{SEG} is not a label map", "1.5", "nearest neighbours"),
        line=PREPARE,
    ),
    Way("labels of NaN", d.volume(d.once(np.nan), SEG), (f"{SEG} is not a label map", "nan"), line=PREPARE),
    Way("labels outside the convention", d.volume(d.once(9), SEG), (SEG, "outside", "9"), line=PREPARE),
    Way(
        "labels of another year", d.volume(lambda v: np.where(v == 4, 3, v), SEG), (SEG, "3", "brats2021"), line=PREPARE
    ),
    Way(
        "labels that fit several conventions",
        d.volume(lambda v: np.where(v == 4, 3, v), SEG),
        ("more than one label convention", "--labels"),
        line="prepare scans -o out --pattern {case}/{case}_{modality}.nii.gz",
    ),
    Way("negative labels", d.volume(d.once(-1), SEG), (SEG, "-1"), line=PREPARE),
    Way("an image in place of the mask", d.copy(T2, SEG), (SEG, "outside"), line=PREPARE),
    Way(
        "a label convention that does not exist",
        d.nothing,
        ("brats1999", "brats2021"),
        line=f"{PREPARE} --labels brats1999",
    ),
    Way("labels that the output cannot hold", d.nothing, ("binary", "--lossy"), line=f"{SEGMENT} --labels binary"),
    Way(
        "a prediction on another grid",
        d.volume(lambda v: v[..., ::2], f"masks/{CASE}.nii.gz"),
        (f"masks/{CASE}.nii.gz", "24x28x13"),
        line=EVALUATE,
    ),
    Way(
        "a prediction with labels outside the convention",
        d.volume(d.once(9), f"masks/{CASE}.nii.gz"),
        (f"masks/{CASE}.nii.gz", "9"),
        line=EVALUATE,
    ),
    Way(
        "a damaged prediction", d.cut(f"masks/{CASE}.nii.gz", 0.5), (f"masks/{CASE}.nii.gz is damaged",), line=EVALUATE
    ),
    Way("no prediction at all", d.remove(f"masks/{CASE}.nii.gz"), ("holds no prediction",), line=EVALUATE),
    Way(
        "the file beside a prediction is not JSON",
        d.write(f"masks/{CASE}.json", "{,"),
        (f"masks/{CASE}.json is not valid JSON",),
        line=EVALUATE,
    ),
)

IMAGES = (
    accepted(
        "16-bit PNG",
        d.picture(ONE, lambda i: Image.fromarray(np.asarray(i).astype(np.uint16) * 250)),
        line=SLICES,
        leaves=EVERY,
    ),
    accepted("RGB PNG of three equal channels", d.picture(ONE, lambda i: i.convert("RGB")), line=SLICES, leaves=EVERY),
    Way(
        "RGB PNG in colour",
        d.picture(ONE, d.coloured),
        ("1 of 2 cases failed", f"{ONE} is a colour image", "greyscale"),
        line=SLICES,
        code=1,
        leaves=OTHERS,
    ),
    accepted("palette PNG of greys", d.picture(ONE, d.palette([0, 0, 0, 200, 200, 200])), line=SLICES, leaves=EVERY),
    Way(
        "palette PNG of colours as an image",
        d.picture(ONE, d.palette([0, 0, 0, 255, 0, 0])),
        (f"{ONE} is a colour image",),
        line=SLICES,
        code=1,
        leaves=OTHERS,
    ),
    accepted(
        "palette PNG of colours as a mask",
        d.all_of(*(d.picture(f"pairs/masks/{n}.png", d.palette([0, 0, 0, 255, 0, 0])) for n in (1, 2))),
        line=PREPARE_PAIRS,
        leaves=STORED,
    ),
    Way(
        "RGB mask in colour",
        d.picture(MASK_OF_ONE, d.coloured),
        (f"{MASK_OF_ONE} is a colour image",),
        line=PREPARE_PAIRS,
        code=1,
        leaves=STORED,
    ),
    accepted(
        "a photograph turned by its EXIF data",
        d.turned_by_exif,
        line=SLICES,
        leaves=EVERY,
        proof=mask_has_size("1.png", (33, 26)),
    ),
    Way(
        "partly transparent PNG",
        d.picture(ONE, lambda i: Image.merge("LA", (i, i))),
        (f"{ONE} is partly transparent",),
        line=SLICES,
        code=1,
        leaves=OTHERS,
    ),
    Way("zero-byte image", d.write(ONE, ""), (f"{ONE} is empty",), line=SLICES, code=1, leaves=OTHERS),
    Way("truncated PNG", d.cut(ONE, 0.6), (f"{ONE} is not a readable image",), line=SLICES, code=1, leaves=OTHERS),
    Way(
        "one bit turned in a PNG",
        d.turn_bit(ONE, 0.5),
        (f"{ONE} is not a readable image",),
        line=SLICES,
        code=1,
        leaves=OTHERS,
    ),
    Way(
        "a web page named .png",
        d.write(ONE, "<html>404</html>"),
        (f"{ONE} is not a readable image",),
        line=SLICES,
        code=1,
        leaves=OTHERS,
    ),
    Way(
        "PNG bomb: 60000 x 60000 pixels",
        d.png_bomb(ONE),
        (f"{ONE} is too large", "3600000000 pixels"),
        line=SLICES,
        code=1,
        leaves=OTHERS,
    ),
    Way(
        "a mask image of another size",
        d.picture(MASK_OF_ONE, lambda i: i.resize((20, 20))),
        ("do not share a voxel grid", "20x20"),
        line=PREPARE_PAIRS,
        code=1,
        leaves=STORED,
    ),
    Way(
        "a grey-scale smear in a mask image",
        d.picture(MASK_OF_ONE, lambda i: i.resize((66, 52), Image.Resampling.BILINEAR).resize((33, 26))),
        (MASK_OF_ONE,),
        line=PREPARE_PAIRS,
        code=1,
        leaves=STORED,
    ),
    Way(
        "MATLAB 5 file",
        d.write("cheng/1.mat", b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(500)),
        ("cheng/1.mat is of an older MATLAB format", "-v7.3"),
        line="segment cheng -o out --model model-2d",
    ),
    Way(
        "a model of volumes on a slice",
        d.nothing,
        ("takes volumes", "a single slice"),
        line="segment pairs/images/1.png -o out --model model-t1c",
    ),
)

PLACES = (
    Way("a folder in place of a file", d.instead(T2, Path.mkdir), ("lacks t2",)),
    Way("a dangling link", d.instead(T2, d.link_to("nowhere.nii.gz")), (T2,)),
    Way("a link in a circle", d.instead(T2, d.link_to(Path(T2).name)), (f"{T2} cannot be read", "Too many levels")),
    Way("a file that cannot be read", d.instead(T2, d.link_to("/proc/self/mem")), (f"{T2} cannot be read",)),
    Way("a pipe in place of a file", d.instead(T2, os.mkfifo), (f"{T2} is no file", "a pipe")),
    Way("a device in place of a file", d.instead(T2, d.link_to("/dev/zero")), (f"{T2} is no file", "a device")),
    Way(
        "a pipe in place of an image",
        d.instead(ONE, os.mkfifo),
        (f"{ONE} is no file", "a pipe"),
        line=SLICES,
        code=1,
        leaves=OTHERS,
    ),
    Way("a pipe in place of a mask", d.instead(SEG, os.mkfifo), (f"{SEG} is no file", "a pipe"), line=PREPARE),
    Way("a pipe in place of model.json", d.instead("model/model.json", os.mkfifo), ("model",)),
    accepted(
        "a pipe in place of manifest.csv, passed over",
        d.instead("scans/manifest.csv", os.mkfifo),
        line=PREPARE,
        leaves=STORED,
    ),
    Way(
        "a manifest that is no text",
        d.write("scans/manifest.csv", bytes(range(256))),
        ("scans/manifest.csv",),
        line=PREPARE,
    ),
    Way("folds that are not JSON", d.write("scans/folds.json", "[1,"), ("scans/folds.json",), line=PREPARE),
    Way("output below a file", d.write("file", "mine"), ("file",), line=segment(out="file/out")),
    Way("output that is a file", d.write("file", "mine"), ("file is a file",), line=segment(out="file")),
    Way("read-only output", d.nothing, ("/proc/out cannot be written",), line=segment(out="/proc/out")),
    Way("full disk", d.nothing, ("cannot be written", "No space left on device"), during=d.full_disk),
    Way(
        "full disk while preparing",
        d.nothing,
        ("cannot be written", "No space left on device"),
        line=PREPARE,
        leaves=("cases", "cases/*"),
        during=d.full_disk,
    ),
    Way(
        "full disk while scoring",
        d.nothing,
        ("cannot be written", "No space left on device"),
        line=EVALUATE,
        leaves=(".scored",),  # where scores are kept, for the same command to go on
        during=d.full_disk,
    ),
    Way("disk quota", d.nothing, ("cannot be written", "File too large"), during=d.quota),
    Way(
        "existing output",
        d.write(f"out/{CASE}.nii.gz", "mine"),
        ("are there already", f"out/{CASE}.nii.gz", "--overwrite"),
        leaves=(f"{CASE}.nii.gz",),
    ),
    Way(
        "existing scores",
        d.write("out/scores.csv", "mine"),
        ("out holds scores already", "--overwrite"),
        line=EVALUATE,
        leaves=("scores.csv",),
    ),
    Way(
        "existing store of other settings",
        d.copy("store", "out"),
        ("prepared with other settings", "--overwrite"),
        line=f"{PREPARE} --spacing 2 2 2",
        leaves=("*",),
    ),
    Way(
        "output among the scans",
        d.nothing,
        ("holds the scans or their masks",),
        line=f"segment scans/{CASE} -o scans/{CASE} --model model",
    ),
    accepted(
        "names with spaces",
        d.rename_case("case 1 (of two)"),
        line=SEGMENT_ALL,
        leaves=("case 1 (of two).json", "case 1 (of two).nii.gz"),
    ),
    accepted(
        "names in unicode",
        d.rename_case("пациент-脳-é"),
        line=SEGMENT_ALL,
        leaves=("пациент-脳-é.json", "пациент-脳-é.nii.gz"),
    ),
    accepted(
        "names with a newline",
        d.rename_case("case\n1"),
        line=SEGMENT_ALL,
        says=("case\\n1",),
        leaves=("case\n1.json", "case\n1.nii.gz"),
    ),
    accepted(
        "names that are not UTF-8",
        d.rename_case(BYTES),
        line=SEGMENT_ALL.replace(" --no-pictures", ""),
        says=("case\\udcff",),
        leaves=(f"{BYTES}.json", f"{BYTES}.nii.gz", f"{BYTES}_mosaic.png"),
    ),
    accepted(
        "very long names",
        d.rename_case("c" * 230),
        line=SEGMENT_ALL,
        leaves=("c" * 230 + ".json", "c" * 230 + ".nii.gz"),
    ),
    accepted("very long paths", d.nothing, line=segment(out=f"out/{LONG}/{LONG}/{LONG}"), leaves=("*",)),
    Way(
        "a path too long for the system",
        d.nothing,
        ("cannot be used", "File name too long"),
        line=segment(out=f"{LONG}{LONG}"),
    ),
    Way("a source too long for the system", d.nothing, (LONG,), line=segment(f"{LONG}{LONG}")),
)

MODELS = (
    Way("no model", d.nothing, ("no model at nowhere", "--model"), line=segment(model="nowhere")),
    Way(
        "a checkpoint of another version",
        d.spec(format=2),
        ("model.json does not describe a model of this version", "format", "the gliamap version that wrote it"),
    ),
    Way(
        "a checkpoint with settings of a later version",
        d.spec(attention=True),
        ("not describe a model of this version", "attention"),
    ),
    Way(
        "one byte changed in the weights",
        d.turn_bit("model/weights.safetensors", 0.9),
        ("not the file that model.json describes", "copy the whole model folder again"),
    ),
    Way("truncated weights", d.cut("model/weights.safetensors", 0.5), ("not the file that model.json describes",)),
    Way("no weights", d.remove("model/weights.safetensors"), ("weights.safetensors is missing",)),
    Way(
        "truncated weights without a hash",
        d.all_of(d.spec(weights_sha256=None), d.cut("model/weights.safetensors", 0.5)),
        ("weights.safetensors does not fit",),
    ),
    Way(
        "a pickle in place of the weights",
        d.all_of(d.spec(weights_sha256=None), d.write("model/weights.safetensors", b"\x80\x04\x95" + bytes(500))),
        ("weights.safetensors does not fit",),
    ),
    Way("weights of another network", d.network(widths=[8, 16]), ("weights.safetensors does not fit",)),
    Way("a network larger than any memory", d.network(widths=[2**20, 2**20]), ("weights.safetensors does not fit",)),
    Way("a network that does not exist", d.network(name="transformer9000"), ("transformer9000",)),
    Way("model.json is not JSON", d.write("model/model.json", "{format: 1"), ("model.json is not valid JSON",)),
    Way("model.json is a list", d.write("model/model.json", "[]"), ("model.json does not describe a model",)),
    Way("model.json nested without end", d.write("model/model.json", "[" * 100000), ("model.json is not valid JSON",)),
    Way(
        "a model of brains given a whole head",
        d.copy("head", f"scans/{CASE}-head"),
        ("trained on skull-stripped brains", "a whole head", "--force"),
        line=segment(f"scans/{CASE}-head"),
    ),
    Way(
        "a model of heads given a stripped brain",
        d.nothing,
        ("trained on whole heads", "a skull-stripped brain", "--force"),
        line=segment(model="model-head"),
    ),
    accepted(
        "a model of heads given a stripped brain with --force",
        d.nothing,
        line=segment(model="model-head") + " --force",
        says=("--force",),
    ),
    Way(
        "a model of phantoms given a real scan",
        d.volume(lambda v: v + 1),
        ("trained on phantoms", "train a model on real cases"),
        line=segment(model="model-phantom"),
    ),
    Way(
        "a model of phantoms given a real scan with --force",
        d.volume(lambda v: v + 1),
        ("trained on phantoms",),
        line=segment(model="model-phantom") + " --force",
    ),
    Way("a part of a split without a split", d.nothing, ("no split.json", "--part"), line=f"{SEGMENT} --part test"),
)

STORES = (
    Way(
        "a leaky split",
        d.split(train=["BraTS-GLI-00001-000"], test=["BraTS-GLI-00001-001"]),
        ("the same patients in more than one part", "--leaky"),
        line=TRAIN.replace("store", "store-twice") + " --split split.json",
    ),
    Way(
        "a split that is not JSON",
        d.write("split.json", "train: case1"),
        ("split.json is not valid JSON",),
        line=f"{TRAIN} --split split.json",
    ),
    Way(
        "a split of other cases", d.split(train=["x"], test=["y"]), ("split.json",), line=f"{TRAIN} --split split.json"
    ),
    Way(
        "a store that is not one",
        d.nothing,
        ("scans is not a prepared data set", "gliamap prepare"),
        line=TRAIN.replace("store", "scans"),
    ),
    Way(
        "a store of another version",
        d.write("store/store.json", '{"format": 99}'),
        ("store.json is not a store of this version",),
        line=TRAIN,
    ),
    Way(
        "a truncated array in the store",
        d.cut("store/cases/case1/image.npy", 0.5),
        ("the prepared case case1", "run gliamap prepare again"),
        line=TRAIN,
    ),
    Way(
        "a pickle in the store",
        d.write("store/cases/case1/image.npy", b"\x80\x04\x95" + bytes(500)),
        ("the prepared case case1",),
        line=TRAIN,
    ),
)

ARCHIVES = (
    accepted("a data set in a tar file", d.packed("Task01.tar"), line=TASK, leaves=STORED),
    Way(
        "tar that writes outside (traversal)",
        d.packed("Task01.tar", extra=d.member("../../evil.nii.gz")),
        ("Task01.tar", ".."),
        line=TASK,
    ),
    Way(
        "tar with an absolute name",
        d.packed("Task01.tar", extra=d.member("/etc/evil.nii.gz")),
        ("Task01.tar",),
        line=TASK,
    ),
    Way(
        "tar with a link",
        d.packed(
            "Task01.tar",
            extra=d.member("Task01/imagesTr/BRATS_002.nii.gz", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        ),
        ("Task01.tar", "link"),
        line=TASK,
    ),
    Way(
        "tar whose last member claims more than is there",
        d.packed("Task01.tar", extra=d.size_beyond_the_end),
        ("Task01.tar",),
        line=TASK,
    ),
    Way("tar cut off", d.all_of(d.packed("Task01.tar"), d.cut("Task01.tar", 0.5)), ("Task01.tar",), line=TASK),
    Way("tar that is none", d.write("Task01.tar", "hello" * 999), ("Task01.tar",), line=TASK),
    Way(
        "tar.gz cut off",
        d.all_of(d.packed("Task01.tar.gz"), d.cut("Task01.tar.gz", 0.5)),
        ("Task01.tar.gz is damaged or cut short",),
        line="prepare Task01.tar.gz -o out",
    ),
    Way(
        "dataset.json that is not JSON",
        d.all_of(d.msd, d.write("Task01/dataset.json", "{,")),
        ("dataset.json",),
        line="prepare Task01 -o out",
    ),
    Way(
        "dataset.json that names channels that are not there",
        d.all_of(d.msd, d.edit("Task01/dataset.json", lambda j: j.replace(b'"3": "T2w"', b'"3": "T2w", "4": "DWI"'))),
        ("dataset.json names modalities", "DWI"),
        line="prepare Task01 -o out",
    ),
)

FRONT = (
    Way("nothing to inspect", d.nothing, ("nowhere does not exist",), line="inspect nowhere"),
    Way("an empty folder to check", lambda w: (w / "empty").mkdir(), ("an empty folder",), line="check empty"),
    accepted(
        "inspect: one header of two is damaged",
        d.all_of(d.second_case, d.write(T2, "")),
        line="inspect scans",
        says=("is empty", T2.removeprefix("scans/")),
        leaves=(),
    ),
    Way(
        "check: a damaged file",
        d.cut(T2, 0.7),
        ("FAIL case1", "unreadable: t2: case1_t2.nii.gz is damaged or cut short", "copy or export the file again"),
        line="check scans -o out",
        code=1,
        leaves=("check.html", "check.json"),
    ),
    Way(
        "check: differing grids",
        d.volume(lambda v: v[..., ::2]),
        ("FAIL case1", "grids-differ", "24x28x13", "--resample-to"),
        line="check scans",
        code=1,
    ),
    Way(
        "check: existing report",
        d.write("out/check.html", "mine"),
        ("out", "--overwrite"),
        line="check scans -o out",
        leaves=("check.html",),
    ),
    Way(
        "convert-labels: labels that the target cannot hold",
        d.nothing,
        ("binary", "--lossy"),
        line="convert-labels scans out --to binary",
    ),
    Way(
        "convert-labels: a damaged mask",
        d.cut(SEG, 0.5),
        (f"{SEG} is damaged or cut short",),
        line="convert-labels scans out --to msd",
    ),
    Way(
        "export-dataset: a damaged image",
        d.cut(T2, 0.5),
        (f"{T2} is damaged or cut short",),
        line="export-dataset scans out --to msd",
    ),
    Way(
        "split: too few patients for the folds",
        d.nothing,
        ("folds",),
        line="split scans -o out/split.json --folds 5",
    ),
)

WAYS = (*FOLDERS, *FILES, *GRIDS, *LABELS, *IMAGES, *PLACES, *MODELS, *STORES, *ARCHIVES, *FRONT)
