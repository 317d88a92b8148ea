"""All checks of one case: each damage is told by its own rule, and nothing that a file holds stops the others."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import make
import tiny
from gliamap.case import CaseFiles, CaseIdentity
from gliamap.checks import case as checks_case
from gliamap.checks.case import MASK, Expected, check_case
from gliamap.checks.findings import RULES, Level
from gliamap.sources.detect import scan

Data = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
EXPECTED = Expected(make.MODALITIES, foreground="brain")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> CaseFiles:
    (files,) = scan(tiny.write_set(tmp_path_factory.mktemp("set"), 1)).cases
    return files


def codes(files: CaseFiles, expected: Expected = EXPECTED) -> list[str]:
    return [finding.code for finding in check_case(files, expected).report.findings]


def resaved(path: Path, folder: Path, change: Callable[[nib.Nifti1Image], nib.Nifti1Image]) -> Path:
    """A changed copy of a file, of the same name."""
    image = nib.load(path)
    assert isinstance(image, nib.Nifti1Image)
    nib.save(change(image), folder / path.name)
    return folder / path.name


def voxels(change: Callable[[Data], Data]) -> Callable[[nib.Nifti1Image], nib.Nifti1Image]:
    return lambda image: nib.Nifti1Image(change(np.asarray(image.dataobj)), image.affine)


def affine(change: Callable[[Data], Data]) -> Callable[[nib.Nifti1Image], nib.Nifti1Image]:
    return lambda image: nib.Nifti1Image(np.asarray(image.dataobj), change(image.affine))


def unplaced(image: nib.Nifti1Image) -> nib.Nifti1Image:
    out = nib.Nifti1Image(np.asarray(image.dataobj), None)
    out.header.set_zooms(image.header.get_zooms())
    out.header["pixdim"][0] = 1
    return out


def two_forms(image: nib.Nifti1Image) -> nib.Nifti1Image:
    out = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
    out.set_qform(image.affine @ np.array([[1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), code=1)
    return out


def with_nan(data: Data) -> Data:
    out = data.astype(np.float32)
    out[12, 14, 13] = np.nan
    return out


def bright_cut_off(data: Data) -> Data:
    return np.minimum(data, np.percentile(data[data > 0], 90).astype(data.dtype))


IMAGE_DAMAGE: dict[str, tuple[Callable[[nib.Nifti1Image], nib.Nifti1Image], list[str]]] = {
    "another grid": (affine(lambda a: a + np.diag([0, 0, 0.05, 0])), ["grids-differ"]),
    "two forms": (two_forms, ["qform-sform-differ"]),
    "no form": (unplaced, ["grids-differ", "no-affine"]),
    "not finite": (voxels(with_nan), ["not-finite"]),
    "empty": (voxels(np.zeros_like), ["empty-image"]),
    "constant": (voxels(lambda data: np.full_like(data, 7)), ["constant-image"]),
    "cut off": (voxels(bright_cut_off), ["saturated"]),
}


def test_a_case_without_fault(clean: CaseFiles) -> None:
    checked = check_case(clean, EXPECTED)
    assert checked.report.findings == ()
    assert checked.report.level == Level.PASS
    assert (checked.report.case_id, checked.report.patient_id) == ("Phantom_00001", "Phantom_00001")
    assert list(checked.facts) == [*make.MODALITIES, MASK]
    assert checked.facts["t1"].shape == tiny.SHAPE
    assert checked.label_values == (1, 2, 4)
    assert checked.fingerprint is not None


@pytest.mark.parametrize("damage", IMAGE_DAMAGE)
def test_damaged_images(clean: CaseFiles, tmp_path: Path, damage: str) -> None:
    change, expected = IMAGE_DAMAGE[damage]
    changed = resaved(clean.modalities["t2"], tmp_path, change)
    checked = check_case(replace(clean, modalities={**clean.modalities, "t2": changed}), EXPECTED)
    assert [finding.code for finding in checked.report.findings] == expected
    assert all("t2" in finding.found for finding in checked.report.findings)


def test_a_copied_modality(clean: CaseFiles) -> None:
    files = replace(clean, modalities={**clean.modalities, "t1": clean.modalities["t1c"]})
    (finding,) = check_case(files, EXPECTED).report.findings
    assert (finding.code, finding.found) == ("copied-channel", "t1 and t1c (equal)")


def test_the_wrong_size_is_told_once(clean: CaseFiles, tmp_path: Path) -> None:
    def wrong(factor: float) -> CaseFiles:
        change = affine(lambda a: a @ np.diag([factor, factor, factor, 1]))
        folder = tmp_path / str(factor)
        folder.mkdir()
        images = {name: resaved(path, folder, change) for name, path in clean.modalities.items()}
        assert clean.labels is not None
        return replace(clean, modalities=images, labels=resaved(clean.labels, folder, change))

    (finding,) = check_case(wrong(4), EXPECTED).report.findings  # the header alone tells
    assert (finding.code, finding.found[:5]) == ("spacing-implausible", "t1, t")
    (finding,) = check_case(wrong(1.6), EXPECTED).report.findings  # the size of the brain tells
    assert (finding.code, finding.found[:9]) == ("spacing-implausible", "the brain")


def test_missing_modalities(clean: CaseFiles) -> None:
    files = replace(clean, modalities={"t1c": clean.modalities["t1c"]})
    (finding,) = check_case(files, EXPECTED).report.findings
    assert (finding.code, finding.found) == ("missing-modality", "t1, t2, flair")


def shifted(data: Data) -> Data:
    return np.roll(data, (9, 9), (0, 1))


def speckled(data: Data) -> Data:
    out = data.copy()
    out[::4, ::4, ::4] = 2
    return out


MASK_DAMAGE: dict[str, tuple[Callable[[nib.Nifti1Image], nib.Nifti1Image], str | None]] = {
    "empty": (voxels(np.zeros_like), None),
    "whole numbers as floats": (voxels(lambda data: data.astype(np.float32)), None),
    "another convention": (voxels(lambda data: np.where(data == 4, 3, data)), "labels-outside-convention"),
    "halves": (voxels(lambda data: data / 2), "labels-not-whole"),
    "shifted": (voxels(shifted), "tumour-outside-brain"),
    "specks": (voxels(speckled), "tiny-components"),
    "another grid": (affine(lambda a: a + np.diag([0, 0, 0.05, 0])), "grids-differ"),
}


@pytest.mark.parametrize("damage", MASK_DAMAGE)
def test_damaged_masks(clean: CaseFiles, tmp_path: Path, damage: str) -> None:
    change, expected = MASK_DAMAGE[damage]
    assert clean.labels is not None
    found = codes(replace(clean, labels=resaved(clean.labels, tmp_path, change)))
    assert found == [] if expected is None else expected in found


def test_the_convention_asked_for_counts(clean: CaseFiles) -> None:
    (finding,) = check_case(clean, replace(EXPECTED, conventions=("msd",))).report.findings
    assert finding.code == "labels-outside-convention"
    assert "expected msd (1 edema" in finding.found


def test_a_foreground_that_the_set_does_not_have(clean: CaseFiles) -> None:
    (finding,) = check_case(clean, replace(EXPECTED, foreground="head")).report.findings
    assert (finding.code, finding.found) == ("foreground-unexpected", "looks like a skull-stripped brain")
    assert codes(clean, replace(EXPECTED, foreground=None)) == []


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: path.write_bytes(b""),
    "not NIfTI": lambda path: path.write_bytes(b"nothing" * 100),
    "a folder": lambda path: path.mkdir(),
    "no file": lambda path: None,
    "a link to nowhere": lambda path: path.symlink_to(path.with_name("nowhere")),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_other_files_are_still_looked_at(clean: CaseFiles, tmp_path: Path, kind: str) -> None:
    UNREADABLE[kind](tmp_path / "t2.nii.gz")
    empty = resaved(clean.modalities["t1"], tmp_path, voxels(np.zeros_like))
    files = replace(clean, modalities={**clean.modalities, "t1": empty, "t2": tmp_path / "t2.nii.gz"})
    checked = check_case(files, EXPECTED)
    assert [finding.code for finding in checked.report.findings] == ["unreadable", "empty-image"]
    assert checked.report.findings[0].found.startswith("t2: t2.nii.gz ")
    assert str(tmp_path) not in checked.report.findings[0].found
    assert "t2" not in checked.facts


def test_voxels_cut_short(clean: CaseFiles, tmp_path: Path) -> None:
    assert clean.labels is not None
    (tmp_path / "t2.nii.gz").write_bytes(clean.modalities["t2"].read_bytes()[:-100])
    (tmp_path / "seg.nii.gz").write_bytes(clean.labels.read_bytes()[:-20])
    files = replace(clean, modalities={**clean.modalities, "t2": tmp_path / "t2.nii.gz"})
    checked = check_case(replace(files, labels=tmp_path / "seg.nii.gz"), EXPECTED)
    (finding,) = checked.report.findings
    assert finding.code == "unreadable"
    assert "t2: t2.nii.gz is damaged" in finding.found
    assert "mask: seg.nii.gz is damaged" in finding.found
    assert "t2" in checked.facts  # its header was fine


def test_nothing_readable(tmp_path: Path) -> None:
    files = CaseFiles(CaseIdentity("a", "a"), {"t1": tmp_path / "t1.nii.gz"}, tmp_path / "seg.nii.gz")
    checked = check_case(files, Expected())
    assert [finding.code for finding in checked.report.findings] == ["unreadable"]
    assert (checked.facts, checked.foreground, checked.fingerprint) == ({}, None, None)
    assert check_case(CaseFiles(CaseIdentity("a", "a"), {}), Expected()).report.findings == ()


def test_what_nobody_foresaw_is_a_finding_too(clean: CaseFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def surprise(path: Path, channels: object) -> object:
        raise RuntimeError(f"inside {path}")

    monkeypatch.setattr(checks_case, "read_volumes", surprise)
    (finding,) = check_case(clean, EXPECTED).report.findings
    assert finding.code == "unreadable"
    assert "t1: Phantom_00001_t1.nii.gz cannot be read (unexpected RuntimeError)" in finding.found


def test_a_file_of_several_images_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = tiny.phantom()
    data = np.moveaxis(one.image, 0, -1).astype(np.int16)
    nib.save(nib.Nifti1Image(data, one.grid.affine), tmp_path / "a.nii.gz")
    images = dict.fromkeys(make.MODALITIES, tmp_path / "a.nii.gz")
    channels = {name: index for index, name in enumerate(make.MODALITIES)}
    read: list[Path] = []
    before = checks_case.read_volumes
    monkeypatch.setattr(checks_case, "read_volumes", lambda path, wanted: (read.append(path), before(path, wanted))[1])
    assert codes(CaseFiles(one_identity(), images, channels=channels)) == []
    assert read == [tmp_path / "a.nii.gz"]
    twice = {**channels, "t1": channels["t2"]}
    assert codes(CaseFiles(one_identity(), images, channels=twice)) == ["copied-channel"]
    beyond = CaseFiles(one_identity(), images, channels={**channels, "t1": 4})
    (finding,) = check_case(beyond, EXPECTED).report.findings
    assert finding.found == "t1: a.nii.gz has no channel 4 (4 channels)"


def one_identity() -> CaseIdentity:
    return CaseIdentity("a", "a")


def test_grids_that_differ_are_checked_apart(clean: CaseFiles, tmp_path: Path) -> None:
    smaller = resaved(clean.modalities["t1"], tmp_path, voxels(lambda data: np.zeros_like(data[1:])))
    checked = check_case(replace(clean, modalities={**clean.modalities, "t1": smaller}), EXPECTED)
    assert [finding.code for finding in checked.report.findings] == ["grids-differ", "empty-image"]
    smaller = resaved(clean.modalities["t1"], tmp_path, voxels(lambda data: data[1:]))
    assert codes(replace(clean, modalities={**clean.modalities, "t1": smaller})) == ["grids-differ"]


def test_slices(tmp_path: Path) -> None:
    data = scan(make.write_pairs(tmp_path))
    expected = Expected(("t1c",), foreground="head")
    for files in data.cases:
        checked = check_case(files, expected)
        assert checked.report.findings == ()
        assert checked.facts["t1c"].kind == "image"
    without = replace(data.cases[0], labels=None)
    assert check_case(without, expected).report.findings == ()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_hostile_bytes_never_escape(clean: CaseFiles, tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(nib.Nifti1Image(np.arange(210, dtype=np.int16).reshape(5, 6, 7), np.eye(4)).to_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "a.nii").write_bytes(bytes(raw[: data.draw(st.integers(300, len(raw)))]))
    for files in (
        replace(clean, modalities={"t1": tmp_path / "a.nii", "t2": clean.modalities["t2"]}),
        CaseFiles(one_identity(), {"t1": tmp_path / "a.nii"}, tmp_path / "a.nii"),
    ):
        for finding in check_case(files, EXPECTED).report.findings:
            assert "unexpected" not in finding.found


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 3), (40, 1, 1), (3, 3, 3), (5, 40, 1)])
def test_odd_sizes(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    for name in ("t1", "t2", "seg"):
        nib.save(nib.Nifti1Image(rng.integers(0, 3, shape).astype(np.int16), np.eye(4)), tmp_path / f"{name}.nii")
    images = {name: tmp_path / f"{name}.nii" for name in ("t1", "t2")}
    check_case(CaseFiles(one_identity(), images, tmp_path / "seg.nii"), EXPECTED)


def test_findings_come_in_order_and_once(clean: CaseFiles, tmp_path: Path) -> None:
    assert clean.labels is not None
    images = {
        "t1": resaved(clean.modalities["t1"], tmp_path, voxels(np.zeros_like)),
        "t2": resaved(clean.modalities["t2"], tmp_path, two_forms),
        "flair": tmp_path / "flair.nii.gz",
    }
    mask = resaved(clean.labels, tmp_path, voxels(lambda data: data * 3))
    found = codes(replace(clean, modalities=images, labels=mask))
    assert {"unreadable", "missing-modality", "empty-image", "labels-outside-convention"} <= set(found)
    assert found == sorted(set(found), key=list(RULES).index)


def test_what_is_found_travels_between_processes(clean: CaseFiles) -> None:
    checked = check_case(clean, EXPECTED)
    again = pickle.loads(pickle.dumps((check_case, checked)))[1]  # noqa: S301  # our own
    assert again.report == checked.report
    assert again.facts["t1"].grid.same_as(checked.facts["t1"].grid)
    assert again.fingerprint == checked.fingerprint


def test_a_real_case(data_root: Path) -> None:
    (files,) = scan(data_root / "brats23").cases
    checked = check_case(files, EXPECTED)
    assert checked.report.findings == ()
    assert checked.foreground == "brain"


def test_real_slices(data_root: Path) -> None:
    for files in scan(data_root / "figshare-t1c").cases[:400:40]:
        assert codes(files, Expected(("t1c",), foreground="head")) == []
