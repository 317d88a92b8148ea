"""What a data set is told to be: from names, headers and three cases' voxels."""

from __future__ import annotations

import json
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import make
from gliamap.errors import LayoutError
from gliamap.labels import from_tissue, get_convention
from gliamap.workflows.common import foreground
from gliamap.workflows.data import inspect as module
from gliamap.workflows.data.inspect import SAMPLE, GridKind, inspect


def test_a_brats_folder(tmp_path: Path) -> None:
    make.write_brats_set(tmp_path / "set")
    found = inspect(tmp_path / "set")
    assert (found.name, found.layout) == ("set", "brats")
    assert (found.cases, found.labelled, found.patients, found.revisited) == (3, 3, 3, 0)
    assert found.modalities == dict.fromkeys(make.MODALITIES, 3)
    assert found.usual == make.MODALITIES
    assert found.incomplete == {} and found.differing == () and found.unreadable == {} and found.notes == ()
    assert found.labels.told and found.labels.conventions == ("brats2021",)
    assert (found.labels.values, found.labels.masks_read) == ((1, 2, 4), 3)
    assert (found.foreground, found.foreground_why) == ("brain", "the layout says so")
    assert found.kinds == {"nifti1": 15}
    assert found.grids == (
        GridKind((18, 15, 12), (1.0, 1.5, 2.0), "mm", "RAS", 0.0, 1),
        GridKind((14, 19, 11), (2.0, 0.9, 1.2), "mm", "SPL", 0.0, 1),
        GridKind((16, 13, 20), (1.1, 2.2, 0.8), "mm", "LAS", 22.3, 1),
    )
    assert found.grids[2].describe() == "16x13x20 voxels of 1.1x2.2x0.8 mm, LAS, oblique by 22.3 degrees"
    assert found.planes == {"isotropic": 1, "axial": 1, "coronal": 1}


def test_it_is_json(tmp_path: Path) -> None:
    make.write_brats_set(tmp_path)
    said = json.loads(json.dumps(inspect(tmp_path).as_json(), allow_nan=False))
    assert said["format"] == 1
    assert said["grids"][0] == {
        "shape": [18, 15, 12],
        "spacing": [1.0, 1.5, 2.0],
        "unit": "mm",
        "orientation": "RAS",
        "oblique_degrees": 0.0,
        "cases": 1,
    }
    assert said["labels"]["conventions"] == ["brats2021"]


def test_what_single_cases_lack_or_have_wrong_stops_nothing(tmp_path: Path) -> None:
    first, second, third = make.write_brats_set(tmp_path)
    (first / f"{first.name}_t2.nii.gz").unlink()
    (second / f"{second.name}_t1.nii.gz").write_bytes(b"no image")
    moved = make.affine("oblique")
    moved[0, 3] += 5
    image = nib.load(third / f"{third.name}_flair.nii.gz")
    nib.Nifti1Image(np.asarray(image.dataobj), moved).to_filename(third / f"{third.name}_flair.nii.gz")
    found = inspect(tmp_path)
    assert found.incomplete == {first.name: ("t2",)}
    assert found.modalities["t2"] == 2
    assert found.differing == (third.name,)
    assert list(found.unreadable) == [f"{second.name}/{second.name}_t1.nii.gz"]
    assert str(tmp_path) not in str(found.unreadable)
    assert found.cases == 3


def test_two_years_in_one_folder_have_two_conventions(tmp_path: Path) -> None:
    make.write_brats_set(tmp_path)
    make.write_brats_set(tmp_path, convention="brats2023")
    found = inspect(tmp_path)
    assert found.labels.told and found.labels.conventions == ("brats2021", "brats2023")
    assert "brats2021: the layout says so" in found.labels.why


def test_visits_of_one_patient(tmp_path: Path) -> None:
    for visit in range(3):
        make.write_brats(tmp_path, make.case(case_id=f"BraTS-GLI-00007-00{visit}"), convention="brats2023")
    found = inspect(tmp_path)
    assert (found.cases, found.patients, found.revisited) == (3, 1, 1)


def test_slices(tmp_path: Path) -> None:
    found = inspect(make.write_pairs(tmp_path))
    assert (found.cases, found.patients) == (3, None)
    assert found.grids == (GridKind((33, 26, 1), (1.0, 1.0, 1.0), "px", None, 0.0, 3),)
    assert found.grids[0].describe() == "33x26 px"
    assert found.planes == {"unknown": 3}
    assert found.labels.conventions == ("binary255",)


def test_values_that_fit_several_conventions_are_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gliamap.workflows.common.conventions.tell_convention", lambda *_: None)
    monkeypatch.setattr("gliamap.workflows.common.conventions.settle", lambda *_: (None, "it shows too little"))
    one = make.case()
    folder = tmp_path / "p1"
    folder.mkdir()
    for channel, name in zip(one.image, one.modalities, strict=True):
        nib.Nifti1Image(channel.astype(np.int16), one.grid.affine).to_filename(folder / f"p1_{name}.nii.gz")
    assert one.labels is not None
    values = from_tissue(one.labels, get_convention("brats2023"))
    nib.Nifti1Image(values, one.grid.affine).to_filename(folder / "p1_mask.nii.gz")
    found = inspect(tmp_path, pattern="{case}/{case}_{modality}.nii.gz")
    assert not found.labels.told
    assert {"brats2023", "msd"} <= set(found.labels.conventions)
    assert "it shows too little" in found.labels.why


def test_the_voxels_of_few_cases_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        make.write_brats(tmp_path, make.case(case_id=f"BraTS2021_{number:05d}"))
    read: list[Path] = []
    original = module.read_mask_file
    monkeypatch.setattr(module, "read_mask_file", lambda path: (read.append(path), original(path))[1])
    monkeypatch.setattr(foreground, "read_image_file", lambda *_: pytest.fail("the layout says what the foreground is"))
    assert inspect(tmp_path).labels.masks_read == SAMPLE
    assert [path.parent.name[-1] for path in read] == ["1", "4", "6"]


def test_where_the_layout_does_not_say_the_voxels_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.write_pairs(tmp_path)
    data = replace(module.scan(tmp_path), foreground=None)
    monkeypatch.setattr(module, "scan", lambda *_: data)
    looks = iter(["brain", None, "brain"])
    monkeypatch.setattr(foreground, "stripped_or_head", lambda _: next(looks))
    found = inspect(tmp_path)
    assert (found.foreground, found.foreground_why) == ("brain", "seen in 2 of 3 cases")
    looks = iter(["brain", "head", "brain"])
    found = inspect(tmp_path)
    assert found.foreground is None
    assert found.foreground_why == "of 3 cases 2 look skull-stripped and 1 whole"


def test_several_images_and_the_mask_in_one_file(tmp_path: Path) -> None:
    found = inspect(make.write_cheng(tmp_path / "cheng"))
    assert (found.kinds, found.planes) == ({"mat": 3}, {"unknown": 3})
    found = inspect(make.write_msd(tmp_path / "Task01_BrainTumour"))
    assert found.modalities == dict.fromkeys(("flair", "t1", "t1c", "t2"), 3)
    assert found.planes == {"coronal": 1, "axial": 1, "isotropic": 1}
    assert not found.in_archive


def test_inside_an_archive(tmp_path: Path) -> None:
    make.write_msd(tmp_path / "Task01_BrainTumour")
    with tarfile.open(tmp_path / "Task01.tar", "w") as archive:
        archive.add(tmp_path / "Task01_BrainTumour", "Task01_BrainTumour")
    found = inspect(tmp_path / "Task01.tar")
    assert (found.name, found.in_archive, found.unreadable) == ("Task01.tar", True, {})
    assert found.grids == inspect(tmp_path / "Task01_BrainTumour").grids


def test_an_unknown_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="not a data set"):
        inspect(tmp_path)


@pytest.mark.slow
def test_a_thousand_cases_take_seconds(tmp_path: Path) -> None:
    folder = make.write_brats(tmp_path, make.case(case_id="BraTS2021_00000"))
    for number in range(1, 1000):
        copy = tmp_path / f"BraTS2021_{number:05d}"
        copy.mkdir()
        for path in folder.iterdir():
            (copy / path.name.replace(folder.name, copy.name)).hardlink_to(path)
    started = time.perf_counter()
    assert inspect(tmp_path).cases == 1000
    assert time.perf_counter() - started < 30  # about 3 s on one free core


BY_NAME = "{case}/{case}_{modality}.nii.gz"


@pytest.mark.parametrize(
    ("name", "pattern", "cases", "patients", "conventions", "foreground"),
    [
        ("brats21", None, 11, 11, ("brats2021",), "brain"),
        ("brats23", None, 1, 1, ("brats2023",), "brain"),
        ("msd-t1gd-2d", None, 1974, 224, ("msd",), "brain"),
        ("figshare-t1c", None, 1855, None, ("binary",), "head"),
        ("clinical-raw", BY_NAME, 1, None, (), "brain"),
    ],
)
def test_real_data_sets(
    data_root: Path,
    *,
    name: str,
    pattern: str | None,
    cases: int,
    patients: int | None,
    conventions: tuple[str, ...],
    foreground: str,
) -> None:
    found = inspect(data_root / name, pattern=pattern)
    assert (found.cases, found.patients, found.labels.conventions) == (cases, patients, conventions)
    assert (found.foreground, found.labels.told, found.unreadable) == (foreground, True, {})


def test_what_a_hospital_hands_over(data_root: Path) -> None:
    found = inspect(data_root / "clinical-raw", pattern=BY_NAME)
    assert found.differing == ("TCGA-DU-7294",)
    assert [kind.shape for kind in found.grids] == [(512, 512, 34), (512, 512, 68), (256, 256, 68)]
    assert found.planes == {"axial": 1}
    assert found.labelled == 0


def test_whole_heads_without_a_layout_that_says_so(data_root: Path) -> None:
    found = inspect(data_root / "btp-t1post", pattern=BY_NAME)
    assert (found.cases, found.patients, found.revisited) == (12, 6, 6)
    assert found.foreground == "head"


def test_odd_headers_are_read(data_root: Path) -> None:
    found = inspect(data_root / "odd-headers", pattern="{case}")
    assert found.kinds == {"nifti1": 3, "nifti2": 1, "mgz": 1}
    assert found.unreadable == {}
