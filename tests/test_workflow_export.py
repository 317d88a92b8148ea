"""Data sets in other people's layouts, read back by our own sources: voxels, grids, tissues and patients stay."""

from __future__ import annotations

import csv
import json
import os
import resource
import tarfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import make
from gliamap.case import Case, DataSet
from gliamap.cli.app import app
from gliamap.errors import ConfigError, LabelError, LayoutError, OutputError
from gliamap.io.cases import read_case
from gliamap.labels import CONVENTIONS, get_convention
from gliamap.sources.detect import scan
from gliamap.sources.splits import Split, write_split
from gliamap.workflows.data.export import Exported, export_dataset
from gliamap.workflows.data.export_layouts import EXPORT_LAYOUTS, nnunet_labels
from gliamap.workflows.data.export_plan import ExportOptions
from tiny import files_in

VOLUMES = ("nnunet", "msd", "brats21", "brats23")
READ_AS = {"nnunet": "nnunet", "msd": "msd", "brats21": "brats", "brats23": "brats"}


def options(**changes: object) -> ExportOptions:
    return ExportOptions.model_validate(changes)


def write_set(root: Path, convention: str = "brats2021") -> Path:
    """A labelled case of each kind of grid, and one without a mask."""
    make.write_brats_set(root, convention=convention)
    name = {"brats2021": "BraTS2021_00009", "brats2023": "BraTS-GLI-00001-001"}[convention]  # a second visit
    folder = make.write_brats(root, make.case("oblique", seed=9, case_id=name), convention=convention)
    next(folder.glob("*seg.nii.gz")).unlink()
    return root


def write_table(root: Path) -> Path:
    """``root`` with a manifest that gives two cases one patient."""
    names = sorted(folder.name for folder in root.iterdir())
    rows = "".join(f"{name},{'P' if at < 2 else name}\n" for at, name in enumerate(names))
    (root / "manifest.csv").write_text("case,patient\n" + rows)
    return root


def read_all(data: DataSet, labels: str | None = None) -> dict[str, Case]:
    return {
        files.case_id: read_case(files, modalities=tuple(sorted(files.modalities)), convention=labels)
        for files in data.cases
    }


def assert_same(before: DataSet, after: DataSet, *, labels: str | None = None) -> None:
    ours, theirs = read_all(before, labels), read_all(after)
    assert ours.keys() == theirs.keys()
    for name, case in ours.items():
        other = theirs[name]
        assert other.modalities == case.modalities
        np.testing.assert_array_equal(other.image, case.image)
        np.testing.assert_array_equal(other.grid.affine, case.grid.affine)
        assert (other.labels is None) == (case.labels is None)
        if case.labels is not None:
            np.testing.assert_array_equal(other.labels, case.labels)
    patients = [{c.case_id: c.identity.patient_id for c in data.cases} for data in (before, after)]
    assert patients[0] == patients[1]
    assert after.patients_known == before.patients_known


@pytest.mark.parametrize("to", VOLUMES)
@pytest.mark.parametrize("convention", ["brats2021", "brats2023"])
def test_what_is_exported_is_read_back_the_same(convention: str, to: str, tmp_path: Path) -> None:
    source = write_table(write_set(tmp_path / "set", convention))
    done = export_dataset(source, tmp_path / "out", to=to)
    assert done.failed == {} and done.reused == 0
    back = scan(done.root)
    assert back.layout == READ_AS[to]
    assert_same(scan(source), back)


@pytest.mark.parametrize("to", VOLUMES)
@pytest.mark.parametrize("through", VOLUMES)
def test_every_layout_is_exported_to_every_other(through: str, to: str, tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")
    first = export_dataset(source, tmp_path / "first", to=through)
    second = export_dataset(first.root, tmp_path / "second", to=to)
    before, after = read_all(scan(source)), read_all(scan(second.root))
    for name, case in before.items():
        np.testing.assert_array_equal(after[name].image, case.image)
        np.testing.assert_array_equal(after[name].grid.affine, case.grid.affine)
        assert case.labels is None or np.array_equal(after[name].labels, case.labels)


SOURCES: dict[str, tuple[Callable[[Path], Path], dict[str, str]]] = {
    "msd": (make.write_msd, {}),
    "nnunet": (make.write_nnunet, {}),
    "bids": (make.write_bids, {}),
    "pattern": (make.write_named, {"pattern": "{patient}/{modality} {case}.nii.gz", "labels": "msd"}),
    "pairs": (make.write_pairs, {}),
    "cheng": (make.write_cheng, {}),
    "lgg": (make.write_lgg, {}),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_goes_to_nnunet_and_back(name: str, tmp_path: Path) -> None:
    write, told = SOURCES[name]
    write(tmp_path / "set")
    before = scan(tmp_path / "set", told.get("pattern"))
    done = export_dataset(tmp_path / "set", tmp_path / "out", to="nnunet", options=options(**told))
    assert done.failed == {}
    assert_same(before, scan(done.root), labels=told.get("labels"))


@pytest.mark.parametrize("packed", [False, True])
def test_a_set_in_an_archive_is_exported_as_it_lies(packed: bool, tmp_path: Path) -> None:
    first = export_dataset(write_set(tmp_path / "set"), tmp_path / "brats", to="brats21")
    archive = tmp_path / ("set.tar.gz" if packed else "set.tar")
    with tarfile.open(archive, "w:gz" if packed else "w") as tar:
        tar.add(first.root, "set")
    done = export_dataset(archive, tmp_path / "out", to="brats23")
    assert_same(scan(first.root), scan(done.root))
    assert export_dataset(archive, tmp_path / "out", to="brats23").reused == 4


def test_mgz_becomes_nifti_on_the_same_grid(tmp_path: Path) -> None:
    folder = make.write_brats(tmp_path / "nifti", make.case("oblique", case_id="A"))
    for path in folder.iterdir():
        image = nib.load(path)
        modality = path.name.removeprefix("A_").removesuffix(".nii.gz")
        (tmp_path / "set").mkdir(exist_ok=True)
        nib.MGHImage(np.asarray(image.dataobj), image.affine).to_filename(tmp_path / "set" / f"A_{modality}.mgz")
    pattern = "{case}_{modality}.mgz"
    before = scan(tmp_path / "set", pattern)
    for to in VOLUMES:
        wanted = options(pattern=pattern, labels="brats2021")
        done = export_dataset(tmp_path / "set", tmp_path / to, to=to, options=wanted)
        after, ours = read_all(scan(done.root))["A"], read_case(before.cases[0], convention="brats2021")
        assert after.modalities == tuple(sorted(ours.modalities))
        for name, image in zip(ours.modalities, ours.image, strict=True):
            np.testing.assert_array_equal(after.image[after.modalities.index(name)], image)
        np.testing.assert_allclose(after.grid.affine, ours.grid.affine, atol=1e-4)
        np.testing.assert_array_equal(after.labels, ours.labels)


def test_names_and_values_by_eye(tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")
    for to in VOLUMES:
        export_dataset(source, tmp_path / to, to=to, options=options(name="Glioma", id=42))
    nnunet = tmp_path / "nnunet" / "Dataset042_Glioma"
    files = files_in(nnunet)
    assert {"imagesTr/BraTS2021_00000_0000.nii.gz", "imagesTr/BraTS2021_00002_0003.nii.gz"} <= set(files)
    assert {"labelsTr/BraTS2021_00001.nii.gz", "imagesTs/BraTS2021_00009_0002.nii.gz"} <= set(files)
    assert len(files) == 16 + 3 + 3 + 3  # images, masks, folders; description, manifest, record
    assert {"msd/imagesTs/BraTS2021_00009.nii.gz", "msd/labelsTr/BraTS2021_00000.nii.gz"} <= set(files_in(tmp_path))
    assert "brats21/BraTS2021_00001/BraTS2021_00001_t1ce.nii.gz" in files_in(tmp_path)
    assert "brats23/BraTS2021_00001/BraTS2021_00001-t2f.nii.gz" in files_in(tmp_path)
    here = "BraTS2021_00001"
    truth = nib.load(source / here / f"{here}_seg.nii.gz").get_fdata()
    masks = {
        "msd": (nnunet / "labelsTr" / f"{here}.nii.gz", [0, 2, 1, 0, 3]),
        "also msd": (tmp_path / "msd" / "labelsTr" / f"{here}.nii.gz", [0, 2, 1, 0, 3]),
        "brats2023": (tmp_path / "brats23" / here / f"{here}-seg.nii.gz", [0, 1, 2, 0, 3]),
    }
    for path, table in masks.values():
        values = np.asarray(nib.load(path).dataobj)
        assert values.dtype == np.uint8
        np.testing.assert_array_equal(values, np.array(table)[truth.astype(int)])
    t2 = nib.load(source / here / f"{here}_t2.nii.gz")
    stacked = nib.load(tmp_path / "msd" / "imagesTr" / f"{here}.nii.gz")
    assert stacked.shape == (*t2.shape, 4) and stacked.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asarray(stacked.dataobj)[..., 3], np.asarray(t2.dataobj))
    np.testing.assert_array_equal(stacked.affine, t2.affine)


def test_descriptions_by_eye(tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")
    nnunet = export_dataset(source, tmp_path / "nnunet", to="nnunet", options=options(name="Glioma"))
    assert json.loads((nnunet.root / "dataset.json").read_text()) == {
        "channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"},
        "labels": {"background": 0, "whole tumour": [1, 2, 3], "tumour core": [2, 3], "enhancing tumour": 3},
        "regions_class_order": [1, 2, 3],
        "numTraining": 3,
        "file_ending": ".nii.gz",
        "name": "Glioma",
    }
    msd = json.loads((export_dataset(source, tmp_path / "msd", to="msd").root / "dataset.json").read_text())
    assert msd["modality"] == {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    assert msd["labels"]["1"] == "edema" and msd["labels"]["3"] == "enhancing tumour"
    assert (msd["numTraining"], msd["numTest"], msd["test"]) == (3, 1, ["./imagesTs/BraTS2021_00009.nii.gz"])
    assert msd["training"][0] == {
        "image": "./imagesTr/BraTS2021_00000.nii.gz",
        "label": "./labelsTr/BraTS2021_00000.nii.gz",
    }


def drawn(labels: dict[str, object], order: list[int], present: int) -> int:
    """The label that nnU-Net draws where the regions of ``present`` are predicted: later ones over earlier ones."""
    out = 0
    for values, label in zip([v for v in labels.values() if v != 0], order, strict=True):
        if present in (values if isinstance(values, list) else [values]):
            out = label
    return out


@pytest.mark.parametrize("name", EXPORT_LAYOUTS["nnunet"].conventions)
def test_regions_drawn_in_nnunets_order_give_every_label_back(name: str) -> None:
    convention = get_convention(name)
    said = nnunet_labels(convention)
    assert sorted(convention.values) == list(range(1, len(convention.values) + 1))  # consecutive
    order = said.get("regions_class_order", [v for v in said["labels"].values() if v != 0])
    for value in convention.values:
        assert drawn(said["labels"], order, value) == value
    assert ("regions_class_order" in said) == (name in ("msd", "brats2024", "brats2012"))


def test_every_tissue_has_a_place_in_nnunet() -> None:
    for convention in CONVENTIONS.values():
        fitting = [
            n for n in EXPORT_LAYOUTS["nnunet"].conventions if set(convention.tissues) <= set(CONVENTIONS[n].tissues)
        ]
        assert fitting, convention.name


def write_odd_types(root: Path, scalings: list[tuple[float, float]], types: list[type]) -> Path:
    """One case, each modality with a type and a scaling of its own."""
    folder = root / "A"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, scaling, kind in zip(("t1", "t1ce", "t2", "flair"), scalings, types, strict=True):
        raw = rng.integers(0, 200, (4, 5, 6)).astype(kind)
        image = nib.Nifti1Image(raw, make.affine("flipped"))
        image.header.set_qform(make.affine("flipped"), code=2)
        image.header["descrip"] = b"as scanned"
        path = folder / f"A_{name}.nii"
        image.to_filename(path)
        blob = bytearray(path.read_bytes())
        blob[112:120] = np.array(scaling, "<f4").tobytes()  # nibabel would scale the voxels instead
        path.write_bytes(blob)
    return root


@pytest.mark.parametrize(
    ("scalings", "types", "stacked"),
    [
        ([(1, 0)] * 4, [np.uint8, np.int16, np.uint8, np.uint8], np.int16),
        ([(1, 0)] * 4, [np.uint16, np.int16, np.uint8, np.uint8], np.int32),
        ([(1, 0)] * 4, [np.float32, np.int16, np.uint8, np.uint8], np.float32),
        ([(0.37, 1.5)] * 4, [np.uint8] * 4, np.uint8),
        ([(0.37, 1.5), (0.21, 0), (1, 0), (1, 0)], [np.uint8] * 4, np.float32),
        ([(0.37, 1.5)] * 4, [np.uint8, np.int16, np.uint8, np.uint8], np.float32),
    ],
)
def test_types_and_scalings_lose_nothing(
    scalings: list[tuple[float, float]], types: list[type], stacked: type, tmp_path: Path
) -> None:
    source = write_odd_types(tmp_path / "set", scalings, types)
    msd = export_dataset(source, tmp_path / "msd", to="msd")
    assert nib.load(tmp_path / "msd" / "imagesTs" / "A.nii.gz").get_data_dtype() == stacked
    apart = export_dataset(msd.root, tmp_path / "brats", to="brats21")
    t2 = nib.load(tmp_path / "brats" / "A" / "A_t2.nii.gz")
    assert t2.get_data_dtype() == stacked and t2.shape == (4, 5, 6)
    assert t2.header["qform_code"] == 2
    before = read_all(scan(source))["A"]
    for root in (msd.root, apart.root):
        after = read_all(scan(root))["A"]
        np.testing.assert_array_equal(after.image, before.image)
        np.testing.assert_array_equal(after.grid.affine, before.grid.affine)


def test_files_are_copied_byte_for_byte(tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")
    done = export_dataset(source, tmp_path / "out", to="brats23")
    for ours, theirs in (("_t1ce", "-t1c"), ("_flair", "-t2f")):
        before = source / "BraTS2021_00001" / f"BraTS2021_00001{ours}.nii.gz"
        assert (done.root / "BraTS2021_00001" / f"BraTS2021_00001{theirs}.nii.gz").read_bytes() == before.read_bytes()
    plain = write_odd_types(tmp_path / "plain", [(0.5, 0)] * 4, [np.uint8] * 4)
    export_dataset(plain, tmp_path / "packed", to="brats21")
    assert nib.load(tmp_path / "packed" / "A" / "A_t1.nii.gz").header["descrip"] == b"as scanned"


@pytest.mark.parametrize("values", [255, 4096])
def test_slices_become_an_nnunet_set_of_png(values: int, tmp_path: Path) -> None:
    source = make.write_pairs(tmp_path / "set")
    if values > 255:
        wide = np.arange(33 * 26, dtype=np.uint16).reshape(26, 33) * 4
        Image.fromarray(wide).save(source / "images" / "1.png")
    done = export_dataset(source, tmp_path / "out", to="nnunet", options=options(name="Slices"))
    assert done.failed == {}
    said = json.loads((done.root / "dataset.json").read_text())
    assert said["labels"] == {"background": 0, "tumour": 1} and said["file_ending"] == ".png"
    assert said["channel_names"] == {"0": "T1ce"} and said["overwrite_image_reader_writer"] == "NaturalImage2DIO"
    assert "regions_class_order" not in said
    assert set(np.unique(np.asarray(Image.open(done.root / "labelsTr" / "2.png")))) == {0, 1}
    assert_same(scan(source), scan(done.root))
    for to in ("msd", "brats21", "brats23"):
        with pytest.raises(ConfigError, match=r"no place for 2D images.*--to nnunet"):
            export_dataset(source, tmp_path / to, to=to)
    assert not any((tmp_path / to).exists() for to in ("msd", "brats21", "brats23"))


def test_a_split_makes_parts_and_a_fold(tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")
    names = [f"BraTS2021_{n:05d}" for n in (0, 1, 2, 9)]
    write_split(tmp_path / "split.json", Split(train=(names[0],), val=(names[1],), test=(names[2],), seed=0))
    chosen = options(split=tmp_path / "split.json", name="Glioma")
    done = export_dataset(source, tmp_path / "out", to="nnunet", options=chosen)
    assert done.contents.train == tuple(names[:2]) and done.contents.test == (names[2],)
    assert done.notes == ("1 cases are in no part of the split and were left out",)
    assert json.loads((done.root / "splits_final.json").read_text()) == [{"train": [names[0]], "val": [names[1]]}]
    assert (done.root / "labelsTs" / f"{names[2]}.nii.gz").is_file()
    assert json.loads((done.root / "dataset.json").read_text())["numTraining"] == 2
    back = read_all(scan(done.root))
    assert back.keys() == set(names[:3]) and all(case.labels is not None for case in back.values())
    with pytest.raises(ConfigError, match="has no parts"):
        export_dataset(source, tmp_path / "b", to="brats21", options=chosen)
    write_split(tmp_path / "split.json", Split(train=(names[3],), val=(), test=(), seed=0))
    with pytest.raises(ConfigError, match=r"for training and have no mask.*BraTS2021_00009"):
        export_dataset(source, tmp_path / "b", to="nnunet", options=chosen)
    write_split(tmp_path / "split.json", Split(train=("Z",), val=(), test=(), seed=0))
    with pytest.raises(ConfigError, match=r"lacks 1 cases of the split.*Z"):
        export_dataset(source, tmp_path / "b", to="nnunet", options=chosen)
    assert not (tmp_path / "b").exists()


def test_patients_folds_and_exclusions_go_along(tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")
    (source / "manifest.csv").write_text(
        "case,patient,fold,exclude_from_train_when_test_fold\n"
        "BraTS2021_00000,P,0,1;2\nBraTS2021_00001,P,0,\nBraTS2021_00002,Q,1,\nBraTS2021_00009,Q,1,0\n"
    )
    done = export_dataset(source, tmp_path / "out", to="msd")
    before, after = ([case.identity for case in scan(root).cases] for root in (source, done.root))
    assert before == after
    with (done.root / "manifest.csv").open() as stream:
        assert next(csv.DictReader(stream)) == {
            "case": "BraTS2021_00000",
            "patient": "P",
            "fold": "0",
            "exclude_from_train_when_test_fold": "1;2",
        }


def test_a_case_that_fails_is_listed_and_leaves_nothing(tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")
    (source / "BraTS2021_00000" / "BraTS2021_00000_t2.nii.gz").unlink()
    (source / "BraTS2021_00002" / "BraTS2021_00002_seg.nii.gz").write_bytes(b"\x1f\x8b")
    done = export_dataset(source, tmp_path / "out", to="brats23")
    assert "lacks t2" in done.failed["BraTS2021_00000"] and "_seg.nii.gz" in done.failed["BraTS2021_00002"]
    assert [c.case_id for c in scan(done.root).cases] == ["BraTS2021_00001", "BraTS2021_00009"]
    assert not list(done.root.glob("BraTS2021_00000*")) and not list(done.root.glob(".part*"))


def test_a_case_that_fails_later_does_not_leave_its_old_files(tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")
    done = export_dataset(source, tmp_path / "out", to="nnunet")
    (source / "BraTS2021_00001" / "BraTS2021_00001_t2.nii.gz").write_bytes(b"\x1f\x8b")
    (done.root / ".part-killed" / "imagesTr").mkdir(parents=True)  # what a killed export leaves is passed over
    (done.root / ".part-killed" / "imagesTr" / "a.nii.gz").write_bytes(b"")
    again = export_dataset(source, tmp_path / "out", to="nnunet")
    assert list(again.failed) == ["BraTS2021_00001"] and again.reused == 3
    assert not list(done.root.glob("*/BraTS2021_00001*"))
    assert json.loads((done.root / "dataset.json").read_text())["numTraining"] == 2


def test_where_nothing_can_be_exported_nothing_is_left(tmp_path: Path) -> None:
    make.write_brats(tmp_path / "one", make.case("plain", case_id="A"))
    (tmp_path / "one" / "A" / "A_t1.nii.gz").unlink()
    with pytest.raises(LayoutError, match="lacks t1"):
        export_dataset(tmp_path / "one", tmp_path / "out" / "deep", to="msd")
    make.write_brats(tmp_path / "one", make.case("plain", case_id="B"))
    (tmp_path / "one" / "B" / "B_t1.nii.gz").unlink()
    with pytest.raises(LayoutError, match="none of the 2 cases could be exported"):
        export_dataset(tmp_path / "one", tmp_path / "out" / "deep", to="msd")
    assert not (tmp_path / "out").exists()


def test_an_interrupted_export_goes_on(tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")

    def stop(done: int, total: int, name: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_dataset(source, tmp_path / "out", to="msd", progress=stop)
    assert not (tmp_path / "out" / "dataset.json").exists()
    (tmp_path / "out" / "labelsTr" / "BraTS2021_00001.nii.gz").unlink()  # as if it had stopped between two files
    done = export_dataset(source, tmp_path / "out", to="msd")
    assert done.reused == 1
    assert_same_images(source, done)
    assert export_dataset(source, tmp_path / "out", to="msd").reused == 4
    os.utime(source / "BraTS2021_00002" / "BraTS2021_00002_t1.nii.gz", ns=(2**62, 2**62))
    assert export_dataset(source, tmp_path / "out", to="msd").reused == 3


def assert_same_images(source: Path, done: Exported) -> None:
    before, after = read_all(scan(source)), read_all(scan(done.root))
    assert all(np.array_equal(after[name].image, case.image) for name, case in before.items())


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")
    done = export_dataset(source, tmp_path / "out", to="nnunet", options=options(name="A"))
    with pytest.raises(OutputError, match=r"exported with other settings.*lossy False.*lossy True.*--overwrite"):
        export_dataset(source, tmp_path / "out", to="nnunet", options=options(name="A", lossy=True))
    again = export_dataset(source, tmp_path / "out", to="nnunet", options=options(name="A", lossy=True, overwrite=True))
    assert again.reused == 0
    with pytest.raises(OutputError, match=r"a data set of this number.*Dataset500_A.*--id"):
        export_dataset(source, tmp_path / "out", to="nnunet", options=options(name="B"))
    (done.root / "labelsTr" / "old.nii.gz").write_bytes(b"")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"do not belong to this export.*labelsTr/old\.nii\.gz"):
            wanted = options(name="A", lossy=True, overwrite=overwrite)
            export_dataset(source, tmp_path / "out", to="nnunet", options=wanted)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty"):
        export_dataset(source, tmp_path / "full", to="msd")


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_source_is_never_written_to(overwrite: bool, tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")
    before = {path: path.read_bytes() for path in source.rglob("*.gz")}
    for to in ("brats21", "brats23"):
        with pytest.raises(OutputError, match=r"holds the data set itself|do not belong to this export"):
            export_dataset(source, source, to=to, options=options(overwrite=overwrite))
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before


def test_an_overwrite_that_was_interrupted_keeps_nothing_of_before(tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")
    export_dataset(source, tmp_path / "out", to="msd", options=options(name="A"))

    def stop(done: int, total: int, name: str) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_dataset(source, tmp_path / "out", to="msd", options=options(name="B", overwrite=True), progress=stop)
    assert export_dataset(source, tmp_path / "out", to="msd", options=options(name="B")).reused == 1


def test_a_full_disk_ends_it_and_leaves_no_half_case(tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))  # a file of more bytes cannot be written
    try:
        with pytest.raises(OutputError, match=r"cannot be written.*free space"):
            export_dataset(source, tmp_path / "out", to="msd")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(tmp_path / "out") == ["export.json"]
    assert export_dataset(source, tmp_path / "out", to="msd").failed == {}


def test_labels_that_do_not_fit_are_refused_or_merged_and_named(tmp_path: Path) -> None:
    source = make.write_brats_set(tmp_path / "set", convention="brats2023")[0].parent
    mask = source / "BraTS-GLI-00001-000" / "BraTS-GLI-00001-000-seg.nii.gz"
    image = nib.load(mask)
    values = np.asarray(image.dataobj).copy()
    values[0, 0, :2] = 4  # a resection cavity
    nib.Nifti1Image(values, image.affine).to_filename(mask)
    kept = export_dataset(source, tmp_path / "kept", to="brats23")
    assert kept.contents.convention.name == "brats2024"
    assert_same(scan(source), scan(kept.root))
    whole = export_dataset(source, tmp_path / "whole", to="nnunet")
    said = json.loads((whole.root / "dataset.json").read_text())
    assert said["labels"]["resection cavity"] == 4 and said["regions_class_order"] == [2, 1, 3, 4]
    assert_same(scan(source), scan(whole.root))
    strict = export_dataset(source, tmp_path / "strict", to="msd")
    assert list(strict.failed) == ["BraTS-GLI-00001-000"] and "--lossy" in strict.failed["BraTS-GLI-00001-000"]
    lossy = export_dataset(source, tmp_path / "lossy", to="msd", options=options(lossy=True))
    assert [merged.describe() for merged in lossy.merged] == ["resection cavity became background in 1 mask"]
    with pytest.raises(LabelError, match="no label convention called"):
        export_dataset(source, tmp_path / "x", to="msd", options=options(labels="brats1999"))
    with pytest.raises(ConfigError, match="no layout called 'bids'"):
        export_dataset(source, tmp_path / "x", to="bids")


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    source = write_set(tmp_path / "set")
    (source / "BraTS2021_00000" / "BraTS2021_00000_t2.nii.gz").unlink()
    words = ["export-dataset", str(source), str(tmp_path / "out"), "--to", "nnunet", "--name", "Glioma", "--id", "7"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert "3 cases in" in result.output and "Dataset007_Glioma" in result.output
    assert "lacks t2" in result.output
    content = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert content["reused"] == 3 and content["label_convention"] == "msd" and list(content["failed"])
    assert content["train"] == ["BraTS2021_00001", "BraTS2021_00002"] and content["test"] == ["BraTS2021_00009"]


@pytest.mark.slow
def test_a_real_case_is_exported_and_read_back(data_root: Path, tmp_path: Path) -> None:
    name = "BraTS2021_01485"
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / name).symlink_to(data_root / "brats21" / name)
    before = read_all(scan(tmp_path / "set"))[name]
    for to in VOLUMES:
        done = export_dataset(tmp_path / "set", tmp_path / to, to=to)
        after = read_all(scan(done.root))[name]
        np.testing.assert_array_equal(after.image, before.image)
        np.testing.assert_array_equal(after.grid.affine, before.grid.affine)
        np.testing.assert_array_equal(after.labels, before.labels)
