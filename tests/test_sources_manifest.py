"""Patients, folds and exclusions that a data set ships are taken over, and only by the data set they are about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gliamap.case import CaseIdentity, DataSet
from gliamap.errors import FileError
from gliamap.sources.detect import scan
from gliamap.sources.manifest import write_manifest


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def pairs(root: Path, *names: str, kind: str = "") -> Path:
    images, masks = ("training_images", "training_labels") if kind == "training" else ("images", "masks")
    for name in names:
        touch(root / images / f"{name}.png")
        touch(root / masks / f"{name}.png")
    return root


def brats(root: Path, *names: str) -> Path:
    for name in names:
        touch(root / name / f"{name}_t1.nii.gz")
    return root


def identities(data: DataSet) -> list[CaseIdentity]:
    return [case.identity for case in data.cases]


def folds(data: DataSet) -> list[int | None]:
    return [case.identity.fold for case in data.cases]


FIGSHARE = (
    "id,image,mask,fold,exclude_from_train_when_test_fold\n1,images/1.jpg,masks/1.png,0,1;2\n2,images/2.jpg,,1,\n"
)
MSD = "\ufefffile,case_id,patient_group\nBRATS_001_z46.png,BRATS_001,7\nBRATS_002_z46.png,BRATS_002,7\n"


def test_folds_and_exclusions_of_a_manifest(tmp_path: Path) -> None:
    pairs(tmp_path, "1", "2", "3")
    (tmp_path / "manifest.csv").write_text(FIGSHARE)
    data = scan(tmp_path)
    assert identities(data) == [
        CaseIdentity("1", "1", 0, frozenset({1, 2})),
        CaseIdentity("2", "2", 1),
        CaseIdentity("3", "3"),
    ]
    assert not data.patients_known
    assert data.notes == ("1 cases have no row in manifest.csv: 3",)


def test_names_of_patients_in_other_data_sets(tmp_path: Path) -> None:
    pairs(tmp_path, "1", "2", "3")
    (tmp_path / "manifest.csv").write_text(
        "id,same_patient_as_3d_case\n1,BraTS2021_00006; old_1\n2,\n3,BraTS2021_00007\n"
    )
    assert [sorted(i.aliases) for i in identities(scan(tmp_path))] == [
        ["BraTS2021_00006", "old_1"],
        [],
        ["BraTS2021_00007"],
    ]
    again = tmp_path / "again"
    pairs(again, "1", "2", "3")
    write_manifest(again, identities(scan(tmp_path)), patients_known=False)
    assert identities(scan(again)) == identities(scan(tmp_path))
    assert scan(again).notes == ("manifest.csv names no patient for 3 cases: 1, 2, 3",)


def test_patients_of_a_manifest(tmp_path: Path) -> None:
    pairs(tmp_path, "BRATS_001_z46", "BRATS_002_z46", "BRATS_003_z46", kind="training")
    (tmp_path / "manifest.csv").write_text(MSD, encoding="utf-8")
    data = scan(tmp_path)
    assert [i.patient_id for i in identities(data)] == ["7", "7", "BRATS_003"]
    assert not data.patients_known
    assert data.notes == ("manifest.csv names no patient for 1 cases: BRATS_003_z46",)


def test_a_manifest_that_knows_every_patient_makes_patients_known(tmp_path: Path) -> None:
    pairs(tmp_path, "1", "2")
    (tmp_path / "manifest.csv").write_text("image,patient\nimages/1.png,anna\nimages/2.png,anna\n")
    data = scan(tmp_path)
    assert data.patients_known
    assert [i.patient_id for i in identities(data)] == ["anna", "anna"]


def test_a_manifest_about_something_else_is_passed_over(tmp_path: Path) -> None:
    pairs(tmp_path, "1")
    (tmp_path / "manifest.csv").write_text("name,patient\n1,red\n")
    data = scan(tmp_path)
    assert identities(data) == [CaseIdentity("1", "1")]
    assert data.notes == ("manifest.csv was passed over: no column file, image, case_id, id, case",)
    (tmp_path / "manifest.csv").write_text("id,colour\n1,red\n")
    (note,) = scan(tmp_path).notes
    assert note.startswith("manifest.csv was passed over: no column patient_group, patient, patient_id, fold")


@pytest.mark.parametrize("column", ["case_id", "id", "case", "file", "image"])
def test_case_ids_with_dots(tmp_path: Path, column: str) -> None:
    brats(tmp_path, "anna", "anna.1", "W39_1998.09.19")
    rows = "anna,a\nanna.1,b\nW39_1998.09.19,c\n"
    (tmp_path / "manifest.csv").write_text(f"{column},patient_id\n{rows}")
    data = scan(tmp_path)
    assert {i.case_id: i.patient_id for i in identities(data)} == {"anna": "a", "anna.1": "b", "W39_1998.09.19": "c"}
    assert (data.patients_known, data.notes) == (True, ())


def test_the_column_that_names_cases_is_taken(tmp_path: Path) -> None:
    brats(tmp_path, "A", "B")
    (tmp_path / "manifest.csv").write_text("file,case_id,patient_id\nA/x_t1.nii.gz,A,p\nB/x_t1.nii.gz,B,p\n")
    data = scan(tmp_path)
    assert [i.patient_id for i in identities(data)] == ["p", "p"]
    assert data.notes == ()


@pytest.mark.parametrize("rows", ["A,p\nB,\n", "A,p\nB\n", "A,p\nB, \n", "A,p\n"])
def test_a_case_without_a_patient_makes_patients_unknown(tmp_path: Path, rows: str) -> None:
    brats(tmp_path, "A", "B")
    (tmp_path / "manifest.csv").write_text(f"case_id,patient_id\n{rows}")
    data = scan(tmp_path)
    assert [i.patient_id for i in identities(data)] == ["p", "B"]
    assert not data.patients_known
    assert data.notes == ("manifest.csv names no patient for 1 cases: B",)


def test_rows_without_a_case_are_told(tmp_path: Path) -> None:
    pairs(tmp_path, "1")
    (tmp_path / "manifest.csv").write_text("image,patient\n1.png,p\n2.png,q\n3.png,r\n4.png,s\n5.png,t\n")
    data = scan(tmp_path)
    assert data.patients_known
    assert data.notes == ("4 rows of manifest.csv match no case: 2.png, 3.png, 4.png and 1 more",)


def test_one_image_beside_a_manifest_of_many(tmp_path: Path) -> None:
    touch(tmp_path / "1.png")
    (tmp_path / "manifest.csv").write_text("image,patient\n1.png,p\n2.png,q\n")
    data = scan(tmp_path / "1.png")
    assert identities(data) == [CaseIdentity("1", "p")]
    assert data.notes == ()


def test_a_damaged_manifest_names_file_and_line(tmp_path: Path) -> None:
    pairs(tmp_path, "1")
    (tmp_path / "manifest.csv").write_text("id,fold\n1,first\n")
    with pytest.raises(FileError, match=r"manifest\.csv, line 2.*'first'"):
        scan(tmp_path)
    (tmp_path / "manifest.csv").write_bytes(b"id,fold\n\xff,1\n")
    with pytest.raises(FileError, match=r"manifest\.csv cannot be read"):
        scan(tmp_path)


@pytest.mark.parametrize("place", [".", ".."])
def test_a_fold_file_in_the_folder_or_beside_it(tmp_path: Path, place: str) -> None:
    root = brats(tmp_path / "set", "A", "B")
    (root / place / "folds.json").write_text(json.dumps({"other": {"X": 5}, "mine": {"A": 1, "B": 0, "C": 2}}))
    assert folds(scan(root)) == [1, 0]


def test_folds_by_patient(tmp_path: Path) -> None:
    root = pairs(tmp_path / "msd-2d", "BRATS_001_z46", "BRATS_002_z46", kind="training")
    (root / "manifest.csv").write_text(MSD, encoding="utf-8")
    (tmp_path / "folds.json").write_text(json.dumps({"other": {"7": 3}, "msd-2d (by patient_group)": {"7": 4}}))
    # Both sections know patient 7: the one named after the folder is meant.
    assert folds(scan(root)) == [4, 4]


def test_a_section_named_after_the_folder_need_not_know_every_case(tmp_path: Path) -> None:
    root = brats(tmp_path / "set", "A", "B")
    (tmp_path / "folds.json").write_text(json.dumps({"set (2 of 3)": {"A": 1}}))
    assert folds(scan(root)) == [1, None]
    (tmp_path / "folds.json").write_text(json.dumps({"settled": {"A": 1}}))
    assert folds(scan(root)) == [None, None]


def test_bare_numbers_do_not_show_whose_folds_they_are(tmp_path: Path) -> None:
    root = pairs(tmp_path / "mine", "1", "2")
    (tmp_path / "folds.json").write_text(json.dumps({"msd (by patient_group)": {"1": 1, "2": 0, "3": 4}}))
    assert folds(scan(root)) == [None, None]


@pytest.mark.parametrize("content", ['{"set": {"A": "one"}}', '{"set": [1]}', "[1]", "{"])
def test_a_damaged_fold_file_names_itself(tmp_path: Path, content: str) -> None:
    root = brats(tmp_path / "set", "A")
    (tmp_path / "folds.json").write_text(content)
    with pytest.raises(FileError, match=r"folds\.json"):
        scan(root)


@pytest.mark.parametrize("place", ["set", "."])
def test_a_case_folder_alone_finds_the_files_of_its_set(tmp_path: Path, place: str) -> None:
    root = brats(tmp_path / "set", "A", "B")
    (root / "manifest.csv").write_text("case,patient\nA,p\nB,q\n")
    (tmp_path / place / "folds.json").write_text(json.dumps({"set (by patient)": {"p": 3, "q": 0}}))
    data = scan(root / "A")
    assert identities(data) == [CaseIdentity("A", "p", 3)]
    assert (data.patients_known, data.notes) == (True, ())


def test_a_case_folder_with_files_of_its_own_is_a_set(tmp_path: Path) -> None:
    root = brats(tmp_path / "set", "A")
    (root / "manifest.csv").write_text("case,patient\nA,p\n")
    (root / "A" / "manifest.csv").write_text("case,patient\nA,q\n")
    assert identities(scan(root / "A")) == [CaseIdentity("A", "q")]


@pytest.mark.parametrize("second", ["A,q,1,", "A,p,2,", "A,p,1,3"])
def test_rows_that_disagree_about_a_case_are_refused(tmp_path: Path, second: str) -> None:
    brats(tmp_path, "A", "B")
    head = "file,patient,fold,exclude_from_train_when_test_fold\n"
    (tmp_path / "manifest.csv").write_text(f"{head}A,p,1,\n{second}\nB,r,0,\n")
    with pytest.raises(FileError, match=r"manifest\.csv says two things of the case A\..*line 2.*line 3"):
        scan(tmp_path)


def test_rows_that_agree_about_a_case_are_one(tmp_path: Path) -> None:
    brats(tmp_path, "A")
    (tmp_path / "manifest.csv").write_text("case,patient,modality\nA,p,t1\nA,p,t2\n")
    assert identities(scan(tmp_path)) == [CaseIdentity("A", "p")]
