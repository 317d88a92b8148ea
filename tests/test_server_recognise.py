from __future__ import annotations

from dataclasses import replace

import pytest

from gliamap.config import ModelSpec
from gliamap.io.model_spec import read_spec
from gliamap.models.shipped import PHANTOM_DEMO, shipped_model
from gliamap.server.nouns import CaseRecord, FileRecord, GridRecord, Options, ToldBy
from gliamap.server.recognise import is_ready, problems_of, recognised

AFFINE = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
GRID = GridRecord((4, 5, 6), (1.0, 1.0, 1.0), "mm", AFFINE)
SPEC = read_spec(shipped_model(PHANTOM_DEMO))
ALL = ("t1", "t1c", "t2", "flair")


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("BraTS2021_00006_t1ce.nii.gz", "t1c"),
        ("BraTS-GLI-00000-000-t2f.nii.gz", "flair"),
        ("sub-01_ses-2_T1w.nii.gz", "t1"),
        ("sub-01_ce-gd_T1w.nii.gz", "t1c"),
        ("sub-01_ce-none_T1w.nii.gz", "t1"),
        ("t1/patient_t2_flair.nii", "flair"),
        ("T1 post contrast.nii.gz", "t1c"),
        ("A_post_t1.nii.gz", "t1"),
        ("scan_0000.nii.gz", None),
        ("flair_mask.nii.gz", None),
        ("", None),
    ],
)
def test_modality_is_told_by_the_last_words_of_a_name(name: str, modality: str | None) -> None:
    assert recognised(name, image=False)[0] == modality


def test_how_it_was_told() -> None:
    assert recognised("x_seg.nii.gz", image=False) == (None, "mask-name")
    assert recognised("x.nii.gz", image=False) == (None, "unknown")
    assert recognised("12.png", image=True) == ("t1c", "name")


def case(*modalities: str | None, model: str | None = "m", options: Options | None = None) -> CaseRecord:
    files = tuple(FileRecord(n, ".nii.gz", 1, GRID, modality) for n, modality in enumerate(modalities, 1))
    return CaseRecord("a" * 26, "", files=files, model=model, options=options or Options())


def codes(record: CaseRecord, spec: ModelSpec = SPEC) -> list[str]:
    return [one.code for one in problems_of(record, {"m": spec})]


def moved(record: CaseRecord, number: int) -> CaseRecord:
    """With a file on another grid."""
    affine = ((1.0, 0.0, 0.0, 9.0), *AFFINE[1:])
    files = [replace(f, grid=replace(GRID, affine=affine)) if f.number == number else f for f in record.files]
    return replace(record, files=tuple(files))


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (case(), ["no-files"]),
        (case(*ALL), []),
        (case(*ALL, model=None), ["no-model"]),
        (case(*ALL, model="gone"), ["no-model"]),
        (case("t1", "t1c", "t2"), ["missing-modality"]),
        (case(*ALL, "t1"), ["twice"]),
        (case(*ALL, None), ["unused-files"]),
        (moved(case(*ALL), 2), ["grids-differ"]),
        (moved(case(*ALL, options=Options(resample_to="t1c")), 2), ["not-registered"]),
        (moved(case(*ALL, None), 5), ["unused-files"]),
    ],
)
def test_what_is_wrong_with_a_case(record: CaseRecord, found: list[str]) -> None:
    assert codes(record) == found


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (case("t2", model=None), []),
        (case(None, model=None), ["missing-modality", "unused-files"]),
        (case("t2", model="m"), ["missing-modality"]),
        (case("t2", model="gone"), ["no-model"]),
    ],
)
def test_a_case_without_a_model_waits_for_nothing_where_the_job_chooses(record: CaseRecord, found: list[str]) -> None:
    assert [one.code for one in problems_of(record, {"m": SPEC}, choosing=True)] == found


@pytest.mark.parametrize(
    ("told_by", "text"),
    [
        (["unknown"], ["1 of 5 files is not used."]),
        (["hand", "unknown"], ["2 of 6 files are not used."]),
        (["mask-name", "unknown"], ["1 of 6 files is not used."]),
        (["mask-name"], []),
    ],
)
def test_unused_files_are_counted_but_for_masks(told_by: list[ToldBy], text: list[str]) -> None:
    record = case(*ALL, *[None] * len(told_by))
    more = [replace(one, told_by=told) for one, told in zip(record.files[len(ALL) :], told_by, strict=True)]
    assert [one.text for one in problems_of(record.with_files(*more), {"m": SPEC})] == text


def test_target_of_resampling_must_be_there() -> None:
    spec = SPEC.model_copy(update={"prep": SPEC.prep.model_copy(update={"modalities": ("t1",)})})
    assert codes(case("t1", options=Options(resample_to="t2")), spec) == ["no-target"]


def test_only_some_problems_keep_a_case_from_being_started() -> None:
    for record, ready in ((case(*ALL, None), True), (case("t1"), False), (replace(case(*ALL), state="running"), False)):
        assert is_ready(record, problems_of(record, {"m": SPEC})) is ready
