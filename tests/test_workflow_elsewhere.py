"""A network on another data set: what is shown as what, whom it may have seen, how large heads are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import make
import tiny
from gliamap.boxes import Shape
from gliamap.case import CaseIdentity
from gliamap.comparison.nouns import CaseFigures
from gliamap.config import InputConfig, NetConfig, PrepConfig
from gliamap.io.store import StoreEntry, StoreInfo
from gliamap.labels import Region
from gliamap.sources.splits import Split, write_split
from gliamap.workflows.prediction.segment import segment
from gliamap.workflows.studies import elsewhere
from gliamap.workflows.studies.elsewhere import Attempt, Match, OtherSet, match, summed_up, try_elsewhere


def store_of(*identities: CaseIdentity, shape: Shape = (16, 14, 1), sources: tuple[str, ...] = ("own",)) -> StoreInfo:
    """A store of these cases, all of one size."""
    entries = tuple(
        StoreEntry(
            case_id=one.case_id,
            patient_id=one.patient_id,
            fold=None,
            exclude_when_test_fold=(),
            convention="binary",
            shape=shape,
            voxels={},
            aliases=tuple(one.aliases),
        )
        for one in identities or (CaseIdentity("own", "own"),)
    )
    return StoreInfo(
        prep=PrepConfig(modalities=("t1c",)),
        convention="binary",
        layouts=("pairs",),
        sources=sources,
        patients_known=True,
        cases=entries,
    )


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three volumes of four modalities."""
    make.write_brats_set(tmp_path / "scans")
    return tmp_path / "scans"


def slices_model(folder: Path) -> Path:
    """A network for slices of one modality that calls every voxel tumour."""
    spec = tiny.slice_spec().model_copy(update={"prep": PrepConfig(modalities=("t1c",))})
    return tiny.write_model(folder / "best", spec, bias=(50,))


def test_slices_of_one_modality_on_volumes_of_four(scans: Path, tmp_path: Path) -> None:
    run = slices_model(tmp_path / "run")
    found = try_elsewhere(run, OtherSet(scans), tmp_path / "out", info=store_of())
    assert found.match.modalities == {"t1c": "t1c"} and found.match.excluded == ()
    assert found.match.trained_foreground == found.match.tested_foreground == "brain"
    assert found.regions == (Region.WT,)  # all that a binary network can tell
    assert [case.case_id for case in found.cases] == [f"BraTS2021_{n:05d}" for n in range(3)]
    sensitive = [case.figures[Region.WT]["dice"] for case in found.cases]
    assert all(dice is not None and 0.05 < dice < 0.9 for dice in sensitive)


def test_what_was_segmented_by_this_model_is_not_segmented_again(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...] | None] = []

    def watched(*words: Path, options: elsewhere.SegmentOptions, **more: object) -> object:
        asked.append(options.cases)
        return segment(*words, options=options, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(elsewhere, "segment", watched)
    run, out = slices_model(tmp_path / "run"), tmp_path / "out"
    first = try_elsewhere(run, OtherSet(scans), out, info=store_of())
    next(out.glob("*00001.nii.gz")).unlink()
    assert try_elsewhere(run, OtherSet(scans), out, info=store_of()) == first
    tiny.write_model(run, tiny.slice_spec().model_copy(update={"prep": PrepConfig(modalities=("t1c",))}))
    try_elsewhere(run, OtherSet(scans), out, info=store_of())
    assert [None if cases is None else len(cases) for cases in asked] == [3, 1, 3]


def test_patients_on_both_sides_are_left_out(scans: Path, tmp_path: Path) -> None:
    run = slices_model(tmp_path / "run")
    own = store_of(CaseIdentity("BRATS_001_z46", "1", aliases=frozenset({"BraTS2021_00000"})), CaseIdentity("b", "b"))
    found = match(run, OtherSet(scans), own)
    assert found.excluded == ("BraTS2021_00000",)
    assert found.cases == ("BraTS2021_00001", "BraTS2021_00002")
    # With its run: whom it knew, or a network that it started from; not whom it was kept from.
    write_split(run / "split.json", Split(train=("b", "BraTS2021_00002"), val=(), test=("BRATS_001_z46",), seed=0))
    assert match(run, OtherSet(scans), own).excluded == ("BraTS2021_00002",)
    write_split(run / "split.json", Split(train=("b",), val=("BRATS_001_z46",), test=(), seed=0))
    assert match(run, OtherSet(scans), own).excluded == ("BraTS2021_00000",)
    (run / "split.json").unlink()
    everyone = store_of(*(CaseIdentity(f"BraTS2021_{n:05d}", f"BraTS2021_{n:05d}") for n in range(3)))
    assert match(run, OtherSet(scans), everyone).lacking == "all of its patients are those of training"


def test_closed_folds_of_the_other_data_set_are_not_tested(scans: Path, tmp_path: Path) -> None:
    """Nor is another case of a patient who is in one."""
    rows = "BraTS2021_00000,p,3\nBraTS2021_00001,p,0\nBraTS2021_00002,q,1\n"
    (scans / "manifest.csv").write_text("case,patient,fold\n" + rows)
    run = slices_model(tmp_path / "run")
    assert len(match(run, OtherSet(scans), store_of()).cases) == 3
    found = match(run, OtherSet(scans, closed_folds=(3,)), store_of())
    assert found.cases == ("BraTS2021_00002",) and found.excluded == ()


def test_bare_numbers_count_in_the_same_data_set_alone(tmp_path: Path) -> None:
    run = slices_model(tmp_path / "run")
    scans = make.write_pairs(tmp_path / "pairs")
    assert match(run, OtherSet(scans), store_of(CaseIdentity("1", "1"))).excluded == ()
    assert match(run, OtherSet(scans), store_of(CaseIdentity("1", "1"), sources=("pairs",))).excluded == ("1",)


def test_four_modalities_on_slices_of_one(tmp_path: Path) -> None:
    """Only a network that was trained to do without some can be shown these."""
    scans = make.write_pairs(tmp_path / "pairs")
    strict = tiny.slice_spec(modalities=make.MODALITIES)
    found = match(tiny.write_model(tmp_path / "strict", strict), OtherSet(scans), store_of())
    assert found.lacking == "its cases lack some of t1, t1c, t2, flair" and found.cases == ()
    network = NetConfig(name="unet", dims=2, in_channels=8, out_channels=1, widths=(4, 8))
    able = {"network": network, "inputs": InputConfig(presence=True), "may_be_missing": make.MODALITIES}
    tolerant = tiny.write_model(tmp_path / "tolerant" / "best", strict.model_copy(update=able))
    tried = try_elsewhere(tolerant, OtherSet(scans), tmp_path / "out", info=store_of(shape=(30, 24, 1)))
    assert tried.match.modalities == {"t1": "nothing", "t1c": "t1c", "t2": "nothing", "flair": "nothing"}
    assert tried.match.trained_foreground == "brain" and tried.match.tested_foreground == "head"
    assert len(tried.cases) == 3


def test_volumes_cannot_be_made_of_slices(tmp_path: Path) -> None:
    scans = make.write_pairs(tmp_path / "pairs")
    volumes = tiny.spec(
        prep=PrepConfig(modalities=("t1c",)),
        network=NetConfig(name="unet", dims=3, in_channels=1, out_channels=3, widths=(4, 8)),
    )
    found = match(tiny.write_model(tmp_path / "model"), OtherSet(scans), store_of())
    assert found.lacking == "its cases lack some of t1, t1c, t2, flair"
    found = match(tiny.write_model(tmp_path / "one", volumes), OtherSet(scans), store_of())
    assert found.lacking == "the network takes volumes, and its cases are slices"
    assert summed_up("unet", "own", "pairs", {(0, 0): Attempt(found)}).lacking == found.lacking


def test_heads_of_another_size_are_brought_to_that_of_training(scans: Path, tmp_path: Path) -> None:
    """As large as in training they stay as they are; twice as large, in voxels, they are halved within slices."""
    run = slices_model(tmp_path / "run")
    as_they_are = match(run, OtherSet(scans), store_of(shape=(16, 16, 1)))
    assert as_they_are.spacing is None and as_they_are.scale == pytest.approx(1, abs=0.2)
    halved = match(run, OtherSet(scans), store_of(shape=(8, 8, 1)))
    assert halved.scale == pytest.approx(2 * as_they_are.scale, abs=0.02) and halved.spacing is not None
    ras = [(1.0, 1.5, 2.0), (1.2, 0.9, 2.0), (1.1, 2.2, 0.8)]  # make.SPACINGS along right, front, top
    middle = np.median(ras, axis=0)
    assert halved.spacing == pytest.approx((middle[0] * halved.scale, middle[1] * halved.scale, middle[2]))
    tried = try_elsewhere(run, OtherSet(scans), tmp_path / "out", info=store_of(shape=(8, 8, 1)))
    assert len(tried.cases) == 3  # on their own grids


def figures(case_id: str, patient: str, dice: float) -> CaseFigures:
    values: dict[str, float | None] = dict.fromkeys(("hd95", "surface_dice", "volume_difference"), 1.0)
    return CaseFigures(case_id, patient, {Region.WT: {"dice": dice} | values})


def test_runs_are_averaged_before_patients() -> None:
    fit = Match(("a1", "a2", "b"), ("c",), "brain", "head", {"t1c": "t1c"}, scale=2.0)
    first = Attempt(fit, (Region.WT,), (figures("a1", "a", 0.2), figures("a2", "a", 0.4), figures("b", "b", 0.9)))
    second = replace(first, cases=(figures("a1", "a", 0.4), figures("a2", "a", 0.6), figures("b", "b", 0.7)))
    found = summed_up("unet", "msd", "brats", {(0, 0): first, (0, 1): second})
    assert (found.runs, found.cases, found.patients, found.excluded) == (2, 3, 2, 1)
    assert found.figures[Region.WT]["dice"].mean == pytest.approx((0.4 + 0.8) / 2)
    assert (found.trained_foreground, found.tested_foreground) == ("brain", "head")
    assert (found.scale, found.resampled) == (2.0, False)
    sized = replace(first, match=replace(fit, spacing=(2.0, 2.0, 1.0)))
    assert summed_up("unet", "msd", "brats", {(0, 0): sized}).resampled


def test_a_gain_elsewhere_is_over_the_runs_that_both_have() -> None:
    patients = [f"p{n}" for n in range(6)]
    fit = Match(tuple(patients), (), "brain", "brain", {"t1c": "t1c"})

    def attempt(dice: float) -> Attempt:
        return Attempt(fit, (Region.WT,), tuple(figures(who, who, dice + 0.01 * n) for n, who in enumerate(patients)))

    before = {(0, 0): attempt(0.5), (0, 1): attempt(0.1)}
    found = summed_up("b", "msd", "brats", {(0, 0): attempt(0.6), (1, 0): attempt(0.9)}, baseline=before)
    assert found.figures[Region.WT]["dice"].mean == pytest.approx(0.775)  # of both of its runs
    assert found.gain[Region.WT].mean == pytest.approx(0.1) and found.verdict == {Region.WT: "higher"}
    assert summed_up("a", "msd", "brats", before).verdict == {Region.WT: "baseline"}
    alone = summed_up("b", "msd", "brats", {(1, 0): attempt(0.9)}, baseline=before)
    assert not alone.gain and alone.verdict == {Region.WT: "not run"}


def test_real_pairs(data_root: Path, tmp_path: Path) -> None:
    """Who is left out of BraTS, and how large its brains are beside the slices of MSD."""
    run = slices_model(tmp_path / "run")
    aliases = frozenset({"BraTS2021_01479"})
    msd = store_of(CaseIdentity("BRATS_001_z46", "1", aliases=aliases), shape=(70, 90, 1), sources=("msd-t1gd-2d",))
    found = match(run, OtherSet(data_root / "brats21"), msd)
    assert found.excluded == ("BraTS2021_01479",) and len(found.cases) == 10
    assert found.scale == pytest.approx(2, abs=0.15) and found.tested_foreground == "brain"
    btp = OtherSet(data_root / "btp-t1post", pattern="{case}/{case}_{modality}.nii.gz")
    found = match(run, btp, store_of(CaseIdentity("1", "1"), shape=(200, 240, 1)))
    assert len(found.cases) == 12 and found.tested_foreground == "head" and found.spacing is None
