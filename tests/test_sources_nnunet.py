"""nnU-Net raw data: what dataset.json says of channels, labels and files, in both of its versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import make
from gliamap.errors import FileError, LabelError, LayoutError
from gliamap.io.cases import read_case
from gliamap.sources.detect import scan
from gliamap.sources.masks import scan_with_masks
from gliamap.sources.nnunet import LAYOUT
from gliamap.workflows.data.prepare import prepare

CHANNELS = {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"}
LABELS = {"background": 0, "edema": 1, "necrosis": 2, "enhancing": 3}


def write(root: Path, *files: str, **described: Any) -> Path:
    """Empty files and a ``dataset.json`` of version 2 with ``described`` in it."""
    for name in files:
        make.touch(root / name)
    content = {"channel_names": CHANNELS, "labels": LABELS, "file_ending": ".nii.gz"} | described
    (root / "dataset.json").write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return root


def test_the_way_back_from_regions_is_not_needed(tmp_path: Path) -> None:
    """Masks hold plain values also where a network is to learn overlapping regions."""
    files = scan(make.write_nnunet(tmp_path / "Dataset001_BRATS")).cases[0]
    truth = make.case("oblique", seed=1).labels
    case = read_case(files, modalities=make.MODALITIES)
    np.testing.assert_array_equal(case.labels, truth)
    np.testing.assert_array_equal(case.image, np.rint(make.case("oblique", seed=1).image))


def test_channels_are_told_by_name_not_by_number(tmp_path: Path) -> None:
    names = [f"imagesTr/A_{channel:04d}.nii.gz" for channel in range(4)]
    (case,) = scan(write(tmp_path, *names)).cases
    assert list(case.modalities) == ["t1", "t1c", "t2", "flair"]
    (case,) = scan(write(tmp_path, channel_names={"3": "T1w", "1": "t1gd", "0": "T2-FLAIR", "2": "T2w"})).cases
    assert {name: path.name[2:6] for name, path in case.modalities.items()} == {
        "flair": "0000",
        "t1c": "0001",
        "t2": "0002",
        "t1": "0003",
    }


def test_modality_of_version_1_with_labels_of_version_2(tmp_path: Path) -> None:
    write(tmp_path, "imagesTr/A_0000.nii.gz", channel_names=None, modality={"0": "T2"}, file_ending=None)
    (case,) = scan(tmp_path).cases
    assert (list(case.modalities), case.conventions) == (["t2"], ("msd",))


def test_other_channels_keep_their_names(tmp_path: Path) -> None:
    channels = {"0": "ADC map", "1": "zScore", "2": "zscore", "3": "T1", "4": "../../etc"}
    files = [f"imagesTr/A_{channel:04d}.nii.gz" for channel in range(5)]
    data = scan(write(tmp_path, *files, "labelsTr/A.nii.gz", channel_names=channels))
    assert list(data.cases[0].modalities) == ["adc_map", "zscore_0001", "zscore_0002", "t1", ".._.._etc"]
    assert data.notes == (
        "channels that are none of t1, t1c, t2 and flair keep their names: ADC map, zScore, zscore and 1 more",
        "dataset.json gives several channels one name; they are numbered: zScore, zscore",
    )


def test_names_of_channels_are_made_fit_for_files(tmp_path: Path) -> None:
    channels = {"0": "", "1": "x" * 500, "2": " b=1000\n\x1b[31m "}
    files = [f"imagesTr/A_{channel:04d}.nii.gz" for channel in range(3)]
    data = scan(write(tmp_path, *files, channel_names=channels))
    assert list(data.cases[0].modalities) == ["image", "x" * 40, "b_1000_31m"]


def test_a_case_that_lacks_a_channel_keeps_the_others(tmp_path: Path) -> None:
    files = ("imagesTr/A_0000.nii.gz", "imagesTr/A_0001.nii.gz", "imagesTr/B_0001.nii.gz", "imagesTr/B_0007.nii.gz")
    data = scan(write(tmp_path, *files, "labelsTr/A.nii.gz", "labelsTr/C.nii.gz"))
    assert {case.case_id: list(case.modalities) for case in data.cases} == {"A": ["t1", "t1c"], "B": ["t1c"]}
    assert data.notes == (
        "imagesTr: channels that dataset.json does not name were passed over: _0007",
        "labelsTr: 1 masks have no image and were passed over: C",
        "imagesTr: 1 cases have no mask: B",
    )


def test_test_cases_with_masks_are_fold_0(tmp_path: Path) -> None:
    files = ("imagesTr/A_0000.nii.gz", "labelsTr/A.nii.gz", "imagesTs/B_0000.nii.gz", "labelsTs/B.nii.gz")
    data = scan(write(tmp_path, *files))
    assert [(c.case_id, c.identity.fold, c.labels is None) for c in data.cases] == [("A", None, False), ("B", 0, False)]
    assert data.notes == ("imagesTs are fold 0",)
    (tmp_path / "labelsTs" / "B.nii.gz").unlink()
    data = scan(tmp_path)
    assert ([c.identity.fold for c in data.cases], data.notes) == ([None, None], ())


def test_patients_of_names_since_brats_2023(tmp_path: Path) -> None:
    names = ("BraTS-GLI-00005-100", "BraTS-GLI-00005-101")
    write(tmp_path, *(f"imagesTr/{name}_0000.nii.gz" for name in names))
    data = scan(tmp_path)
    assert data.patients_known
    assert {case.identity.patient_id for case in data.cases} == {"BraTS-GLI-00005"}
    make.touch(tmp_path / "imagesTr" / "other_0000.nii.gz")
    assert not scan(tmp_path).patients_known


def test_names_with_dots_and_numbers(tmp_path: Path) -> None:
    names = ("W39_1998.09.19", "case_0001", "a_0001_0002")
    write(tmp_path, *(f"imagesTr/{n}_0000.nii.gz" for n in names), *(f"labelsTr/{n}.nii.gz" for n in names))
    assert sorted(case.case_id for case in scan(tmp_path).cases) == sorted(names)
    assert all(case.labels for case in scan(tmp_path).cases)


# Labels


@pytest.mark.parametrize(
    ("labels", "conventions"),
    [
        ({"background": 0, "NETC": 1, "SNFH": 2, "ET": 3, "RC": 4}, ("brats2024",)),
        ({"0": "background", "1": "tumor"}, ("binary",)),
        ({"WT": [1, 2, 3], "TC": [1, 3], "ET": 3, "ignore": 4}, ("brats2023",)),
    ],
)
def test_labels_tell_the_convention(tmp_path: Path, labels: dict[str, Any], conventions: tuple[str, ...]) -> None:
    (case,) = scan(write(tmp_path, "imagesTr/A_0000.nii.gz", "labelsTr/A.nii.gz", labels=labels)).cases
    assert case.conventions == conventions


def test_labels_of_no_convention_leave_the_images(tmp_path: Path) -> None:
    write(tmp_path, "imagesTr/A_0000.nii.gz", "labelsTr/A.nii.gz", labels={"ET": 1, "ED": 2, "NCR": 3})
    data = scan(tmp_path)
    assert data.cases[0].labels is None
    assert data.notes == (
        "the masks were passed over, because dataset.json numbers labels as no convention does: 1 ET, 2 ED, 3 NCR",
    )


def test_labels_that_are_not_understood_are_left_to_the_user(tmp_path: Path) -> None:
    write(tmp_path, "imagesTr/A_0000.nii.gz", "labelsTr/A.nii.gz", labels={"class 1": 1, "class 2": 2})
    data = scan(tmp_path)
    assert (data.cases[0].labels, data.cases[0].conventions) == (tmp_path / "labelsTr" / "A.nii.gz", ())
    assert data.notes == ("the labels that dataset.json names are not understood: 1 class 1, 2 class 2",)


def test_voxels_to_be_ignored_are_refused_when_read(tmp_path: Path) -> None:
    root = make.write_nnunet(tmp_path)
    described = json.loads((root / "dataset.json").read_text())
    described["labels"]["ignore"] = 4
    (root / "dataset.json").write_text(json.dumps(described))
    path = root / "labelsTr" / "BRATS_001.nii.gz"
    mask = nib.load(path)
    values = np.asanyarray(mask.dataobj).copy()
    values[0] = 4
    nib.Nifti1Image(values, mask.affine).to_filename(path)
    data = scan(root)
    assert data.notes == ("voxels marked 'ignore' (4) cannot be left out: masks that hold them are refused when read",)
    with pytest.raises(LabelError, match="outside its label convention"):
        read_case(data.cases[0])
    assert read_case(data.cases[1]).convention == "msd"


# Files


@pytest.mark.parametrize(
    ("ending", "written"),
    [
        *((".nii", ".nii"), (".nii.gz", ".nii.gz"), (".nii.gz", "nii.gz"), (".nii.gz", None)),
        *((".png", ".png"), (".tif", ".tif"), (".mgz", ".mgz")),
    ],
)
def test_endings_that_can_be_read(tmp_path: Path, ending: str, written: str | None) -> None:
    write(tmp_path, f"imagesTr/A_0000{ending}", "imagesTr/A_0000.json", f"labelsTr/A{ending}", file_ending=written)
    (case,) = scan(tmp_path).cases
    assert case.labels is not None and case.labels.name == f"A{ending}"


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".npy", ".b2nd"])
def test_endings_that_cannot_are_refused(tmp_path: Path, ending: str) -> None:
    write(tmp_path, f"imagesTr/A_0000{ending}", f"labelsTr/A{ending}", file_ending=ending)
    with pytest.raises(LayoutError, match=rf"Found: file_ending \{ending}\. Expected: one of \.nii.*convert.*NIfTI"):
        scan(tmp_path)


def test_slices(tmp_path: Path) -> None:
    write(tmp_path, channel_names={"0": "T1c"}, labels={"background": 0, "tumor": 1}, file_ending=".png")
    for folder, name, value in (("imagesTr", "a_0000.png", 90), ("labelsTr", "a.png", 1)):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.full((4, 5), value, np.uint8)).save(tmp_path / folder / name)
    case = read_case(scan(tmp_path).cases[0])
    assert (case.image.shape, case.convention) == ((1, 5, 4, 1), "binary")


@pytest.mark.parametrize("content", ["", "{", "[1]", '"text"', "[" * 5000])
def test_a_damaged_description_names_itself(tmp_path: Path, content: str) -> None:
    make.touch(tmp_path / "imagesTr" / "A_0000.nii.gz")
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(FileError, match=r"dataset\.json"):
        scan(tmp_path)


@pytest.mark.parametrize(
    "channels", [None, {}, [], "T1", {"T1": 0}, {"first": "T1"}, {"9" * 5000: "T1"}], ids=lambda raw: str(raw)[:20]
)
def test_a_description_without_channels_is_refused(tmp_path: Path, channels: Any) -> None:
    write(tmp_path, "imagesTr/A_0000.nii.gz", channel_names=channels)
    with pytest.raises(FileError, match=r"dataset\.json does not name the channels.*channel_names"):
        scan(tmp_path)


def test_images_named_like_their_masks_are_another_layout(tmp_path: Path) -> None:
    write(tmp_path, "imagesTr/case_0001.nii.gz", "labelsTr/case_0001.nii.gz")
    assert LAYOUT.scan(tmp_path) is None


def test_a_part_of_nothing_is_no_data_set(tmp_path: Path) -> None:
    make.touch(tmp_path / "imagesTs" / "A_0000.nii.gz")
    with pytest.raises(LayoutError, match="not a data set"):
        scan(tmp_path / "imagesTs")


def test_why_there_are_no_masks_is_told_by_those_who_need_them(tmp_path: Path) -> None:
    root = write(tmp_path / "set", "imagesTr/A_0000.nii.gz", "labelsTr/A.nii.gz", labels={"ET": 1, "ED": 2, "NCR": 3})
    with pytest.raises(LayoutError, match=r"no case with labels.*no convention does: 1 ET, 2 ED, 3 NCR"):
        prepare([root], tmp_path / "store")
    with pytest.raises(LayoutError, match=r"holds no masks.*no convention does: 1 ET, 2 ED, 3 NCR"):
        scan_with_masks(root)
