"""The verb 'prepare': from data sets to a store, in one go or in several."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import make
import tiny
from gliamap.errors import ConfigError, FileError, GliamapError, LabelError, LayoutError, OutputError
from gliamap.io.store import has_distances, open_distances, read_case, read_store, write_store
from gliamap.labels import Region, Tissue, region_mask
from gliamap.prep.distances import signed_distances
from gliamap.workflows.data import prepare as verb
from gliamap.workflows.data.prepare import PrepareOptions, prepare


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three BraTS 2021 cases on three kinds of grid."""
    make.write_brats_set(tmp_path / "scans")
    return tmp_path / "scans"


def name(number: int) -> str:
    return f"BraTS2021_{number:05d}"


def touched(store: Path) -> dict[str, int]:
    """When each case was finished."""
    return {path.parent.name: path.stat().st_mtime_ns for path in store.glob("cases/*/case.json")}


def test_a_store_holds_every_labelled_case(scans: Path, tmp_path: Path) -> None:
    seen: list[tuple[float, int, str]] = []
    done = prepare([scans], tmp_path / "store", progress=lambda *step: seen.append(step))
    assert seen == [(0, 3, name(0)), (1, 3, name(1)), (2, 3, name(2)), (3, 3, "")]
    assert (done.reused, done.failed, done.notes) == (0, {}, ())
    assert done.info == read_store(tmp_path / "store")
    assert [entry.case_id for entry in done.info.cases] == [name(0), name(1), name(2)]
    assert (done.info.convention, done.info.patients_known, done.info.layouts) == ("brats2021", True, ("brats",))
    assert done.info.prep.modalities == make.MODALITIES and done.info.prep.foreground == "brain"
    case = read_case(tmp_path / "store", name(1))
    assert case.labels is not None and Tissue.ET in case.labels
    assert not [path for path in tiny.files_in(tmp_path / "store") if ".part-" in path]


def test_a_second_call_does_nothing_again(scans: Path, tmp_path: Path) -> None:
    first = prepare([scans], tmp_path / "store")
    before = touched(tmp_path / "store")
    second = prepare([scans], tmp_path / "store")
    assert (second.reused, second.info) == (3, first.info)
    assert touched(tmp_path / "store") == before


def test_an_interrupted_call_goes_on_where_it_stopped(scans: Path, tmp_path: Path) -> None:
    def stop(done: float, _total: int, _name: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare([scans], tmp_path / "store", progress=stop)
    before = touched(tmp_path / "store")
    assert sorted(before) == [name(0), name(1)] and not (tmp_path / "store" / "store.json").exists()
    done = prepare([scans], tmp_path / "store")
    assert done.reused == 2
    after = touched(tmp_path / "store")
    assert {case: after[case] for case in before} == before
    assert done.info == prepare([scans], tmp_path / "fresh").info


def test_a_case_interrupted_half_way_is_done_again(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("gliamap.io.store.write_json", stop)  # arrays are there, case.json is not
        prepare([scans], tmp_path / "store")
    assert (tmp_path / "store" / "cases" / name(0) / "image.npy").is_file()
    assert prepare([scans], tmp_path / "store").reused == 0


def test_changed_sources_are_noticed(scans: Path, tmp_path: Path) -> None:
    first = prepare([scans], tmp_path / "store")
    path = scans / name(1) / f"{name(1)}_seg.nii.gz"
    image = nib.Nifti1Image.from_filename(path)
    values = np.asarray(image.dataobj).copy()
    values[values == 4] = 1
    nib.Nifti1Image(values, image.affine).to_filename(path)
    second = prepare([scans], tmp_path / "store")
    assert second.reused == 2
    assert second.info.fingerprint != first.info.fingerprint
    labels = read_case(tmp_path / "store", name(1)).labels
    assert labels is not None and Tissue.ET not in labels


def test_a_damaged_prepared_case_is_done_again(scans: Path, tmp_path: Path) -> None:
    prepare([scans], tmp_path / "store")
    path = tmp_path / "store" / "cases" / name(2) / "image.npy"
    path.write_bytes(path.read_bytes()[:-50])
    done = prepare([scans], tmp_path / "store")
    assert (done.reused, done.failed) == (2, {})


def test_a_damaged_index_of_the_store_is_written_anew(scans: Path, tmp_path: Path) -> None:
    first = prepare([scans], tmp_path / "store")
    (tmp_path / "store" / "store.json").write_text("{")
    assert prepare([scans], tmp_path / "store").info == first.info


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"modalities": ("t1c",)}, r"Found: modalities \['t1', 't1c', 't2', 'flair'\]. Expected: modalities \['t1c'\]"),
        ({"spacing": (2.0, 2.0, 2.0)}, r"Found: spacing None. Expected: spacing \[2.0, 2.0, 2.0\]"),
        ({"foreground": "head"}, "Found: foreground brain. Expected: foreground head"),
        ({"labels": "brats2013"}, "Found: labels brats2021. Expected: labels brats2013"),
    ],
)
def test_changed_settings_are_refused_unless_told_otherwise(
    scans: Path, tmp_path: Path, changes: dict[str, Any], found: str
) -> None:
    prepare([scans], tmp_path / "store")
    before = touched(tmp_path / "store")
    with pytest.raises(ConfigError, match=found):
        prepare([scans], tmp_path / "store", options=PrepareOptions.model_validate(changes))
    assert touched(tmp_path / "store") == before
    done = prepare([scans], tmp_path / "store", options=PrepareOptions.model_validate(changes | {"overwrite": True}))
    assert done.reused == 0
    assert done.info == prepare([scans], tmp_path / "fresh", options=PrepareOptions.model_validate(changes)).info


def test_the_convention_asked_for_is_the_one_read(scans: Path, tmp_path: Path) -> None:
    done = prepare([scans], tmp_path / "store", options=PrepareOptions(labels="brats2013"))
    assert done.info.convention == "brats2013"
    labels = read_case(tmp_path / "store", name(1)).labels
    assert labels is not None and set(np.unique(labels)) == {0, Tissue.NECROSIS, Tissue.ED, Tissue.ET}
    with pytest.raises(LabelError, match="no label convention called 'brats'"):
        prepare([scans], tmp_path / "other", options=PrepareOptions(labels="brats"))


def break_case(folder: Path, how: str) -> str:
    """Break one file of a case; returns what the message should name."""
    t2, seg = folder / f"{folder.name}_t2.nii.gz", folder / f"{folder.name}_seg.nii.gz"
    if how == "truncated":
        t2.write_bytes(t2.read_bytes()[:-200])
    elif how == "not NIfTI":
        t2.write_bytes(b"DICM" * 500)
    elif how == "missing":
        t2.unlink()
        return "lacks t2"
    elif how == "other grid":
        nib.Nifti1Image(np.ones((5, 6, 7), np.int16), np.eye(4)).to_filename(t2)
    elif how == "labels outside":
        image = nib.Nifti1Image.from_filename(seg)
        nib.Nifti1Image(np.full(image.shape, 7, np.uint8), image.affine).to_filename(seg)
        return seg.name
    elif how == "only the mask":
        for path in folder.iterdir():
            if path != seg:
                path.unlink()
        return "lacks"
    return t2.name


BROKEN = ["truncated", "not NIfTI", "missing", "other grid", "labels outside", "only the mask"]


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("which", [0, 1])
def test_a_broken_case_does_not_stop_the_others(scans: Path, tmp_path: Path, how: str, which: int) -> None:
    expected = break_case(scans / name(which), how)
    done = prepare([scans], tmp_path / "store")
    assert list(done.failed) == [name(which)]
    assert expected in done.failed[name(which)]
    assert [entry.case_id for entry in done.info.cases] == [name(n) for n in range(3) if n != which]
    assert done.info.prep.modalities == make.MODALITIES  # the broken one does not decide for all


@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError("out of memory"), ZeroDivisionError()])
def test_what_nobody_foresaw_in_one_case_does_not_stop_the_others(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    honest = verb.prepare_case

    def odd(case: Any, config: Any) -> Any:
        if case.case_id == name(1):
            raise error
        return honest(case, config)

    monkeypatch.setattr(verb, "prepare_case", odd)
    done = prepare([scans], tmp_path / "store")
    assert done.failed == {name(1): f"unexpected {type(error).__name__}: {error}"}
    assert len(done.info.cases) == 2


def test_a_full_disk_stops_at_once(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def full(*args: Any, **_: Any) -> None:
        calls.append(args)
        raise OutputError("image.npy cannot be written", found="No space left on device")

    monkeypatch.setattr(verb, "write_case", full)
    with pytest.raises(OutputError, match="No space left"):
        prepare([scans], tmp_path / "store")
    assert len(calls) == 1


def test_where_every_case_fails_the_first_reason_is_told(scans: Path, tmp_path: Path) -> None:
    for folder in scans.iterdir():
        break_case(folder, "labels outside")
    with pytest.raises(LayoutError, match=r"none of the 3 cases.*BraTS2021_00000.*outside its label convention"):
        prepare([scans], tmp_path / "store")
    assert not (tmp_path / "store" / "store.json").exists()


def test_a_folder_without_masks_is_refused(scans: Path, tmp_path: Path) -> None:
    for path in scans.glob("*/*_seg.nii.gz"):
        path.unlink()
    with pytest.raises(LayoutError, match=r"no case with labels.*Found: 3 cases without.*gliamap segment"):
        prepare([scans], tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_cases_without_a_mask_are_left_out_and_said(scans: Path, tmp_path: Path) -> None:
    (scans / name(1) / f"{name(1)}_seg.nii.gz").unlink()
    (scans / "notes").mkdir()
    done = prepare([scans], tmp_path / "store")
    assert (len(done.info.cases), done.failed) == (2, {})
    assert done.notes[-1] == f"1 cases without labels were left out: {name(1)}"
    assert any("notes" in note for note in done.notes)


@pytest.mark.parametrize("kind", ["empty", "missing", "a file"])
def test_what_is_no_data_set_is_refused(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "scans"
    if kind == "empty":
        source.mkdir()
    elif kind == "a file":
        source.write_text("scans")
    with pytest.raises(GliamapError, match=str(source)):
        prepare([source], tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_years_of_brats_are_joined(tmp_path: Path) -> None:
    make.write_brats_set(tmp_path / "a")
    make.write_brats_set(tmp_path / "b", convention="brats2023")
    done = prepare([tmp_path / "a", tmp_path / "b"], tmp_path / "store")
    assert (len(done.info.cases), done.info.layouts) == (6, ("brats", "brats"))
    assert [entry.convention for entry in done.info.cases] == ["brats2021"] * 3 + ["brats2023"] * 3
    assert done.info.convention == "brats2021"
    old, new = (read_case(tmp_path / "store", n).labels for n in (name(1), "BraTS-GLI-00001-000"))
    assert old is not None and new is not None and np.array_equal(old, new)


def test_conventions_that_share_no_labels_are_refused(tmp_path: Path) -> None:
    make.write_brats_set(tmp_path / "scans")
    make.write_pairs(tmp_path / "pairs")
    with pytest.raises(ConfigError, match=r"mix skull-stripped images and whole heads.*--foreground"):
        prepare([tmp_path / "scans", tmp_path / "pairs"], tmp_path / "store")
    options = PrepareOptions(foreground="head", modalities=("t1c",))
    with pytest.raises(ConfigError, match=r"do not share their labels.*Found: brats2021, binary"):
        prepare([tmp_path / "scans", tmp_path / "pairs"], tmp_path / "store", options=options)


def test_the_same_case_twice_is_refused(scans: Path, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=f"{name(0)} occurs in more than one source"):
        prepare([scans, scans], tmp_path / "store")


def test_a_store_must_be_a_folder(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        prepare([scans], tmp_path / "store")
    assert (tmp_path / "store").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PrepareOptions(spacing=(0, 1, 1)), "'spacing' does not fit.*greater than 0"),
        (PrepareOptions(modalities=("t1", "t1")), "named twice"),
        (PrepareOptions(modalities=("t1", "pet")), "lacks pet"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    scans: Path, tmp_path: Path, options: PrepareOptions, message: str
) -> None:
    with pytest.raises(GliamapError, match=message):
        prepare([scans], tmp_path / "store", options=options)
    assert not (tmp_path / "store").exists()


def test_modalities_are_taken_in_the_order_asked_for(scans: Path, tmp_path: Path) -> None:
    done = prepare([scans], tmp_path / "store", options=PrepareOptions(modalities=("flair", "t1")))
    assert done.info.prep.modalities == ("flair", "t1")
    every = prepare([scans], tmp_path / "every")
    assert every.info.prep.modalities == make.MODALITIES
    two, four = (read_case(tmp_path / folder, name(0)).image for folder in ("store", "every"))
    assert np.array_equal(two[0], four[3]) and np.array_equal(two[1], four[0])


def test_slices_are_prepared(tmp_path: Path) -> None:
    done = prepare([make.write_pairs(tmp_path / "pairs")], tmp_path / "store")
    info = done.info
    assert (info.prep.foreground, info.prep.modalities, info.patients_known) == ("head", ("t1c",), False)
    assert info.convention == "binary255" and all(entry.shape[2] == 1 for entry in info.cases)


def test_an_unreadable_file_counts_as_a_broken_case(scans: Path, tmp_path: Path) -> None:
    path = scans / name(1) / f"{name(1)}_t2.nii.gz"
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    done = prepare([scans], tmp_path / "store")
    assert list(done.failed) == [name(1)] and len(done.info.cases) == 2


def test_a_case_that_vanished_leaves_the_store_only_when_told(scans: Path, tmp_path: Path) -> None:
    first = prepare([scans], tmp_path / "store")
    shutil.rmtree(scans / name(0))
    with pytest.raises(ConfigError, match=rf"holds cases that the sources now lack.*Found: {name(0)}.*--overwrite"):
        prepare([scans], tmp_path / "store")
    assert read_store(tmp_path / "store") == first.info
    done = prepare([scans], tmp_path / "store", options=PrepareOptions(overwrite=True))
    assert [entry.case_id for entry in done.info.cases] == [name(1), name(2)] and done.reused == 2


@pytest.mark.parametrize("cases", ["same names", "more", "others"])
def test_another_data_set_does_not_replace_the_first(scans: Path, tmp_path: Path, cases: str) -> None:
    convention = "brats2023" if cases == "others" else "brats2021"
    other = tmp_path / "other"
    make.write_brats_set(other, convention=convention)
    if cases == "more":
        shutil.rmtree(scans / name(2))
    first, before = prepare([scans], tmp_path / "store"), tiny.files_in(tmp_path / "store")
    with pytest.raises(ConfigError, match=r"other sources.*Found: scans.*Expected: other.*another.*--overwrite"):
        prepare([other], tmp_path / "store")
    assert read_store(tmp_path / "store") == first.info and tiny.files_in(tmp_path / "store") == before
    done = prepare([other], tmp_path / "store", options=PrepareOptions(overwrite=True))
    assert done.info == prepare([other], tmp_path / "fresh").info


def test_more_cases_and_more_sources_may_be_added(scans: Path, tmp_path: Path) -> None:
    shutil.move(scans / name(2), tmp_path / name(2))
    first = prepare([scans], tmp_path / "store")
    assert (len(first.info.cases), first.info.sources) == (2, ("scans",))
    shutil.move(tmp_path / name(2), scans / name(2))
    second = prepare([scans], tmp_path / "store")
    assert (len(second.info.cases), second.reused) == (3, 2)
    make.write_brats_set(tmp_path / "b", convention="brats2023")
    third = prepare([tmp_path / "b", scans], tmp_path / "store")
    assert (len(third.info.cases), third.reused, third.info.sources) == (6, 3, ("b", "scans"))


def test_a_store_that_does_not_name_its_sources_goes_by_its_cases(scans: Path, tmp_path: Path) -> None:
    first = prepare([scans], tmp_path / "store")
    write_store(tmp_path / "store", first.info.model_copy(update={"sources": ()}))
    scans.rename(tmp_path / "moved")
    assert prepare([tmp_path / "moved"], tmp_path / "store").reused == 3
    write_store(tmp_path / "store", first.info.model_copy(update={"sources": ()}))
    make.write_brats_set(tmp_path / "b", convention="brats2023")
    with pytest.raises(ConfigError, match=rf"holds cases that the sources now lack.*Found: {name(0)}"):
        prepare([tmp_path / "b"], tmp_path / "store")


def test_a_prepared_case_that_fails_now_is_left_out_and_told(scans: Path, tmp_path: Path) -> None:
    prepare([scans], tmp_path / "store")
    break_case(scans / name(1), "truncated")
    done = prepare([scans], tmp_path / "store")
    assert list(done.failed) == [name(1)]
    assert [entry.case_id for entry in done.info.cases] == [name(0), name(2)]


def test_patients_named_later_enter_the_store_without_new_arrays(scans: Path, tmp_path: Path) -> None:
    prepare([scans], tmp_path / "store")
    rows = "".join(f"{name(number)},{patient}\n" for number, patient in enumerate(("anna", "anna", "bert")))
    (scans / "manifest.csv").write_text("case,patient\n" + rows)
    done = prepare([scans], tmp_path / "store")
    assert done.reused == 3
    assert [entry.patient_id for entry in read_store(tmp_path / "store").cases] == ["anna", "anna", "bert"]


def test_file_times_do_not_enter_the_fingerprint(scans: Path, tmp_path: Path) -> None:
    first = prepare([scans], tmp_path / "store")
    for path in scans.rglob("*.nii.gz"):
        os.utime(path, (1, 1))
    second = prepare([scans], tmp_path / "store")
    assert (second.reused, second.info.fingerprint) == (0, first.info.fingerprint)


def test_a_single_broken_case_is_an_error_of_its_own(scans: Path, tmp_path: Path) -> None:
    break_case(scans / name(1), "truncated")
    with pytest.raises(FileError, match=r"_t2\.nii\.gz is damaged"):
        prepare([scans / name(1)], tmp_path / "store")
    assert not (tmp_path / "store").exists()


WITH = PrepareOptions(distances=True)


def test_distances_are_made_of_the_conventions_regions(scans: Path, tmp_path: Path) -> None:
    prepare([scans], tmp_path / "store", options=WITH)
    for number in range(3):
        case = read_case(tmp_path / "store", name(number))
        assert case.labels is not None
        for region in Region:
            mask = region_mask(np.asarray(case.labels), region)
            found = open_distances(tmp_path / "store", name(number), region)
            assert np.array_equal(found, signed_distances(mask, case.record.spacing))
            assert np.array_equal(found < 0, mask)
    pairs = prepare([make.write_pairs(tmp_path / "pairs")], tmp_path / "slices", options=WITH)
    assert has_distances(tmp_path / "slices", pairs.info.cases[0].case_id, [Region.WT])
    assert not has_distances(tmp_path / "slices", pairs.info.cases[0].case_id, [Region.TC])


def test_distances_are_added_to_a_store_without(scans: Path, tmp_path: Path) -> None:
    first = prepare([scans], tmp_path / "store")
    before = touched(tmp_path / "store")
    assert not has_distances(tmp_path / "store", name(0), [Region.WT])
    added = prepare([scans], tmp_path / "store", options=WITH)
    assert (added.reused, added.info) == (0, first.info)  # fingerprint included: runs can go on
    assert touched(tmp_path / "store") == before  # from the stored labels: no scan was read again
    assert prepare([scans], tmp_path / "store", options=WITH).reused == 3
    assert prepare([scans], tmp_path / "store").reused == 3
    assert has_distances(tmp_path / "store", name(0), Region)


def test_distances_that_are_missing_or_out_of_date_are_made_again(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(verb, "write_distances", stop)
        prepare([scans], tmp_path / "store", options=WITH)
    assert not has_distances(tmp_path / "store", name(0), [Region.WT])
    assert prepare([scans], tmp_path / "store", options=WITH).reused == 0
    path = tmp_path / "store" / "cases" / name(1) / "distances-TC.npy"
    path.write_bytes(path.read_bytes()[:-50])
    assert prepare([scans], tmp_path / "store", options=WITH).reused == 2
    os.utime(scans / name(2) / f"{name(2)}_seg.nii.gz", (1, 1))  # prepared again, and its distances with it
    assert prepare([scans], tmp_path / "store").reused == 2
    assert all(has_distances(tmp_path / "store", name(number), Region) for number in range(3))


def test_the_command_makes_distances(command: Callable[..., tuple[int, str, str]], scans: Path, tmp_path: Path) -> None:
    code, out, _ = command("prepare", "scans", "-o", "store", "--distances")
    assert code == 0 and out.splitlines()[1].endswith("normalised over the brain; with distances")
    assert has_distances(tmp_path / "store", name(0), Region)
    code, out, _ = command("prepare", "scans", "-o", "plain")
    assert code == 0 and "distances" not in out
    assert not has_distances(tmp_path / "plain", name(0), [Region.WT])
