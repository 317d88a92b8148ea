"""The verb 'split': hold-out and folds, of data sets and stores, that train and evaluate take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import make
from gliamap.errors import LayoutError, OutputError
from gliamap.sources.splits import SplitOptions, read_split
from gliamap.workflows.data.prepare import prepare
from gliamap.workflows.data.split import DivideOptions, divide


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight cases of four patients, of which the first enhances only."""
    root = tmp_path_factory.mktemp("scans")
    for patient in range(4):
        for visit in range(2):
            one = make.case(seed=patient, enhancing=patient == 0, case_id=f"BraTS-GLI-0000{patient}-00{visit}")
            make.write_brats(root, one, convention="brats2023")
    return root


def test_a_data_set_is_held_out_by_patient(scans: Path, tmp_path: Path) -> None:
    done = divide(scans, tmp_path / "split.json", options=DivideOptions(split=SplitOptions(test_share=0.25)))
    split = read_split(tmp_path / "split.json")
    assert done.files == (tmp_path / "split.json",) and done.splits == (split,)
    assert split.stratified and split.unit == "patient"
    parts = done.parts[0]
    assert {name: (part.cases, part.patients) for name, part in parts.items()} == {
        "train": (4, 2), "val": (2, 1), "test": (2, 1)
    }  # fmt: skip
    assert done.size_unit == "mL" and done.notes == ()
    assert sum(part.enhancing_share * part.cases for part in parts.values() if part.enhancing_share is not None) == 2
    truth = make.case(enhancing=False)
    assert truth.labels is not None
    assert parts["train"].median_size == pytest.approx((truth.labels > 0).sum() * 1.5 * 2 / 1000)


def test_a_store_gives_the_folds_of_its_data_set(scans: Path, tmp_path: Path) -> None:
    prepare([scans], tmp_path / "store")
    options = DivideOptions(folds=4)
    from_scans = divide(scans, tmp_path / "a", options=options)
    from_store = divide(tmp_path / "store", tmp_path / "b", options=options)
    assert from_scans.splits == from_store.splits
    assert [path.name for path in from_store.files] == [f"fold{n}.json" for n in range(4)]
    assert sorted(case for split in from_store.splits for case in split.test) == sorted(p.name for p in scans.iterdir())
    assert from_store.size_unit == "voxels"


def test_a_leaky_split_says_so(scans: Path, tmp_path: Path) -> None:
    options = DivideOptions(split=SplitOptions(unit="case", test_share=0.5))
    done = divide(scans, tmp_path / "split.json", options=options)
    assert any("patients are in more than one part" in note for note in done.notes)
    assert json.loads((tmp_path / "split.json").read_text())["unit"] == "case"


def test_nothing_is_overwritten_unless_asked(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "fold1.json").write_text("mine")
    with pytest.raises(OutputError, match=r"fold1.json is there already"):
        divide(scans, tmp_path, options=DivideOptions(folds=2))
    assert [path.name for path in tmp_path.iterdir()] == ["fold1.json"]
    divide(scans, tmp_path, options=DivideOptions(folds=2, overwrite=True))
    with pytest.raises(OutputError, match="is a folder"):
        divide(scans, tmp_path)


def test_what_has_no_masks_cannot_be_divided(tmp_path: Path) -> None:
    bare = make.case()
    make.write_brats(tmp_path / "bare", bare)
    for mask in (tmp_path / "bare").rglob("*seg.nii.gz"):
        mask.unlink()
    with pytest.raises(LayoutError, match="no case with labels"):
        divide(tmp_path / "bare", tmp_path / "split.json")
    assert not (tmp_path / "split.json").exists()


def test_slices_of_unknown_patients_are_kept_in_runs(tmp_path: Path) -> None:
    done = divide(make.write_pairs(tmp_path / "pairs", 12), tmp_path / "split.json")
    assert any("neighbours in file order" in note for note in done.notes)
    assert done.parts[0]["train"].enhancing_share is None and done.size_unit == "pixels"
