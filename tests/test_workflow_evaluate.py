"""The verb 'evaluate': from folders to scores."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import make
import tiny
from gliamap.errors import ConfigError, FileError, GridError, LabelError, LayoutError, OutputError
from gliamap.io.cases import read_mask_file, write_mask, write_probabilities
from gliamap.labels import Region, from_tissue, get_convention
from gliamap.sources.splits import Split, write_split
from gliamap.workflows.prediction.segment import SegmentOptions, segment
from gliamap.workflows.scores.evaluate import EvaluateOptions, evaluate


@pytest.fixture
def references(tmp_path: Path) -> Path:
    """Three BraTS 2021 cases, the first without enhancing tumour."""
    make.write_brats_set(tmp_path / "references")
    return tmp_path / "references"


def mask_of(references: Path, number: int) -> Path:
    name = f"BraTS2021_{number:05d}"
    return references / name / f"{name}_seg.nii.gz"


def predict(references: Path, folder: Path, *, convention: str = "brats2021", pattern: str = "{}.nii.gz") -> Path:
    """Perfect predictions of all three cases, written in ``convention`` under names of ``pattern``."""
    for number, kind in enumerate(make.KINDS):
        case = make.case(kind, seed=number, enhancing=number > 0)
        assert case.labels is not None
        values = from_tissue(case.labels, get_convention(convention))
        path = folder / pattern.format(f"BraTS2021_{number:05d}")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mask(path, values, mask_of(references, number))
    return folder


@pytest.mark.parametrize(
    "pattern", ["{}.nii.gz", "{}.nii", "{0}/{0}.nii.gz", "{}-seg.nii.gz", "{}_seg.nii", "{0}/{0}-seg.nii.gz"]
)
def test_perfect_predictions_are_found_under_every_name(references: Path, tmp_path: Path, pattern: str) -> None:
    found = evaluate(predict(references, tmp_path / "p", pattern=pattern), references)
    assert [case.case_id for case in found.cases] == [f"BraTS2021_{n:05d}" for n in range(3)]
    assert {region: s.figures["dice"].mean for region, s in found.summary.regions.items()} == dict.fromkeys(Region, 1)
    assert (found.missing, found.surplus, found.notes) == ((), (), ())
    assert found.prediction_conventions == found.reference_conventions == ("brats2021",)


def test_scores_are_written(references: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    out = tmp_path / "out"
    predictions = predict(references, tmp_path / "p")
    evaluate(predictions, references, out=out, progress=lambda *step: seen.append(step))
    assert seen == [(n + 1, 3, f"BraTS2021_{n:05d}") for n in range(3)]
    with (out / "scores.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 9
    text = (out / "scores.json").read_text()
    data = json.loads(text)
    assert data["summary"]["regions"]["WT"]["pooled_dice"] == 1
    assert (data["prediction_conventions"], data["reference_conventions"]) == (["brats2021"], ["brats2021"])
    assert (data["predictions"], data["references"]) == ("p", "references")
    assert str(tmp_path) not in text
    assert {"gliamap", "numpy", "scipy", "python"} == set(data["versions"])
    written = {"figures", "patients.csv", "scores.csv", "scores.html", "scores.json", "scores.md"}
    assert {path.name for path in out.iterdir()} == written
    assert {"dice.png", "volumes-WT.png"} <= {path.name for path in (out / "figures").iterdir()}
    assert "labels brats2021" in (out / "scores.md").read_text() and "<html" in (out / "scores.html").read_text()


def test_existing_scores_are_kept_unless_told_otherwise(references: Path, tmp_path: Path) -> None:
    predictions, out = predict(references, tmp_path / "p"), tmp_path / "out"
    out.mkdir()
    (out / "scores.json").write_text("mine")
    with pytest.raises(OutputError, match="overwrite"):
        evaluate(predictions, references, out=out)
    assert (out / "scores.json").read_text() == "mine"
    (out / "other.csv").write_text("of an earlier evaluation")
    evaluate(predictions, references, out=out, options=EvaluateOptions(overwrite=True))
    assert json.loads((out / "scores.json").read_text())["format"] == 1
    assert not (out / "other.csv").exists()
    with pytest.raises(OutputError, match="is a file"):
        evaluate(predictions, references, out=out / "scores.csv", options=EvaluateOptions(overwrite=True))


def test_nothing_of_an_earlier_evaluation_stays(
    references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gliamap.workflows.scores.evaluate_files.draw_figures", lambda _found: {})
    predictions, out = predict(references, tmp_path / "p"), tmp_path / "out"
    evaluate(predictions, references, out=out, options=EvaluateOptions(protocol="brats2023-gli", against=predictions))
    assert (out / "lesions.csv").is_file() and (out / "other.csv").is_file()
    pictures = ("gallery.png", "BraTS2021_00000_comparison.png", "figures/paired-WT.png")
    for name in (*pictures, "notes.txt", "model_comparison.png"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(b"earlier")
    evaluate(predictions, references, out=out, options=EvaluateOptions(overwrite=True))
    left = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    anew = {"patients.csv", "scores.csv", "scores.html", "scores.json", "scores.md"}
    assert left == anew | {"notes.txt", "model_comparison.png"}


def test_figures_that_no_evaluation_left_are_not_touched(references: Path, tmp_path: Path) -> None:
    mine = tmp_path / "figures" / "mine.png"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    evaluate(predict(references, tmp_path / "p"), references, out=tmp_path)
    assert mine.is_file() and (tmp_path / "figures" / "dice.png").is_file()


def test_pictures_need_a_folder(references: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--out"):
        evaluate(predict(references, tmp_path / "p"), references, options=EvaluateOptions(pictures=1))


def test_a_missing_prediction_scores_worst_and_is_listed(references: Path, tmp_path: Path) -> None:
    predictions = predict(references, tmp_path / "p")
    (predictions / "BraTS2021_00001.nii.gz").unlink()
    found = evaluate(predictions, references)
    assert found.missing == ("BraTS2021_00001",)
    lost = found.cases[1].score
    assert lost.missing
    assert (lost.regions[Region.WT].dice, lost.regions[Region.WT].hd95) == (0, 374)
    assert found.summary.regions[Region.WT].figures["dice"].mean == pytest.approx(2 / 3)


def test_surplus_predictions_are_listed_and_pictures_are_not(references: Path, tmp_path: Path) -> None:
    predictions = predict(references, tmp_path / "p")
    first = predictions / "BraTS2021_00000.nii.gz"
    for name in ("stranger.nii.gz", "._BraTS2021_00000.nii.gz", "BraTS2021_00000_probabilities.nii.gz"):
        (predictions / name).write_bytes(first.read_bytes())
    (predictions / "BraTS2021_00000_mosaic.png").write_bytes(b"")
    (predictions / "logs").mkdir()
    write_mask(predictions / "BraTS2021_00000_visit2.nii.gz", read_mask_file(first)[0].astype(np.uint8), first)
    (predictions / "BraTS2021_00001-old").mkdir()
    (predictions / "BraTS2021_00001-old" / "BraTS2021_00001-old.nii.gz").write_bytes(first.read_bytes())
    surplus = evaluate(predictions, references).surplus
    assert surplus == ("BraTS2021_00000_visit2", "BraTS2021_00001-old", "stranger")


@pytest.mark.parametrize("other", ["{}-seg.nii.gz", "{}.nii", "{0}/{0}.nii.gz"])
def test_two_predictions_of_a_case_are_refused(references: Path, tmp_path: Path, other: str) -> None:
    predictions = predict(references, tmp_path / "p")
    second = predictions / other.format("BraTS2021_00001")
    write_mask(second, np.zeros(make.SHAPES[make.KINDS[1]], np.uint8), mask_of(references, 1))
    with pytest.raises(FileError, match=r"case BraTS2021_00001.*BraTS2021_00001\.nii\.gz") as error:
        evaluate(predictions, references)
    assert error.value.found == f"BraTS2021_00001.nii.gz, {second.relative_to(predictions)}"


def test_the_sidecar_says_the_convention(references: Path, tmp_path: Path) -> None:
    predictions = predict(references, tmp_path / "p", convention="msd")
    for number in range(3):
        (predictions / f"BraTS2021_{number:05d}.json").write_text('{"label_convention": "msd"}')
    found = evaluate(predictions, references, options=EvaluateOptions(labels="brats2023"))  # the sidecar wins
    assert found.summary.regions[Region.TC].figures["dice"].mean == 1
    assert found.prediction_conventions == ("msd",)
    assert found.notes == ()


def test_an_option_says_the_convention(references: Path, tmp_path: Path) -> None:
    predictions = predict(references, tmp_path / "p", convention="brats2023")
    with pytest.raises(LabelError, match=r"BraTS2021_00001\.nii\.gz.*--labels"):
        evaluate(predictions, references)
    found = evaluate(predictions, references, options=EvaluateOptions(labels="brats2023"))
    assert found.summary.regions[Region.ET].figures["dice"].mean == 1


def test_only_what_both_sides_can_tell_is_scored(references: Path, tmp_path: Path) -> None:
    predictions = tmp_path / "p"
    for number in range(3):
        whole = nib.load(mask_of(references, number)).get_fdata() > 0
        write_mask(predictions / f"BraTS2021_{number:05d}.nii.gz", whole.astype(np.uint8), mask_of(references, number))
    found = evaluate(predictions, references, options=EvaluateOptions(labels="binary"))
    assert list(found.summary.regions) == [Region.WT]
    assert found.summary.regions[Region.WT].figures["dice"].mean == 1
    assert found.summary.mean_iou.mean is None
    assert "classes are not scored" in found.notes[0]
    everyone = "BraTS2021_00000, BraTS2021_00001, BraTS2021_00002"
    assert found.notes[1:] == (f"not scored: TC and ET, because the predictions of {everyone} have the labels binary",)


def test_regions_that_a_stray_convention_costs_are_named(references: Path, tmp_path: Path) -> None:
    predictions = predict(references, tmp_path / "p")
    truth = read_mask_file(mask_of(references, 1))[0] > 0
    write_mask(predictions / "BraTS2021_00001.nii.gz", truth.astype(np.uint8), mask_of(references, 1))
    (predictions / "BraTS2021_00001.json").write_text('{"label_convention": "binary"}')
    found = evaluate(predictions, references)
    assert list(found.summary.regions) == [Region.WT]
    assert found.notes[-1] == (
        "not scored: TC and ET, because the predictions of BraTS2021_00001 have the labels binary"
    )
    (other,) = evaluate(predictions, references, options=EvaluateOptions(cases=("BraTS2021_00000",))).cases
    assert list(other.score.regions) == list(Region)  # it does not count where it is not scored


def test_another_grid_is_an_error_that_names_both(references: Path, tmp_path: Path) -> None:
    predictions = predict(references, tmp_path / "p")
    moved = nib.load(mask_of(references, 2))
    affine = moved.affine.copy()
    affine[0, 3] += 2
    nib.Nifti1Image(np.asarray(moved.dataobj), affine).to_filename(predictions / "BraTS2021_00002.nii.gz")
    with pytest.raises(GridError, match=r"p/BraTS2021_00002\.nii\.gz .*BraTS2021_00002_seg\.nii\.gz"):
        evaluate(predictions, references, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_part_of_a_split_is_scored(references: Path, tmp_path: Path) -> None:
    predictions = predict(references, tmp_path / "p")
    ids = [f"BraTS2021_{number:05d}" for number in range(3)]
    write_split(tmp_path / "split.json", Split(train=(ids[0],), val=(ids[1],), test=(ids[2],), seed=0))
    for part, case_id in zip(("train", "val", "test"), ids, strict=True):
        options = EvaluateOptions.model_validate({"split": tmp_path / "split.json", "part": part})
        found = evaluate(predictions, references, options=options)
        assert [case.case_id for case in found.cases] == [case_id]
        assert found.surplus == ()  # the others have a reference, they were just not asked for
    chosen = evaluate(predictions, references, options=EvaluateOptions(cases=(ids[1],)))
    assert [case.case_id for case in chosen.cases] == [ids[1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (EvaluateOptions(cases=("nobody",)), "nobody"),
        (EvaluateOptions(cases=()), "no case is left"),
        (EvaluateOptions(part="test"), "--split and --part"),
    ],
)
def test_cases_that_are_not_there(references: Path, tmp_path: Path, options: EvaluateOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(predict(references, tmp_path / "p"), references, options=options)


def test_nothing_to_score(references: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"no prediction for any of the 3 .*BraTS2021_00000\.nii\.gz"):
        evaluate(tmp_path / "empty", references)
    with pytest.raises(FileError, match="is not a folder"):
        evaluate(tmp_path / "nowhere", references)
    with pytest.raises(LayoutError):
        evaluate(references, tmp_path / "empty")
    make.write_pairs(tmp_path / "pairs")
    for mask in (tmp_path / "pairs" / "masks").iterdir():
        mask.unlink()
    with pytest.raises(LayoutError, match="holds no masks"):
        evaluate(references, tmp_path / "pairs")


def test_bare_masks_can_be_references(references: Path, tmp_path: Path) -> None:
    bare, predictions = (
        predict(references, tmp_path / "bare", pattern="{}_seg.nii.gz"),
        predict(references, tmp_path / "p"),
    )
    with pytest.raises(LabelError, match="--reference-labels"):  # 1, 2, 4 fit several conventions
        evaluate(predictions, bare)
    found = evaluate(predictions, bare, options=EvaluateOptions(reference_labels="brats2021"))
    assert found.summary.regions[Region.ET].figures["dice"].mean == 1
    assert "own patient" in found.notes[0]


def test_slices_of_0_and_255_against_slices_of_0_and_1(tmp_path: Path) -> None:
    references = make.write_pairs(tmp_path / "pairs")
    predictions = tmp_path / "p"
    for number in range(3):
        truth = make.slice_case(number).labels
        assert truth is not None
        write_mask(predictions / f"{number + 1}.png", (truth > 0).astype(np.uint8), references / "masks" / "1.png")
    found = evaluate(predictions, references)
    assert found.summary.unit == "px"
    assert found.summary.regions[Region.WT].figures["dice"].mean == 1
    assert (found.prediction_conventions, found.reference_conventions) == (("binary",), ("binary255",))
    assert [note.startswith("patients are not known") for note in found.notes] == [True]


def test_visits_of_one_patient_are_averaged_first(tmp_path: Path) -> None:
    references, predictions = tmp_path / "references", tmp_path / "p"
    ids = ["BraTS-GLI-00001-000", "BraTS-GLI-00001-001", "BraTS-GLI-00002-000"]
    for case_id in ids:
        folder = make.write_brats(references, make.case(case_id=case_id), convention="brats2023")
        mask = folder / f"{case_id}-seg.nii.gz"
        values = np.asarray(nib.load(mask).dataobj).astype(np.uint8)
        write_mask(predictions / mask.name, values * (case_id != ids[1]), mask)
    found = evaluate(predictions, references)
    dice = found.summary.regions[Region.WT].figures["dice"]
    assert (dice.mean, dice.patients, dice.cases) == (0.75, 2, 3)


def test_pictures_are_drawn_beside_the_scores_and_never_cost_them(tmp_path: Path) -> None:
    references = tmp_path / "r"
    bare, predictions = tmp_path / "bare", tmp_path / "p"
    for case in make.write_brats_set(references):
        mask = case / f"{case.name}_seg.nii.gz"
        for folder in (bare, predictions):
            write_mask(folder / f"{case.name}.nii.gz", read_mask_file(mask)[0].astype(np.uint8), mask)
    drawn = evaluate(predictions, references, out=tmp_path / "a", options=EvaluateOptions(pictures=2))
    assert len(list((tmp_path / "a").glob("*_comparison.png"))) == 2
    assert (tmp_path / "a" / "gallery.png").is_file()
    assert not any("pictures" in note for note in drawn.notes)
    options = EvaluateOptions(pictures=2, reference_labels="brats2021")
    without = evaluate(predictions, bare, out=tmp_path / "b", options=options)
    assert (tmp_path / "b" / "scores.json").is_file()
    assert any("no pictures" in note for note in without.notes)


def slip(folder: Path, references: Path, number: int) -> None:
    """Move the prediction of a case by one voxel along X."""
    case_id = f"BraTS2021_{number:05d}"
    path = folder / f"{case_id}.nii.gz"
    write_mask(path, np.roll(read_mask_file(path)[0], 1, axis=0).astype(np.uint8), mask_of(references, number))


def test_two_folders_against_each_other(references: Path, tmp_path: Path) -> None:
    ours, theirs = predict(references, tmp_path / "ours"), predict(references, tmp_path / "theirs", convention="msd")
    slip(ours, references, 0)
    for number in range(2):
        (theirs / f"BraTS2021_{number:05d}.json").write_text('{"label_convention": "msd"}')
    (theirs / "BraTS2021_00002.nii.gz").unlink()
    out = tmp_path / "out"
    found = evaluate(ours, references, out=out, options=EvaluateOptions(against=theirs))
    assert found.summary == evaluate(ours, references).summary  # the other folder changes nothing of ours
    assert found.paired is not None and (found.other, found.paired.cases, found.paired.unmatched) == ("theirs", 3, ())
    dice = found.paired.regions[Region.WT]["dice"]
    assert (dice.wins, dice.losses, dice.ties, dice.p) == (1, 1, 1, None)
    assert dice.by_patient["BraTS2021_00002"] == 1  # missing there, hence worst
    assert found.notes == (
        "theirs has the labels msd",
        "theirs: 1 without a prediction, scored worst: BraTS2021_00002",
    )
    with (out / "other.csv").open() as file:
        assert [row["missing"] for row in csv.DictReader(file) if row["region"] == "WT"] == ["0", "0", "1"]
    data = json.loads((out / "scores.json").read_text())
    assert (data["other"], data["paired"]["regions"]["WT"]["dice"]["wins"]) == ("theirs", 1)
    assert str(tmp_path) not in json.dumps(data)


def test_what_the_other_side_cannot_tell_stays_in_our_tables(references: Path, tmp_path: Path) -> None:
    ours, theirs = predict(references, tmp_path / "ours"), tmp_path / "theirs"
    for number in range(3):
        case_id = f"BraTS2021_{number:05d}"
        whole = read_mask_file(mask_of(references, number))[0] > 0
        write_mask(theirs / f"{case_id}.nii.gz", whole.astype(np.uint8), mask_of(references, number))
        (theirs / f"{case_id}.json").write_text('{"label_convention": "binary"}')
    found = evaluate(ours, references, options=EvaluateOptions(against=theirs))
    assert found.summary == evaluate(ours, references).summary and list(found.summary.regions) == list(Region)
    assert found.paired is not None and list(found.paired.regions) == [Region.WT]
    assert [note for note in found.notes if note.startswith("theirs: not scored: TC and ET, because")]
    back = evaluate(theirs, references, options=EvaluateOptions(against=ours))
    assert list(back.summary.regions) == [Region.WT] and not any(note.startswith("ours: ") for note in back.notes)


def test_a_protocol_scores_lesions(references: Path, tmp_path: Path) -> None:
    predictions, out = predict(references, tmp_path / "p"), tmp_path / "out"
    legacy = evaluate(predictions, references)
    assert legacy.cases[1].score.regions[Region.WT].lesion_dice is None and legacy.protocol.name == "legacy"
    found = evaluate(predictions, references, out=out, options=EvaluateOptions(protocol="brats2023-gli"))
    assert [found.cases[n].score.regions[Region.WT].lesion_dice for n in range(3)] == [1, 1, 1]
    with (out / "lesions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows if row["region"] == "WT"} == {"found"}
    assert json.loads((out / "scores.json").read_text())["protocol"] == "brats2023-gli"
    with pytest.raises(ConfigError, match=r"no protocol 'brats2030'.*legacy, brats2023-gli"):
        evaluate(predictions, references, options=EvaluateOptions(protocol="brats2030"))


def test_pixels_stand_for_cubic_millimetres_and_it_is_said(tmp_path: Path) -> None:
    references = make.write_pairs(tmp_path / "pairs")
    options = EvaluateOptions(protocol="brats2023-met")
    found = evaluate(references / "masks", references, options=options)
    assert found.cases[0].score.regions[Region.WT].lesion_dice == 1
    assert any("in pixels" in note for note in found.notes)


def test_probabilities_beside_predictions_are_used(references: Path, tmp_path: Path) -> None:
    predictions = predict(references, tmp_path / "p")
    for number, sure in enumerate((1.0, 0.8)):  # of the third case there are none
        case_id = f"BraTS2021_{number:05d}"
        truth = read_mask_file(mask_of(references, number))[0] > 0
        probs = np.where(truth, sure, 1 - sure).astype(np.float32)[None]
        write_probabilities(predictions / f"{case_id}_probabilities.nii.gz", probs, mask_of(references, number))
        (predictions / f"{case_id}.json").write_text('{"probability_channels": ["WT"]}')
    found = evaluate(predictions, references)
    whole = [case.score.regions[Region.WT] for case in found.cases]
    assert [one.brier for one in whole] == [0, pytest.approx(0.04, abs=1e-6), None]
    assert [one.ece for one in whole] == [0, pytest.approx(0.2, abs=1e-6), None]
    assert found.cases[0].score.regions[Region.ET].brier is None and found.notes == ()
    (predictions / "BraTS2021_00000.json").unlink()
    silent = evaluate(predictions, references)
    assert silent.cases[0].score.regions[Region.WT].brier is None
    assert silent.notes == ("1 file of probabilities is not used: its CASE.json names no probability_channels",)


def test_what_segment_writes_is_understood(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    tiny.write_set(scans, 2)
    tiny.write_model(tmp_path / "model", tiny.spec(phantom_only=True))
    options = SegmentOptions(probabilities=True, pictures=False)
    segment(scans, tmp_path / "masks", model=tmp_path / "model", options=options)
    for case in evaluate(tmp_path / "masks", scans).cases:
        assert all(region.brier is not None for region in case.score.regions.values())
