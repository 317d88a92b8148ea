"""Every layout is recognised, gives its cases in order, and says what it knows of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import make
from gliamap.errors import LayoutError
from gliamap.io.cases import read_case
from gliamap.sources.detect import LAYOUTS, scan
from gliamap.sources.layout import natural_key, summarise
from gliamap.sources.modalities import MODALITIES


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def png(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((3, 4), value, np.uint8)).save(path)
    return path


def graded(root: Path) -> None:
    make.write_brats(root / "HGG", make.case(case_id="Brats17_TCIA_10_1"))
    make.write_brats(root / "LGG", make.case(case_id="Brats17_TCIA_9_1", enhancing=False))


def training_pairs(root: Path) -> None:
    for part, name in (("training", "BRATS_10_z46"), ("training", "BRATS_2_z62"), ("test", "BRATS_3_z46")):
        png(root / f"{part}_images" / f"{name}.png", 90)
        png(root / f"{part}_labels" / f"{name}.png", 3)


def bare(root: Path) -> None:
    for name in ("slice10.png", "slice9.png"):
        png(root / name)


def brats23(root: Path) -> None:
    make.write_brats_set(root, convention="brats2023")


@dataclass(frozen=True)
class Example:
    """One data set: how it is written and what a scan must say."""

    write: Callable[[Path], object]
    layout: str
    case_ids: tuple[str, ...]
    patients: tuple[str, ...]
    modalities: tuple[str, ...]
    conventions: tuple[str, ...]
    foreground: str
    patients_known: bool = True


GLI = tuple(f"BraTS-GLI-0000{n}-000" for n in range(3))
EXAMPLES = {
    "brats 2017, HGG and LGG": Example(
        graded, "brats", ("Brats17_TCIA_9_1", "Brats17_TCIA_10_1"), ("Brats17_TCIA_9_1", "Brats17_TCIA_10_1"),
        MODALITIES, ("brats2021",), "brain",
    ),
    "brats 2021": Example(
        make.write_brats_set, "brats", tuple(f"BraTS2021_0000{n}" for n in range(3)),
        tuple(f"BraTS2021_0000{n}" for n in range(3)), MODALITIES, ("brats2021",), "brain",
    ),
    "brats 2023": Example(
        brats23, "brats", GLI, tuple(name[:-4] for name in GLI), MODALITIES, ("brats2023", "brats2024"), "brain"
    ),
    "pairs": Example(
        make.write_pairs, "pairs", ("1", "2", "3"), ("1", "2", "3"), ("t1c",), ("binary", "binary255"), "head", False
    ),
    "training pairs": Example(
        training_pairs, "training-pairs", ("BRATS_2_z62", "BRATS_3_z46", "BRATS_10_z46"),
        ("BRATS_2", "BRATS_3", "BRATS_10"), ("t1c",), ("msd",), "brain",
    ),
    "images": Example(bare, "images", ("slice9", "slice10"), ("slice9", "slice10"), ("t1c",), (), "head", False),
}  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
class TestEveryLayout:
    def test_cases_are_found_in_natural_order(self, tmp_path: Path, example: Example) -> None:
        example.write(tmp_path)
        data = scan(tmp_path)
        assert data.layout == example.layout
        assert tuple(case.case_id for case in data.cases) == example.case_ids
        assert tuple(case.identity.patient_id for case in data.cases) == example.patients
        assert data.patients_known == example.patients_known
        assert data.foreground == example.foreground

    def test_files_and_conventions(self, tmp_path: Path, example: Example) -> None:
        example.write(tmp_path)
        for case in scan(tmp_path).cases:
            assert tuple(case.modalities) == example.modalities
            assert case.conventions == example.conventions
            assert (case.labels is not None) == bool(example.conventions)

    def test_cases_can_be_read(self, tmp_path: Path, example: Example) -> None:
        example.write(tmp_path)
        for files in scan(tmp_path).cases:
            case = read_case(files)
            assert case.modalities == example.modalities
            assert (case.convention or "none") in (*example.conventions, "none")

    def test_what_macos_leaves_behind_is_passed_over(self, tmp_path: Path, example: Example) -> None:
        example.write(tmp_path)
        before = scan(tmp_path).cases
        for path in [p for p in tmp_path.rglob("*") if p.is_file()]:
            touch(path.with_name(f"._{path.name}"))
            touch(tmp_path / "__MACOSX" / path.name)
        touch(tmp_path / ".DS_Store")
        assert scan(tmp_path).cases == before


def test_every_layout_has_an_example() -> None:
    assert {layout.name for layout in LAYOUTS} == {example.layout for example in EXAMPLES.values()}


# BraTS


def test_a_single_case_folder(tmp_path: Path) -> None:
    folder = make.write_brats(tmp_path, make.case(case_id="BraTS2021_00007"))
    (case,) = scan(folder).cases
    assert case.case_id == "BraTS2021_00007"


def test_case_355_has_an_odd_mask_name(tmp_path: Path) -> None:
    folder = tmp_path / "BraTS20_Training_355"
    for part in ("t1", "t1ce", "t2", "flair"):
        touch(folder / f"BraTS20_Training_355_{part}.nii")
    odd = touch(folder / "W39_1998.09.19_Segm.nii")
    (case,) = scan(tmp_path).cases
    assert case.case_id == "BraTS20_Training_355"
    assert case.labels == odd
    assert case.conventions == ("brats2021",)


def test_time_points_of_one_patient_stay_together(tmp_path: Path) -> None:
    for name in ("BraTS-GLI-00005-101", "BraTS-GLI-00005-100", "BraTS-MET-00005-000"):
        touch(tmp_path / name / f"{name}-t1n.nii.gz")
    assert [(c.case_id, c.identity.patient_id) for c in scan(tmp_path).cases] == [
        ("BraTS-GLI-00005-100", "BraTS-GLI-00005"),
        ("BraTS-GLI-00005-101", "BraTS-GLI-00005"),
        ("BraTS-MET-00005-000", "BraTS-MET-00005"),
    ]


def test_conventions_follow_the_names(tmp_path: Path) -> None:
    for name, part in (("BraTS-PED-00001-000", "-t1n"), ("Other_1", "_t1"), ("Other_2", "_t1c"), ("Other_3", "-t2f")):
        touch(tmp_path / name / f"{name}{part}.nii.gz")
    found = {case.case_id: case.conventions for case in scan(tmp_path).cases}
    assert found == {
        "BraTS-PED-00001-000": ("brats-ped",),
        "Other_1": ("brats2021",),
        "Other_2": (),  # no BraTS year writes _t1c: the values may mean anything
        "Other_3": ("brats2023", "brats2024"),
    }


def test_an_incomplete_case_stays_with_what_it_has(tmp_path: Path) -> None:
    touch(tmp_path / "A" / "A_t2.nii.gz")
    touch(tmp_path / "A" / "A_flair.nii.gz")
    (case,) = scan(tmp_path).cases
    assert tuple(case.modalities) == ("t2", "flair")
    assert case.labels is None


def test_folders_that_were_passed_over_are_told(tmp_path: Path) -> None:
    touch(tmp_path / "A" / "A_t1.nii.gz")
    touch(tmp_path / "notes" / "readme.txt")
    assert scan(tmp_path).notes == ("1 folders without BraTS files were passed over: notes",)


def test_packed_and_unpacked_at_once_take_the_unpacked(tmp_path: Path) -> None:
    touch(tmp_path / "A" / "A_t1.nii.gz")
    plain = touch(tmp_path / "A" / "A_t1.nii")
    assert scan(tmp_path).cases[0].modalities == {"t1": plain}


# Pairs


def test_pairs_without_a_partner_are_told(tmp_path: Path) -> None:
    for name in ("images/1.png", "images/2.jpg", "masks/2.png", "masks/7.png"):
        touch(tmp_path / name)
    data = scan(tmp_path)
    assert [case.labels is None for case in data.cases] == [True, False]
    assert data.notes == ("1 images have no mask: 1", "1 masks have no image and were passed over: 7")


def test_test_images_are_fold_0(tmp_path: Path) -> None:
    training_pairs(tmp_path)
    data = scan(tmp_path)
    assert [case.identity.fold for case in data.cases] == [None, 0, None]
    assert data.notes == ("test_images are fold 0",)


def test_names_without_a_slice_number_leave_patients_unknown(tmp_path: Path) -> None:
    touch(tmp_path / "training_images" / "a.png")
    touch(tmp_path / "training_labels" / "a.png")
    assert not scan(tmp_path).patients_known


def test_a_single_image(tmp_path: Path) -> None:
    (case,) = scan(png(tmp_path / "head.png")).cases
    assert (case.case_id, case.labels, case.modalities) == ("head", None, {"t1c": tmp_path / "head.png"})


# What is refused


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"Found: an empty folder\. Expected: 2D pairs.*BraTS cases.*images"):
        scan(tmp_path)


@pytest.mark.parametrize("folders", [("images", "masks"), ("HGG", "LGG"), ("training_images", "training_labels")])
def test_a_layout_without_cases(tmp_path: Path, folders: tuple[str, ...]) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    with pytest.raises(LayoutError, match=f"{folders[0]}/, {folders[1]}/"):
        scan(tmp_path)


def test_an_unknown_layout_tells_what_was_found(tmp_path: Path) -> None:
    touch(tmp_path / "scan.dcm")
    touch(tmp_path / "A" / "brain.nii.gz")
    touch(tmp_path / "B" / "B_seg.nii.gz")  # a mask alone is no case
    with pytest.raises(LayoutError, match=r"Found: A/, B/, scan\.dcm"):
        scan(tmp_path)


def test_a_path_that_is_not_there_or_no_case(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="does not exist"):
        scan(tmp_path / "none")
    with pytest.raises(LayoutError, match=r"a\.nii\.gz is not an image that can be taken alone.*case folder"):
        scan(touch(tmp_path / "a.nii.gz"))


def test_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    for grade in ("HGG", "LGG"):
        touch(tmp_path / grade / "A" / "A_t1.nii.gz")
    with pytest.raises(LayoutError, match=r"several cases alike.*Found: A"):
        scan(tmp_path)
    touch(tmp_path / "2d" / "1.png")
    touch(tmp_path / "2d" / "1.jpg")
    with pytest.raises(LayoutError, match=r"several cases alike.*Found: 1"):
        scan(tmp_path / "2d")


def test_natural_order() -> None:
    assert sorted(["10", "9", "a10", "a9", "a9b", ""], key=natural_key) == ["", "9", "10", "a9", "a9b", "a10"]
    assert summarise("abcde") == "a, b, c and 2 more"
    assert summarise("ab") == "a, b"


@pytest.mark.parametrize("kind", [("images", "masks"), ("training_images", "training_labels")])
def test_two_masks_of_one_name_are_refused(tmp_path: Path, kind: tuple[str, str]) -> None:
    for name in (f"{kind[0]}/0.png", f"{kind[1]}/0.png", f"{kind[1]}/0.tif"):
        touch(tmp_path / name)
    with pytest.raises(LayoutError, match=r"several masks of one name.*Found: 0\.png, 0\.tif"):
        scan(tmp_path)
