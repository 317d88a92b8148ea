"""MSD Task01: 4D files in the order that dataset.json says, as a folder and straight from the tar."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import make
from gliamap.case import DataSet
from gliamap.config import PrepConfig
from gliamap.errors import FileError, LayoutError
from gliamap.io.cases import mask_suffix, read_case, read_grid, read_mask_file, write_mask, write_probabilities
from gliamap.io.store import case_origin
from gliamap.sources import msd
from gliamap.sources.detect import scan

NOTE = "cases of MSD Task01 are renamed ones of BraTS 2016-2017: several can be of one patient"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make.write_msd(tmp_path / "Task01_BrainTumour")


def describe(root: Path, **fields: Any) -> Path:
    """Set fields of dataset.json; ``None`` removes one."""
    path = root / "dataset.json"
    content = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    return root


def names(data: DataSet) -> list[tuple[Any, ...]]:
    """All that a scan says, with file names in place of paths."""
    return [
        (
            case.identity,
            {modality: path.name for modality, path in case.modalities.items()},
            case.labels.name if case.labels else None,
            case.conventions,
            case.channels,
        )
        for case in data.cases
    ]


def pack(folder: Path, name: str, *, wrapped: bool = True) -> Path:
    """The folder as an archive beside it, with what macOS adds."""
    target = folder.parent / name
    top = f"{folder.name}/" if wrapped else ""
    with tarfile.open(target, "w" if name.endswith(".tar") else "w:gz") as file:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            inside = path.relative_to(folder)
            for member in (inside, inside.with_name(f"._{inside.name}")):
                file.add(path, f"{top}{member}")
    return target


def test_cases_channels_and_labels(root: Path) -> None:
    data = scan(root)
    assert (data.layout, data.foreground, data.patients_known) == ("msd", "brain", False)
    assert [case.case_id for case in data.cases] == ["BRATS_001", "BRATS_002", "BRATS_003"]
    assert all(case.identity.patient_id == case.case_id for case in data.cases)
    for case in data.cases:
        assert tuple(case.modalities) == ("flair", "t1", "t1c", "t2")
        assert case.channels == {"flair": 0, "t1": 1, "t1c": 2, "t2": 3}
        assert set(case.modalities.values()) == {
            root / ("imagesTs" if case.labels is None else "imagesTr") / f"{case.case_id}.nii.gz"
        }
        assert case.conventions == ("msd",)
    assert [case.labels for case in data.cases] == [
        root / "labelsTr" / "BRATS_001.nii.gz",
        root / "labelsTr" / "BRATS_002.nii.gz",
        None,
    ]
    assert data.notes == (NOTE,)


def test_each_modality_is_the_right_channel(root: Path) -> None:
    for files, kind in zip(scan(root).cases, ("oblique", "flipped", "plain"), strict=True):
        case = read_case(files, modalities=make.MODALITIES)
        truth = make.case(kind, seed=int(files.case_id[-3:]))
        np.testing.assert_array_equal(case.image, np.rint(truth.image))
        assert case.grid.same_as(truth.grid)
        if case.labels is not None and truth.labels is not None:
            np.testing.assert_array_equal(case.labels, truth.labels)
            assert case.convention == "msd"


def test_the_order_of_channels_is_that_of_the_file(root: Path) -> None:
    describe(root, modality={"0": "T1", "1": "T1Gd", "2": "T2", "3": "FLAIR"})
    assert scan(root).cases[0].channels == {"t1": 0, "t1c": 1, "t2": 2, "flair": 3}


def test_masks_and_probabilities_of_a_4d_case_are_on_its_grid(root: Path, tmp_path: Path) -> None:
    files = scan(root).cases[0]
    case = read_case(files)
    reference = files.modalities["t1"]
    assert case.labels is not None and read_grid(reference).same_as(case.grid)
    assert mask_suffix(reference) == ".nii.gz"
    write_mask(tmp_path / "mask.nii.gz", case.labels, reference)
    values, grid = read_mask_file(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(values, case.labels)
    assert grid.same_as(case.grid)
    np.testing.assert_array_equal(nib.load(tmp_path / "mask.nii.gz").affine, nib.load(reference).affine)
    write_probabilities(tmp_path / "p.nii.gz", case.image[:3], reference)
    assert nib.load(tmp_path / "p.nii.gz").shape == (*case.grid.shape, 3)


def test_one_modality_is_a_3d_file(tmp_path: Path) -> None:
    root = describe(make.write_msd(tmp_path), modality={"0": "T1-Gd"}, training=None, test=None)
    for path in (root / "imagesTr").iterdir():
        image = nib.load(path)
        nib.Nifti1Image(image.get_fdata()[..., 2], image.affine).to_filename(path)
    files = scan(root).cases[0]
    assert tuple(files.modalities) == ("t1c",) and files.channels == {}
    np.testing.assert_array_equal(read_case(files).image[0], np.rint(make.case("oblique", seed=1).image[1]))


def test_files_with_other_numbers_of_channels(root: Path) -> None:
    path = root / "imagesTr" / "BRATS_001.nii.gz"
    image = nib.load(path)
    nib.Nifti1Image(image.get_fdata()[..., :3], image.affine).to_filename(path)
    with pytest.raises(FileError, match=r"BRATS_001\.nii\.gz has no channel 3\. Found: 3 channels"):
        read_case(scan(root).cases[0])
    nib.Nifti1Image(image.get_fdata()[..., 0], image.affine).to_filename(path)
    with pytest.raises(FileError, match=r"has no channel 0\. Found: one image, without channels"):
        read_case(scan(root).cases[0])


# What the folders hold counts


def test_what_is_listed_and_not_there_and_the_reverse(root: Path) -> None:
    (root / "imagesTr" / "BRATS_001.nii.gz").rename(root / "imagesTr" / "BRATS_009.nii.gz")
    (root / "imagesTs" / "BRATS_003.nii.gz").unlink()
    data = scan(root)
    assert [case.case_id for case in data.cases] == ["BRATS_002", "BRATS_009"]
    assert [case.labels is None for case in data.cases] == [False, True]
    assert data.notes == (
        "1 cases of imagesTr have no mask: BRATS_009",
        "1 masks have no image and were passed over: BRATS_001",
        "imagesTr lacks 1 cases that dataset.json lists: BRATS_001",
        "imagesTs lacks 1 cases that dataset.json lists: BRATS_003",
        NOTE,
    )


def test_what_macos_leaves_is_passed_over(root: Path) -> None:
    before = names(scan(root))
    for path in [path for path in root.rglob("*") if path.is_file()]:
        shutil.copy(path, path.with_name(f"._{path.name}"))
    assert names(scan(root)) == before


def test_packed_and_unpacked_at_once_take_the_unpacked(root: Path) -> None:
    plain = root / "imagesTr" / "BRATS_001.nii"
    plain.write_bytes(b"")
    assert set(scan(root).cases[0].modalities.values()) == {plain}


def test_other_names_of_cases_say_nothing_about_patients(root: Path) -> None:
    for folder in ("imagesTr", "imagesTs", "labelsTr"):
        for path in (root / folder).iterdir():
            path.rename(path.with_name(path.name.replace("BRATS_", "Sub-")))
    data = scan(describe(root, training=None, test=None))
    assert not data.patients_known and data.notes == ()


def test_a_manifest_names_patients(root: Path) -> None:
    (root / "manifest.csv").write_text("case,patient\nBRATS_001,a\nBRATS_002,a\nBRATS_003,b\n")
    data = scan(root)
    assert data.patients_known
    assert [case.identity.patient_id for case in data.cases] == ["a", "a", "b"]


def test_nnunet_folders_are_not_taken(root: Path) -> None:
    for path in (root / "imagesTr").iterdir():
        path.rename(path.with_name(path.name.replace(".nii.gz", "_0000.nii.gz")))
    assert msd.scan(root) is None


def test_four_digits_of_a_case_are_no_channel(root: Path) -> None:
    shutil.rmtree(root / "imagesTs")
    for folder in ("imagesTr", "labelsTr"):
        for path in (root / folder).iterdir():
            path.rename(path.with_name(path.name.replace("BRATS_", "BRATS_0")))
    assert [case.case_id for case in scan(describe(root, training=[], test=[])).cases] == ["BRATS_0001", "BRATS_0002"]


# What dataset.json says


@pytest.mark.parametrize(
    "labels, conventions",
    [
        ({"0": "background", "1": "necrosis", "2": "edema", "4": "enhancing tumor"}, ("brats2021",)),
        ({"0": "background", "1": "necrosis", "2": "edema", "3": "enhancing tumor"}, ("brats2023",)),
        ({"0": "background", "1": "left", "2": "right"}, ()),
        (None, ()),
    ],
)
def test_the_names_of_labels_say_the_convention(root: Path, labels: Any, conventions: tuple[str, ...]) -> None:
    data = scan(describe(root, labels=labels))
    assert {case.conventions for case in data.cases} == {conventions}
    assert data.cases[0].labels is not None
    assert (len(data.notes) == 1) == bool(conventions)  # that names are not understood is said


def test_labels_that_no_convention_numbers_so_are_not_used(root: Path) -> None:
    data = scan(describe(root, labels={"1": "enhancing tumour", "2": "edema", "3": "non-enhancing tumor"}))
    assert all(case.labels is None for case in data.cases)
    assert "masks were passed over" in data.notes[0]


def test_modalities_that_are_none_of_ours(root: Path) -> None:
    for modality in ({"0": "CT"}, {"0": "FLAIR", "1": "ADC"}):
        with pytest.raises(LayoutError, match=rf"does not know.*Found: {list(modality.values())[-1]}\."):
            scan(describe(root, modality=modality))
    with pytest.raises(LayoutError, match=r"or one twice.*Found: T1w, t1, T1n"):
        scan(describe(root, modality={"0": "T1w", "1": "t1", "2": "FLAIR", "3": "T1n"}))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "not JSON": (lambda root: (root / "dataset.json").write_text("{'modality': 1"), "is not valid JSON"),
    "not text": (lambda root: (root / "dataset.json").write_bytes(b"\xff\xfe\x00"), "is not valid JSON"),
    "empty": (lambda root: (root / "dataset.json").write_bytes(b""), "is not valid JSON"),
    "nested": (lambda root: (root / "dataset.json").write_text("[" * 100_000), "is not valid JSON"),
    "endless number": (
        lambda root: (root / "dataset.json").write_text('{"a": ' + "9" * 9999 + "}"),
        "is not valid JSON",
    ),
    "a list": (lambda root: (root / "dataset.json").write_text("[]"), "does not describe a data set.*JSON list"),
    "absurdly long": (
        lambda root: (root / "dataset.json").write_bytes(b" " * (2**24 + 1)),
        "does not describe a data set.*16777217 bytes",
    ),
    "no modality": (lambda root: describe(root, modality=None), "does not say what the channels are"),
    "modality of no names": (lambda root: describe(root, modality={}), "does not say what the channels are"),
    "modality as a list": (lambda root: describe(root, modality=["FLAIR"]), "does not say what the channels are"),
    "modality as text": (lambda root: describe(root, modality="FLAIR"), "does not say what the channels are"),
    "gaps in the numbers": (
        lambda root: describe(root, modality={"0": "T1", "2": "T2"}),
        "does not say what the channels are",
    ),
    "numbers from 1": (lambda root: describe(root, modality={"1": "T1"}), "does not say what the channels are"),
    "training as a table": (lambda root: describe(root, training={"a": 1}), "does not list its cases under 'training'"),
    "training of numbers": (lambda root: describe(root, training=[1, 2]), "does not list its cases under 'training'"),
    "training of nothing": (lambda root: describe(root, training=[{}]), "does not list its cases under 'training'"),
    "test of lists": (lambda root: describe(root, test=[["x"]]), "does not list its cases under 'test'"),
    "traversal": (
        lambda root: describe(root, training=[{"image": "../../etc/BRATS_001.nii.gz"}]),
        r"lists a file outside the data set\. Found: \.\./\.\./etc",
    ),
    "absolute": (lambda root: describe(root, test=["/etc/BRATS_001.nii.gz"]), "lists a file outside the data set"),
}


@pytest.mark.parametrize("damage, message", WRONG.values(), ids=WRONG.keys())
def test_a_damaged_description_is_told(root: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(root)
    with pytest.raises(FileError, match=message) as caught:
        scan(root)
    assert str(root / "dataset.json") in str(caught.value)


# Straight from the archive


@pytest.mark.parametrize("name", ["Task01_BrainTumour.tar", "Task01_BrainTumour.tar.gz"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_an_archive_is_scanned_and_read_as_the_folder_is(root: Path, name: str, wrapped: bool) -> None:
    archive = pack(root, name, wrapped=wrapped)
    unpacked, packed = scan(root), scan(archive)
    assert names(packed) == names(unpacked)
    assert (packed.notes, packed.foreground, packed.patients_known) == (unpacked.notes, "brain", False)
    for here, there in zip(packed.cases, unpacked.cases, strict=True):
        one, other = read_case(here), read_case(there)
        np.testing.assert_array_equal(one.image, other.image)
        assert one.grid.same_as(other.grid)
        assert (one.labels is None) == (other.labels is None)
        if one.labels is not None and other.labels is not None:
            np.testing.assert_array_equal(one.labels, other.labels)


def test_the_folder_in_an_archive_may_be_named_too(root: Path) -> None:
    archive = pack(root, "a.tar")
    assert names(scan(archive / root.name)) == names(scan(root))
    with pytest.raises(LayoutError, match="does not exist"):
        scan(archive / "none")


def test_a_folder_beside_files_does_not_wrap_an_archive(root: Path) -> None:
    for folder in ("imagesTr", "labelsTr"):
        shutil.rmtree(root / folder)
    data = scan(pack(describe(root, training=[]), "a.tar", wrapped=False))
    assert [case.case_id for case in data.cases] == ["BRATS_003"]


def test_a_mask_for_a_case_in_an_archive_is_on_its_grid(root: Path, tmp_path: Path) -> None:
    files = scan(pack(root, "a.tar.gz")).cases[0]
    case = read_case(files)
    assert case.labels is not None
    write_mask(tmp_path / "mask.nii.gz", case.labels, files.modalities["t1c"])
    values, grid = read_mask_file(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(values, case.labels)
    assert grid.same_as(case.grid)


def test_a_changed_archive_is_another_origin(root: Path) -> None:
    prep = PrepConfig(modalities=make.MODALITIES)
    archive = pack(root, "a.tar")
    before = case_origin(scan(archive).cases[0], prep)
    assert before["files"]["t1c"][:2] == ["BRATS_001.nii.gz", (root / "imagesTr" / "BRATS_001.nii.gz").stat().st_size]
    assert case_origin(scan(archive).cases[0], prep) == before
    pack(root, "a.tar", wrapped=False)
    assert case_origin(scan(archive).cases[0], prep) != before


def test_a_manifest_in_an_archive_counts(root: Path) -> None:
    (root / "manifest.csv").write_text("case,patient\nBRATS_001,a\nBRATS_002,a\nBRATS_003,b\n")
    for wrapped in (True, False):
        assert scan(pack(root, f"{wrapped}.tar", wrapped=wrapped)).patients_known
    (root / "manifest.csv").rename(root.parent / "manifest.csv")
    assert not scan(pack(root, "beside.tar")).patients_known  # it is about the folder that it lies in


def test_the_course_set_is_scanned_in_its_archive(tmp_path: Path) -> None:
    root = tmp_path / "course"
    for part, name, value in (("training", "BRATS_010_z46", 3), ("training", "BRATS_002_z62", 1), ("test", "A_z1", 2)):
        for kind, grey in (("images", 90), ("labels", value)):
            (root / f"{part}_{kind}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((3, 4), grey, np.uint8)).save(root / f"{part}_{kind}" / f"{name}.png")
    unpacked = scan(root)
    for name in ("course.tar.gz", "course.tar"):
        packed = scan(pack(root, name))
        assert packed.layout == "training-pairs" and names(packed) == names(unpacked)
        case = read_case(packed.cases[1])
        np.testing.assert_array_equal(case.image, read_case(unpacked.cases[1]).image)
        assert case.labels is not None and case.convention == "msd"


def test_archives_that_hold_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("none")
    with pytest.raises(LayoutError, match=r"is not a data set.*Found: notes\.txt"):
        scan(pack(tmp_path / "a", "a.tar"))
    (tmp_path / "b.tar").write_bytes(b"none")
    with pytest.raises(FileError, match="is not a tar archive"):
        scan(tmp_path / "b.tar")
