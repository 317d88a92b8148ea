"""The verb 'segment' with several models: their probabilities are averaged, and how far they differ is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

import make
import tiny
from gliamap.config import DiceLine, DicePredictor, PrepConfig
from gliamap.errors import ConfigError, GliamapError, LayoutError
from gliamap.io.checkpoint import read_spec, write_spec
from gliamap.labels import Region
from gliamap.sources.splits import Split, write_split
from gliamap.workflows.prediction.segment import SegmentOptions, segment

PLAIN = SegmentOptions(pictures=False, probabilities=True, precision="fp32")
CASE = "BraTS2021_00001"
MAPS = ("entropy", "disagreement")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    make.write_brats_set(tmp_path / "scans")
    return tmp_path / "scans"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """What is left of a cross-validation of three folds: unlike networks, and which cases each holds out."""
    for fold in range(3):
        run = tmp_path / "study" / "repeat0" / f"fold{fold}" / "run"
        tiny.write_model(run / "best", bias=(fold - 1.0, 0.5 * fold, -0.3 * fold))
        write_split(run / "split.json", Split(train=(), val=(), test=(f"BraTS2021_{fold:05d}",), seed=0))
    return tmp_path / "study"


def voxels(out: Path, what: str = "probabilities") -> NDArray[np.float32]:
    return np.asarray(nib.Nifti1Image.from_filename(out / f"{CASE}_{what}.nii.gz").dataobj)


def test_the_folds_of_a_study_are_averaged(scans: Path, study: Path, tmp_path: Path) -> None:
    runs = sorted(study.glob("repeat0/fold*/run"))
    for number, run in enumerate(runs):
        segment(scans / CASE, tmp_path / str(number), model=run, options=PLAIN)
    each = np.stack([voxels(tmp_path / str(number)) for number in range(3)])
    asked = PLAIN.model_copy(update={"uncertainty": True})
    done = segment(scans / CASE, tmp_path / "out", model=study, options=asked)
    np.testing.assert_allclose(voxels(tmp_path / "out"), each.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(
        voxels(tmp_path / "out", "disagreement"), each.std(axis=0).max(axis=-1), atol=1e-3
    )  # windows overlap
    hashes = [read_spec(run / "best").weights_sha256 for run in runs]
    assert [model["weights_sha256"] for model in done.manifest["models"]] == hashes
    assert done.cases[0]["made_from"]["models"] == hashes and done.cases[0]["model"]["weights_sha256"] is None
    assert done.cases[0]["uncertainty"]["WT"].keys() == set(MAPS)
    segment(scans / CASE, tmp_path / "named", model=runs, options=asked)
    np.testing.assert_array_equal(voxels(tmp_path / "named"), voxels(tmp_path / "out"))


def test_one_answer_has_no_disagreement(scans: Path, study: Path, tmp_path: Path) -> None:
    asked = SegmentOptions(pictures=False, uncertainty=True)
    (run, *_) = sorted(study.glob("repeat0/fold*/run"))
    (summary,) = segment(scans / CASE, tmp_path / "out", model=run, options=asked).cases
    assert [(tmp_path / "out" / f"{CASE}_{name}.nii.gz").exists() for name in MAPS] == [True, False]
    assert summary["uncertainty"]["WT"].keys() == {"entropy"}
    entropy = voxels(tmp_path / "out", "entropy")
    assert entropy.dtype == np.float32 and entropy.ndim == 3 and entropy.min() >= 0 and entropy.max() <= 1


def test_a_part_is_what_all_models_call_so(scans: Path, study: Path, tmp_path: Path) -> None:
    first, second, _ = sorted(study.glob("repeat0/fold*/run"))
    test = SegmentOptions(pictures=False, part="test")
    with pytest.raises(LayoutError, match="no case here belongs to the part 'test'"):
        segment(scans, tmp_path / "out", model=[first, second], options=test)


def test_models_that_do_not_go_together_are_refused(scans: Path, study: Path, tmp_path: Path) -> None:
    network = tiny.spec().network.model_copy(update={"in_channels": 1})
    other = tiny.write_model(tmp_path / "other", tiny.spec(prep=PrepConfig(modalities=("t1c",)), network=network))
    with pytest.raises(ConfigError, match="cannot be averaged, their preparation differs"):
        segment(scans, tmp_path / "out", model=[study, other])
    assert not (tmp_path / "out").exists()


def test_a_change_of_any_member_makes_all_anew(scans: Path, study: Path, tmp_path: Path) -> None:
    asked = SegmentOptions(pictures=False, resume=True)
    segment(scans / CASE, tmp_path / "out", model=study, options=asked)
    assert segment(scans / CASE, tmp_path / "out", model=study, options=asked).manifest["kept"] == [CASE]
    last = study / "repeat0" / "fold2" / "run" / "best"
    write_spec(last, read_spec(last).model_copy(update={"temperature": 2.0}))
    assert segment(scans / CASE, tmp_path / "out", model=study, options=asked).manifest["kept"] == []


@pytest.mark.parametrize("asked", [{}, {"min_size": 0.1}, {"overlap": 0.2}, {"spacing": (2, 2, 2)}])
def test_no_dice_is_foretold_of_what_was_not_learned(
    scans: Path, study: Path, tmp_path: Path, asked: dict[str, Any]
) -> None:
    best = study / "repeat0" / "fold1" / "run" / "best"
    line = DiceLine(intercept=0.8, low=-0.1, high=0.1, error=0.05, patients=12, cases=12)
    lines = {Region.WT: line}
    known = DicePredictor(mode="windows", flips=False, found=lines, none=lines)
    write_spec(best, read_spec(best).model_copy(update={"dice_predictor": known}))
    options = SegmentOptions.model_validate({"pictures": False, **asked})
    (summary,) = segment(scans / CASE, tmp_path / "out", model=best, options=options).cases
    assert summary["predicted_dice"].keys() == (set() if asked else {"WT"})


def test_a_case_too_large_for_memory_fails_alone(scans: Path, study: Path, tmp_path: Path) -> None:
    (run, *_) = sorted(study.glob("repeat0/fold*/run"))
    small = SegmentOptions(pictures=False, max_memory="1MB")
    with pytest.raises(GliamapError, match=r"GB at least.*at most 0\.0 GB.*--max-memory"):
        segment(scans / CASE, tmp_path / "out", model=run, options=small)
    with pytest.raises(LayoutError, match=r"none of the 3 cases could be segmented.*takes more memory"):
        segment(scans, tmp_path / "out", model=run, options=small)
    assert json.dumps(small.deciding()) == json.dumps(SegmentOptions(pictures=False).deciding())
