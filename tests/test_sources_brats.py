"""BraTS folders of all years: time points, odd names, what the names say of labels and heads."""

from __future__ import annotations

from pathlib import Path

import pytest

import make
from gliamap.sources.brats import has_time_point, patient_of
from gliamap.sources.detect import scan


def test_a_single_case_folder(tmp_path: Path) -> None:
    folder = make.write_brats(tmp_path, make.case(case_id="BraTS2021_00007"))
    (case,) = scan(folder).cases
    assert case.case_id == "BraTS2021_00007"


def test_case_355_has_an_odd_mask_name(tmp_path: Path) -> None:
    folder = tmp_path / "BraTS20_Training_355"
    for part in ("t1", "t1ce", "t2", "flair"):
        make.touch(folder / f"BraTS20_Training_355_{part}.nii")
    odd = make.touch(folder / "W39_1998.09.19_Segm.nii")
    (case,) = scan(tmp_path).cases
    assert case.case_id == "BraTS20_Training_355"
    assert case.labels == odd
    assert case.conventions == ("brats2021",)


def test_time_points_of_one_patient_stay_together(tmp_path: Path) -> None:
    for name in ("BraTS-GLI-00005-101", "BraTS-GLI-00005-100", "BraTS-MET-00005-000"):
        make.touch(tmp_path / name / f"{name}-t1n.nii.gz")
    assert [(c.case_id, c.identity.patient_id) for c in scan(tmp_path).cases] == [
        ("BraTS-GLI-00005-100", "BraTS-GLI-00005"),
        ("BraTS-GLI-00005-101", "BraTS-GLI-00005"),
        ("BraTS-MET-00005-000", "BraTS-MET-00005"),
    ]


def test_conventions_follow_the_names(tmp_path: Path) -> None:
    for name, part in (("BraTS-PED-00001-000", "-t1n"), ("Other_1", "_t1"), ("Other_2", "_t1c"), ("Other_3", "-t2f")):
        make.touch(tmp_path / name / f"{name}{part}.nii.gz")
    found = {case.case_id: case.conventions for case in scan(tmp_path).cases}
    assert found == {
        "BraTS-PED-00001-000": ("brats-ped", "brats2023"),  # the numbers changed between 2023 and 2024
        "Other_1": ("brats2021",),
        "Other_2": (),  # no BraTS year writes _t1c: the values may mean anything
        "Other_3": ("brats2023", "brats2024"),
    }


def test_an_incomplete_case_stays_with_what_it_has(tmp_path: Path) -> None:
    make.touch(tmp_path / "A" / "A_t2.nii.gz")
    make.touch(tmp_path / "A" / "A_flair.nii.gz")
    (case,) = scan(tmp_path).cases
    assert tuple(case.modalities) == ("t2", "flair")
    assert case.labels is None


def test_folders_that_were_passed_over_are_told(tmp_path: Path) -> None:
    make.touch(tmp_path / "A" / "A_t1.nii.gz")
    make.touch(tmp_path / "notes" / "readme.txt")
    assert scan(tmp_path).notes == ("1 folders without BraTS files were passed over: notes",)


def test_packed_and_unpacked_at_once_take_the_unpacked(tmp_path: Path) -> None:
    make.touch(tmp_path / "A" / "A_t1.nii.gz")
    plain = make.touch(tmp_path / "A" / "A_t1.nii")
    assert scan(tmp_path).cases[0].modalities == {"t1": plain}


@pytest.mark.parametrize(
    ("folder", "conventions"),
    [
        ("ASNR-MICCAI-BraTS2023-PED-Challenge-TrainingData", ("brats2023",)),
        ("BraTS-PEDs2024_Training", ("brats-ped",)),
        ("MICCAI-BraTS2024-PED", ("brats-ped",)),
        ("BraTS26_PED_training", ("brats-ped",)),
        ("BraTS-PEDs-v1", ("brats-ped", "brats2023")),
        ("children", ("brats-ped", "brats2023")),
        ("BraTS2021_Training", ("brats-ped", "brats2023")),
    ],
)
def test_the_folder_may_tell_the_year_of_a_pediatric_set(
    tmp_path: Path, folder: str, conventions: tuple[str, ...]
) -> None:
    name = "BraTS-PED-00002-000"
    make.touch(tmp_path / folder / name / f"{name}-t1c.nii.gz")
    for root in (tmp_path / folder, tmp_path / folder / name):  # the set, and a case of it alone
        (case,) = scan(root).cases
        assert case.conventions == conventions


@pytest.mark.parametrize(
    ("names", "foreground"),
    [
        (["BraTS-GLI-00001-000-t1c", "BraTS-MET-00001-000-t1c", "BraTS2021_00001_t1ce"], "brain"),
        (["BraTS-MEN-RT-0001-1_t1c"], "head"),
        (["BraTS-MEN-RT-0001-1_t1c", "BraTS-GLI-00001-000-t1c"], None),
        (["BraTS-PED-00001-000-t1c"], None),  # stripped in 2023, only defaced since
    ],
)
def test_what_the_names_say_of_heads(tmp_path: Path, names: list[str], foreground: str | None) -> None:
    for name in names:
        make.touch(tmp_path / name[:-4] / f"{name}.nii.gz")
    assert scan(tmp_path).foreground == foreground


@pytest.mark.parametrize("name", ["BraTS-SSA-00001-000", "BraTS-MEN-00001-000", "BraTS-GoAT-00001"])
def test_the_other_challenges_have_the_numbers_of_gliomas(tmp_path: Path, name: str) -> None:
    make.touch(tmp_path / name / f"{name}-t2f.nii.gz")
    (case,) = scan(tmp_path).cases
    assert case.conventions == ("brats2023", "brats2024")


@pytest.mark.parametrize(
    ("case_id", "patient"),
    [
        ("BraTS-GLI-00000-100", "BraTS-GLI-00000"),
        ("BraTS-MEN-RT-0402-1", "BraTS-MEN-RT-0402"),
        ("BraTS-MET-00001", "BraTS-MET-00001"),
        ("BraTS2021_00001", "BraTS2021_00001"),
        ("XBraTS-GLI-00000-100", "XBraTS-GLI-00000-100"),
    ],
)
def test_the_patient_in_a_name(case_id: str, patient: str) -> None:
    assert patient_of(case_id) == patient
    assert has_time_point(case_id) == (patient != case_id)
