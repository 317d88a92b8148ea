"""Any folder by a pattern: how names divide, whose cases they are, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import make
from gliamap.case import DataSet
from gliamap.errors import ConfigError, LayoutError
from gliamap.sources.detect import scan
from gliamap.sources.pattern import scan_pattern


def write(root: Path, *names: str) -> Path:
    for name in names:
        make.touch(root / name)
    return root


def found(data: DataSet) -> dict[str, list[str]]:
    """Case id to its modalities, and 'mask' where it has one."""
    return {c.case_id: [*c.modalities, *(["mask"] if c.labels else [])] for c in data.cases}


def patients(data: DataSet) -> dict[str, str]:
    return {c.case_id: c.identity.patient_id for c in data.cases}


# How a name divides into case and modality


@pytest.mark.parametrize(
    ("name", "case", "modality"),
    [
        ("BTP_01_pre_t1post", "BTP_01_pre", "t1c"),
        ("BTP_01_post_t1", "BTP_01_post", "t1"),
        ("A_t1_ce", "A", "t1c"),
        ("A_1_T2_FLAIR", "A_1", "flair"),
        ("A_post_contrast", "A", "t1c"),
        ("A_t1_post", "A", "t1c"),
        ("A_pre_t1w", "A_pre", "t1"),
        ("A_T1", "A", "t1"),
        ("A_b_ADC", "A_b", "adc"),
        ("A_t2", "A", "t2"),
        ("seg_t2", "seg", "t2"),
        ("A__T1 Gd", "A_", "t1c"),
        ("Ä ö_Übung", "Ä ö", "übung"),
    ],
)
def test_case_and_modality(tmp_path: Path, name: str, case: str, modality: str) -> None:
    write(tmp_path, f"{name}.nii.gz")
    assert found(scan(tmp_path, "{case}_{modality}.nii.gz")) == {case: [modality]}


@pytest.mark.parametrize("mask", ["seg", "SEG", "mask", "tumor_seg", "Segmentation", "label", "ground_truth", "roi"])
def test_masks_by_name(tmp_path: Path, mask: str) -> None:
    write(tmp_path, "A_1_t1.nii.gz", f"A_1_{mask}.nii.gz")
    data = scan(tmp_path, "{case}_{modality}.nii.gz")
    assert found(data) == {"A_1": ["t1", "mask"]}
    assert (data.cases[0].conventions, data.foreground, data.layout) == ((), None, "pattern")


def test_modality_before_the_case(tmp_path: Path) -> None:
    write(tmp_path, "t1_ce_A_1.nii", "t1_A_1.nii", "mask_A_1.nii", "adc_A_1.nii")
    assert found(scan(tmp_path, "{modality}_{case}")) == {"A_1": ["t1", "t1c", "adc", "mask"]}


def test_folders_of_modalities(tmp_path: Path) -> None:
    write(tmp_path, "T1/a.png", "T1/b.png", "FLAIR/a.png", "mask/a.png", "notes/readme.txt")
    data = scan(tmp_path, "{modality}/{case}.png")
    assert found(data) == {"a": ["t1", "flair", "mask"], "b": ["t1"]}
    assert data.notes == ("1 cases have no mask: b",)


def test_a_placeholder_that_occurs_again_is_the_same_text(tmp_path: Path) -> None:
    write(tmp_path, "A/A_t1.nii.gz", "A/B_t2.nii.gz", "B/B_t1.nii.gz", "C/extra/C_t1.nii.gz", "C_t1.nii.gz")
    data = scan(tmp_path, "{case}/{case}_{modality}.nii.gz")
    assert found(data) == {"A": ["t1"], "B": ["t1"]}
    assert data.notes == ("1 files do not fit the pattern and were passed over: A/B_t2.nii.gz",)


def test_anything(tmp_path: Path) -> None:
    write(tmp_path, "x1/A-2020-t1.nii", "x1/A--t2.nii", "y/B-2021-t1.nii")
    assert found(scan(tmp_path, "{any}/{case}-{any}-{modality}")) == {"A": ["t1", "t2"], "B": ["t1"]}


def test_one_modality_where_none_is_named(tmp_path: Path) -> None:
    write(tmp_path, "A_t1.nii.gz", "B.nii.gz")
    assert found(scan(tmp_path, "{case}.nii.gz")) == {"A_t1": ["image"], "B": ["image"]}


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII.GZ", ".mgz", ".png", ".jpg", ".tif"])
def test_without_a_suffix_any_image_fits(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, f"A.1_t1{suffix}", "A.1_t2.nrrd", "A.1_t2.json")
    assert found(scan(tmp_path, "{case}_{modality}")) == {"A.1": ["t1"]}
    with pytest.raises(LayoutError, match="fits no file"):
        scan(tmp_path, "{case}_{modality}" + (".nii" if suffix == ".png" else ".png"))


def test_packed_and_unpacked_at_once_take_the_unpacked(tmp_path: Path) -> None:
    write(tmp_path, "A_t1.nii.gz", "A_t1.nii")
    assert scan(tmp_path, "{case}_{modality}").cases[0].modalities == {"t1": tmp_path / "A_t1.nii"}


def test_literal_text_is_not_a_regular_expression(tmp_path: Path) -> None:
    write(tmp_path, "A.(x)[1]+t1.nii", "AxxxX1tt1.nii")
    assert found(scan(tmp_path, "{case}.(x)[1]+{modality}")) == {"A": ["t1"]}


def test_known_modalities_come_first_and_in_order(tmp_path: Path) -> None:
    write(tmp_path, *(f"A_{name}.nii" for name in ("adc", "flair", "t1", "t1ce", "zzz")))
    assert found(scan(tmp_path, "{case}_{modality}")) == {"A": ["t1", "t1c", "flair", "adc", "zzz"]}


# Whose cases


def test_patients_and_visits(tmp_path: Path) -> None:
    write(tmp_path, "P1_pre_t1.nii", "P1_post_t1.nii", "P2_pre_t1.nii")
    data = scan(tmp_path, "{case}_{timepoint}_{modality}")
    assert patients(data) == {"P1_post": "P1", "P1_pre": "P1", "P2_pre": "P2"}
    assert data.patients_known


def test_visits_that_are_part_of_the_case(tmp_path: Path) -> None:
    write(tmp_path, "P1_pre/x_pre_t1.nii", "P1_post/x_post_t1.nii", "P2-pre/x_pre_t1.nii")
    data = scan(tmp_path, "{case}/{any}_{timepoint}_{modality}")
    assert patients(data) == {"P1_post": "P1", "P1_pre": "P1", "P2-pre": "P2"}


def test_a_case_that_ends_like_its_visit_keeps_its_patient(tmp_path: Path) -> None:
    write(tmp_path, "P_1_1_t1.nii", "P_1_2_t1.nii", "P_2_1_t1.nii")
    data = scan(tmp_path, "{case}_{timepoint}_{modality}")
    assert patients(data) == {"P_1_1": "P_1", "P_1_2": "P_1", "P_2_1": "P_2"}


def test_patients_by_folder(tmp_path: Path) -> None:
    write(tmp_path, "anna/day1_t1.nii", "anna/day2_t1.nii", "ben/day3_t1.nii")
    data = scan(tmp_path, "{patient}/{case}_{modality}")
    assert patients(data) == {"day1": "anna", "day2": "anna", "day3": "ben"}
    assert data.patients_known


def test_cases_called_alike_are_named_after_their_patients(tmp_path: Path) -> None:
    write(tmp_path, "anna/day1_t1.nii", "ben/day1_t1.nii", "ben/day1_t2.nii")
    data = scan(tmp_path, "{patient}/{case}_{modality}")
    assert found(data) == {"anna_day1": ["t1"], "ben_day1": ["t1", "t2"]}
    assert patients(data) == {"anna_day1": "anna", "ben_day1": "ben"}


def test_without_either_patients_are_not_known_but_by_name_or_manifest(tmp_path: Path) -> None:
    write(tmp_path, "A_t1.nii", "B_t1.nii")
    data = scan(tmp_path, "{case}_{modality}")
    assert (patients(data), data.patients_known) == ({"A": "A", "B": "B"}, False)
    (tmp_path / "manifest.csv").write_text("case,patient\nA,p\nB,p\n")
    data = scan(tmp_path, "{case}_{modality}")
    assert (patients(data), data.patients_known) == ({"A": "p", "B": "p"}, True)
    write(tmp_path / "gli", "BraTS-GLI-00001-000_t1.nii", "BraTS-GLI-00001-001_t1.nii")
    data = scan(tmp_path / "gli", "{case}_{modality}")
    assert (set(patients(data).values()), data.patients_known) == ({"BraTS-GLI-00001"}, True)


# What is refused


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("{case}_{sequence}.nii", "has the unknown placeholder {sequence}"),
        ("{Case}.nii", "has the unknown placeholder {Case}"),
        ("{}_{case}", "has the unknown placeholder {}"),
        ("{case}_{modality.nii", "has a brace too many"),
        ("{case}}_x", "has a brace too many"),
        ("{{case}}", "has a brace too many"),
        ("*.nii.gz", "does not say where the name of the case stands"),
        ("{modality}/x.nii", "does not say where the name of the case stands"),
        ("", "does not say where the name of the case stands"),
        ("../{case}.nii", "leaves the folder"),
        ("{case}/../x.nii", "leaves the folder"),
        ("/data/{case}.nii", "leaves the folder"),
        ("{case}/", "names a folder, not files"),
    ],
)
def test_patterns_that_cannot_be(tmp_path: Path, pattern: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"the pattern '{pattern}' {fault}")) as caught:
        scan(tmp_path, pattern)
    assert "{case}/{case}_{modality}.nii.gz" in str(caught.value)


def test_needless_parts_of_a_path_are_allowed(tmp_path: Path) -> None:
    write(tmp_path, "x/A_t1.nii")
    assert found(scan(tmp_path, "./x//{case}_{modality}")) == {"A": ["t1"]}


def test_nothing_that_fits_tells_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, "P1/scan/t1.nii", "P1/scan/t2.nii", "readme.txt", ".hidden_t1.nii", "._A_t1.nii")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LayoutError) as caught:
        scan(tmp_path, "{case}/{case}_{modality}")
    assert str(caught.value) == (
        f"the pattern '{{case}}/{{case}}_{{modality}}' fits no file in {tmp_path}. "
        "Found: readme.txt, P1/scan/t1.nii, P1/scan/t2.nii, empty/. "
        "Expected: files such as CASE/CASE_t1.nii.gz. "
        "To do: adapt the pattern to the names, or name another folder."
    )


def test_masks_alone_are_no_cases(tmp_path: Path) -> None:
    write(tmp_path, "A_seg.nii")
    with pytest.raises(LayoutError, match="fits masks only, no image in"):
        scan(tmp_path, "{case}_{modality}")
    write(tmp_path, "B_t1.nii")
    assert scan(tmp_path, "{case}_{modality}").notes == ("1 masks have no image and were passed over: A",)


@pytest.mark.parametrize("names", [("A_t1.nii", "A_t1w.nii"), ("A_seg.nii", "A_mask.nii"), ("A_t1.nii", "A_t1.png")])
def test_two_files_for_one_thing_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    write(tmp_path, *names)
    with pytest.raises(LayoutError, match=r"fits two files for (t1|the mask) of the case A.*narrower"):
        scan(tmp_path, "{case}_{modality}")


def test_two_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "A_1-2-t1.nii", "A-1_2-t1.nii")
    with pytest.raises(LayoutError, match=r"gives several cases one name.*Found: A_1_2"):
        scan(tmp_path, "{case}-{timepoint}-{modality}")


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="is not a folder"):
        scan(make.touch(tmp_path / "A_t1.nii"), "{case}_{modality}")
    with pytest.raises(LayoutError, match="does not exist"):
        scan(tmp_path / "none", "{case}_{modality}")


def test_no_folder_deeper_than_the_pattern_is_opened(tmp_path: Path) -> None:
    write(tmp_path, "A_t1.nii", "deep/x.nii", "A/B_t1.nii")
    closed = tmp_path / "deep"
    closed.chmod(0)
    try:
        assert found(scan(tmp_path, "{case}_{modality}")) == {"A": ["t1"]}
    finally:
        closed.chmod(0o700)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\x00{}."), min_size=1, max_size=12)


@given(case=NAMES.filter(lambda name: name.strip(". ")), modality=st.sampled_from(["t1", "T1-Gd", "t2_w", "FLAIR"]))
def test_what_a_pattern_writes_it_reads(tmp_path_factory: pytest.TempPathFactory, case: str, modality: str) -> None:
    root = tmp_path_factory.mktemp("any")
    make.touch(root / case / f"{case}_{modality}.nii.gz")
    data = scan_pattern(root, "{case}/{case}_{modality}")
    assert [c.case_id for c in data.cases] == [case]
    assert len(data.cases[0].modalities) == 1


# Real cases


def test_btp(data_root: Path) -> None:
    for pattern in ("{case}/{case}_{modality}", "{any}/{case}_{timepoint}_{modality}.nii.gz"):
        data = scan(data_root / "btp-t1post", pattern)
        assert len(data.cases) == 12
        assert len(set(patients(data).values())) == 6
        assert data.patients_known
        assert found(data)["BTP_01_pre"] == ["t1c", "mask"]
        assert data.notes == ()


def test_clinical(data_root: Path) -> None:
    data = scan(data_root / "clinical-raw", "{case}/{case}_{modality}")
    assert found(data) == {"TCGA-DU-7294": ["t1", "t1c", "t2", "flair"]}
