"""BIDS: entities, sessions, derivatives, which of many files are the images and the tumour's mask."""

from __future__ import annotations

from pathlib import Path

import pytest

import make
from gliamap.case import CaseFiles
from gliamap.errors import FileError, LayoutError
from gliamap.sources.detect import scan

RAW = ("_T1w", "_ce-gadolinium_T1w", "_T2w", "_FLAIR")
BRATS_2023 = "index\tname\n1\tNCR\n2\tED\n3\tET\n"
TISSUES = "index\tname\tabbreviation\n1\tGray Matter\tGM\n2\tWhite Matter\tWM\n"


def write(root: Path, *names: str, home: str = ".", subject: str = "sub-01") -> Path:
    """Empty files ``sub-01/anat/sub-01NAME.nii.gz`` in the data set ``home``; a session in a name gets its folder."""
    for name in names:
        session = name.split("_")[1] if name.startswith("_ses-") else ""
        make.touch(root / home / subject / session / "anat" / f"{subject}{name}.nii.gz")
    return root


def only(root: Path) -> CaseFiles:
    (case,) = scan(root).cases
    return case


def chosen(root: Path) -> dict[str, str]:
    """Modality to the file's place below the root."""
    return {name: path.relative_to(root).as_posix() for name, path in only(root).modalities.items()}


# Images


CONTRAST = [
    *("_ce-gadolinium_T1w", "_ce-GADOLINIUM_T1w", "_ce-gad_T1w", "_acq-ce_T1w", "_acq-postcontrast_T1w"),
    *("_acq-ceMPRAGE_T1w", "_acq-mprageCE_T1w", "_acq-t1ce_T1w", "_acq-T1post_T1w", "_acq-mprageGd_T1w"),
    *("_desc-postcontrast_T1w", "_rec-postGd_run-2_T1w", "_acq-postcontrast_desc-preproc_T1w"),
]
NO_CONTRAST = [
    *("_T1w", "_ce-none_T1w", "_acq-space_T1w", "_acq-SPACE_T1w", "_acq-mprage_T1w", "_acq-precontrast_T1w"),
    *("_acq-postop_T1w", "_acq-nocontrast_T1w", "_acq-noncontrast_T1w", "_desc-preproc_T1w", "_acq-posterior_T1w"),
]


@pytest.mark.parametrize("name", CONTRAST)
def test_names_of_a_post_contrast_t1(tmp_path: Path, name: str) -> None:
    assert list(only(write(tmp_path, name)).modalities) == ["t1c"]


@pytest.mark.parametrize("name", NO_CONTRAST)
def test_names_of_a_plain_t1(tmp_path: Path, name: str) -> None:
    assert list(only(write(tmp_path, name)).modalities) == ["t1"]


def test_only_anatomy_in_our_modalities_is_taken(tmp_path: Path) -> None:
    write(tmp_path, "_T1w", "_T2starw", "_PDw", "_UNIT1", "_desc-brain_mask", "_part-a_b_T2w", "_T2w.extra")
    make.touch(tmp_path / "sub-01" / "anat" / "sub-02_FLAIR.nii.gz")  # not this subject's
    make.touch(tmp_path / "sub-01" / "dwi" / "sub-01_FLAIR.nii.gz")
    make.touch(tmp_path / "sub-01" / "anat" / "sub-01_T2w.json")
    assert chosen(tmp_path) == {"t1": "sub-01/anat/sub-01_T1w.nii.gz"}


def test_of_several_runs_the_first_is_taken_and_told(tmp_path: Path) -> None:
    write(tmp_path, "_run-10_T1w", "_run-2_T1w", "_run-2_T2w", "_acq-hires_FLAIR", "_FLAIR")
    make.touch(tmp_path / "sub-01" / "anat" / "sub-01_run-2_T2w.nii")  # the same unpacked is no second run
    names = [Path(place).name for place in chosen(tmp_path).values()]
    assert names == ["sub-01_run-2_T1w.nii.gz", "sub-01_run-2_T2w.nii", "sub-01_FLAIR.nii.gz"]
    assert scan(tmp_path).notes == (
        "of several files of one kind the first was taken: sub-01_FLAIR.nii.gz, sub-01_run-2_T1w.nii.gz",
    )


def test_skull_stripped_images_say_so(tmp_path: Path) -> None:
    write(tmp_path / "a", "_desc-brain_T1w", "_desc-brain_FLAIR")
    assert scan(tmp_path / "a").foreground == "brain"
    write(tmp_path / "a", "_T2w")
    assert scan(tmp_path / "a").foreground is None


# Sessions


def test_sessions_are_cases_of_one_patient(tmp_path: Path) -> None:
    write(tmp_path, "_ses-pre_T1w", "_ses-post_T1w")
    write(tmp_path, "_T1w", subject="sub-2")
    data = scan(tmp_path)
    assert [(c.case_id, c.identity.patient_id) for c in data.cases] == [
        ("sub-01_ses-post", "sub-01"),
        ("sub-01_ses-pre", "sub-01"),
        ("sub-2", "sub-2"),
    ]
    assert data.patients_known


def test_a_mask_without_session_belongs_to_the_only_one(tmp_path: Path) -> None:
    write(tmp_path, "_ses-1_T1w")
    write(tmp_path, "_label-tumor_mask", home="derivatives/masks")
    case = only(tmp_path)
    assert (case.case_id, case.labels is None) == ("sub-01_ses-1", False)
    write(tmp_path, "_ses-2_T1w")  # now it could be of either
    data = scan(tmp_path)
    assert all(case.labels is None for case in data.cases)
    assert data.notes == ("sessions with a mask but without an image were passed over: sub-01",)


# Masks


@pytest.mark.parametrize(
    "name",
    [
        *("_label-tumor_mask", "_space-orig_label-lesion_desc-T1lesion_mask", "_label-WT_mask", "_desc-tumor_mask"),
        *("_label-L_mask", "_label-lesion_roi", "_label-glioma_mask"),  # L is BIDS' own short name of a lesion
    ],
)
def test_binary_masks(tmp_path: Path, name: str) -> None:
    write(tmp_path, *RAW)
    write(tmp_path, name, "_desc-brain_mask", home="derivatives/manual")
    case = only(tmp_path)
    assert case.labels is not None and case.labels.name == f"sub-01{name}.nii.gz"
    assert case.conventions == ("binary",)


@pytest.mark.parametrize(
    "name",
    ["_label-brain_mask", "_desc-brain_mask", "_mask", "_label-ET_mask", "_label-tumorcore_mask", "_label-GM_mask"],
)
def test_masks_of_something_else(tmp_path: Path, name: str) -> None:
    write(tmp_path, *RAW)
    write(tmp_path, name, home="derivatives/brats")
    assert only(tmp_path).labels is None


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ("sub-01_desc-tumor_dseg.tsv", "sub-01/anat"),
        ("dseg.tsv", "sub-01/anat"),
        ("dseg.tsv", "sub-01"),
        ("dseg.tsv", "."),
        ("desc-tumor_dseg.tsv", "."),
    ],
)
def test_a_table_of_labels_tells_the_convention(tmp_path: Path, table: str, place: str) -> None:
    write(tmp_path, *RAW)
    home = tmp_path / "derivatives" / "seg"
    write(tmp_path, "_desc-tumor_dseg", home="derivatives/seg")
    (home / place / table).write_text("\ufeff" + BRATS_2023, encoding="utf-8")
    assert only(tmp_path).conventions == ("brats2023",)


def test_the_nearest_table_that_fits_counts(tmp_path: Path) -> None:
    write(tmp_path, "_T1w", "_desc-tumor_dseg")
    (tmp_path / "dseg.tsv").write_text(TISSUES)
    (tmp_path / "desc-other_dseg.tsv").write_text(TISSUES)  # about other segmentations
    (tmp_path / "desc-tumor_dseg.tsv").write_text(BRATS_2023)
    assert only(tmp_path).conventions == ("brats2023",)
    (tmp_path / "sub-01" / "dseg.tsv").write_text("index\tname\n1\ttumor\n")
    assert only(tmp_path).conventions == ("binary",)


def test_a_table_above_the_data_set_is_not_about_it(tmp_path: Path) -> None:
    write(tmp_path, "_T1w")
    write(tmp_path, "_dseg", home="derivatives/seg")
    (tmp_path / "dseg.tsv").write_text(BRATS_2023)
    data = scan(tmp_path)
    assert data.cases[0].labels is None
    assert data.notes == (
        "segmentations that do not say that they are a tumour's were passed over: sub-01_dseg.nii.gz",
    )


def test_abbreviations_where_names_are_not_understood(tmp_path: Path) -> None:
    write(tmp_path, "_T1w", "_dseg")
    (tmp_path / "dseg.tsv").write_text("index\tname\tabbreviation\n1\tred\tED\n2\tgreen\tNET\n3\tblue\tET\nn/a\tx\ty\n")
    assert only(tmp_path).conventions == ("msd",)


def test_segmentations_of_tissue_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "_T1w")
    write(tmp_path, "_dseg", "_label-GM_probseg", "_atlas-lesions_dseg", home="derivatives/fmriprep")
    (tmp_path / "derivatives" / "fmriprep" / "dseg.tsv").write_text(TISSUES)
    assert only(tmp_path).labels is None


def test_an_atlas_of_lesions_is_no_mask(tmp_path: Path) -> None:
    write(tmp_path, "_T1w", "_atlas-lesions_desc-tumor_dseg")
    assert only(tmp_path).labels is None


@pytest.mark.parametrize("home", ["derivatives/tumor_masks", "derivatives/BraTS-toolkit"])
def test_a_pipeline_may_say_that_it_is_about_tumours(tmp_path: Path, home: str) -> None:
    write(tmp_path, "_T1w")
    write(tmp_path, "_dseg", home=home)
    case = only(tmp_path)
    assert case.labels is not None and case.conventions == ()


def test_a_table_of_no_convention_leaves_the_images(tmp_path: Path) -> None:
    write(tmp_path, "_T1w", "_desc-tumor_dseg")
    (tmp_path / "dseg.tsv").write_text("index\tname\n1\tET\n2\tED\n3\tNCR\n")
    data = scan(tmp_path)
    assert data.cases[0].labels is None
    assert data.notes == (
        "the masks were passed over, because dseg.tsv numbers labels as no convention does: 1 ET, 2 ED, 3 NCR",
    )


def test_segmentations_come_before_binary_masks_and_that_is_told(tmp_path: Path) -> None:
    write(tmp_path, "_T1w")
    write(tmp_path, "_label-tumor_mask", "_desc-tumor_dseg", home="derivatives/a")
    case = only(tmp_path)
    assert case.labels is not None and case.labels.name == "sub-01_desc-tumor_dseg.nii.gz"
    assert "of several files of one kind the first was taken: sub-01_desc-tumor_dseg.nii.gz" in scan(tmp_path).notes


@pytest.mark.parametrize("content", [b"index\tname\n1\t\xff\n", b"index\tname\n1\t" + b"x" * 200_000])
def test_a_damaged_table_names_itself(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "_T1w", "_desc-tumor_dseg")
    (tmp_path / "dseg.tsv").write_bytes(content)
    with pytest.raises(FileError, match=r"dseg\.tsv cannot be read"):
        scan(tmp_path)


@pytest.mark.parametrize("content", ["", "index\n1\n", "value\tname\n1\tED\n"])
def test_a_table_that_says_nothing(tmp_path: Path, content: str) -> None:
    write(tmp_path, "_T1w", "_desc-tumor_dseg")
    (tmp_path / "dseg.tsv").write_text(content)
    case = only(tmp_path)
    assert case.labels is not None and case.conventions == ()


# Which images go with the mask


def test_images_are_taken_in_the_space_of_the_mask(tmp_path: Path) -> None:
    write(tmp_path, *RAW)
    names = ("_space-MNI_desc-preproc_T1w", "_space-MNI_FLAIR", "_desc-preproc_T1w", "_space-MNI_desc-tumor_dseg")
    write(tmp_path, *names, home="derivatives/pipe")
    assert chosen(tmp_path) == {
        "t1": "derivatives/pipe/sub-01/anat/sub-01_space-MNI_desc-preproc_T1w.nii.gz",
        "t1c": "sub-01/anat/sub-01_ce-gadolinium_T1w.nii.gz",  # nothing better is there; reading says grids differ
        "t2": "sub-01/anat/sub-01_T2w.nii.gz",
        "flair": "derivatives/pipe/sub-01/anat/sub-01_space-MNI_FLAIR.nii.gz",
    }


def test_the_space_counts_more_than_the_number_of_images(tmp_path: Path) -> None:
    write(tmp_path, *RAW)
    write(tmp_path, "_space-MNI_T1w", "_space-MNI_FLAIR", home="derivatives/a")
    write(tmp_path, "_space-MNI_label-tumor_mask", home="derivatives/b")
    places = chosen(tmp_path)
    assert [name for name, place in places.items() if "space-MNI" in place] == ["t1", "flair"]


def test_images_of_the_mask_s_pipeline_come_before_raw_ones(tmp_path: Path) -> None:
    write(tmp_path, "_T1w", "_FLAIR")
    write(tmp_path, "_T1w", "_FLAIR", "_space-orig_desc-tumor_dseg", home="derivatives/b")
    write(tmp_path, "_T1w", "_FLAIR", "_T2w", home="derivatives/a")
    assert chosen(tmp_path) == {
        "t1": "derivatives/b/sub-01/anat/sub-01_T1w.nii.gz",
        "t2": "derivatives/a/sub-01/anat/sub-01_T2w.nii.gz",
        "flair": "derivatives/b/sub-01/anat/sub-01_FLAIR.nii.gz",
    }


def test_raw_images_where_only_the_mask_is_derived(tmp_path: Path) -> None:
    write(tmp_path, *RAW)
    write(tmp_path, "_T1w", home="derivatives/a")
    write(tmp_path, "_label-tumor_mask", home="derivatives/b")
    assert all(place.startswith("sub-01/") for place in chosen(tmp_path).values())


def test_without_a_mask_the_space_with_most_modalities(tmp_path: Path) -> None:
    write(tmp_path, "_T1w", "_space-MNI_T1w", "_space-MNI_T2w", "_space-MNI_FLAIR")
    assert all("space-MNI" in place for place in chosen(tmp_path).values())


def test_the_mask_that_fits_the_images_is_taken(tmp_path: Path) -> None:
    write(tmp_path, *RAW)
    write(tmp_path, "_space-MNI_label-tumor_mask", "_space-orig_label-tumor_mask", home="derivatives/a")
    case = only(tmp_path)
    assert case.labels is not None and case.labels.name == "sub-01_space-orig_label-tumor_mask.nii.gz"


# Roots


def test_a_pipeline_alone_and_derivatives_without_pipelines(tmp_path: Path) -> None:
    write(tmp_path, "_desc-brain_T1w", "_desc-tumor_dseg", home="derivatives/pipe")
    assert only(tmp_path / "derivatives" / "pipe").labels is not None
    other = write(tmp_path / "other", "_T1w")
    write(other, "_label-tumor_mask", home="derivatives")
    assert only(other).labels is not None


def test_masks_without_images_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "_T1w")
    write(tmp_path, "_label-tumor_mask", home="derivatives/manual")
    with pytest.raises(LayoutError, match=r"manual holds masks but no images.*name the raw data set"):
        scan(tmp_path / "derivatives" / "manual")


def test_folders_called_like_subjects_without_scans(tmp_path: Path) -> None:
    (tmp_path / "sub-01").mkdir()
    (tmp_path / "sub-02" / "ses-1" / "func").mkdir(parents=True)
    with pytest.raises(LayoutError, match=r"Found: sub-01/, sub-02/"):
        scan(tmp_path)
