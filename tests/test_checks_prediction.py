"""What is told beside a mask: each damage of a real case by its own code, and nothing of a sound one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest

import make
import tiny
from gliamap.case import Case, Prediction
from gliamap.checks.findings import RULES, WARNINGS, Finding
from gliamap.checks.likeness import look_of, seen_in, tumour_of
from gliamap.checks.prediction import look_at, look_at_images
from gliamap.config import ModelSpec, PrepConfig
from gliamap.io.cases import read_case
from gliamap.labels import Region, Tissue
from gliamap.prep.pipeline import prepare
from gliamap.sources.detect import scan

ROOT = Path(__file__).resolve().parent.parent
CASES = ("BraTS2021_01483", "BraTS2021_01478", "BraTS2021_01481")
"""The first is damaged, the others stand for the training, and it lies well between them."""


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        import told  # noqa: PLC0415

        return told


def thinned(case: Case) -> Case:
    """Every second voxel, so that it is quick."""
    affine = case.grid.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    assert case.labels is not None
    labels = case.labels[::2, ::2, ::2]
    x, y, z = labels.shape
    grid = replace(case.grid, shape=(x, y, z), affine=affine)
    return replace(case, image=np.ascontiguousarray(case.image[:, ::2, ::2, ::2]), labels=labels, grid=grid)


def model_of(cases: list[Case]) -> ModelSpec:
    """A model that was trained on these."""
    parts = []
    for one in cases:
        assert one.labels is not None
        look = look_of(prepare(replace(one, labels=None), PrepConfig(modalities=make.MODALITIES)), make.MODALITIES)
        parts.append((look, tumour_of(one.labels, one.grid)))
    return tiny.spec(seen=seen_in(parts))


@pytest.fixture(scope="module")
def real(data_root: Path) -> tuple[Case, ModelSpec]:
    """A real case, and a model of others."""
    files = {one.case_id: one for one in scan(data_root / "brats21").cases}
    case, *others = [thinned(read_case(files[name], modalities=make.MODALITIES)) for name in CASES]
    return case, model_of(others)


def told(case: Case, spec: ModelSpec, **said: object) -> dict[str, str]:
    """What is told, by code, where the mask of the case is the prediction."""
    assert case.labels is not None
    prepared = prepare(replace(case, labels=None), spec.prep, may_be_missing=make.MODALITIES)
    missing = tuple(name for name in spec.prep.modalities if name not in case.modalities)
    prediction = replace(Prediction(case.case_id, case.labels, case.grid, missing=missing), **said)  # type: ignore[arg-type]
    found = look_at(look_at_images(case), prepared, prediction, spec)
    assert [one.code for one in found] == sorted({one.code for one in found}, key=list(WARNINGS).index)
    return {one.code: one.text for one in found}


def test_nothing_is_told_of_a_sound_real_case(real: tuple[Case, ModelSpec]) -> None:
    assert told(*real) == {}


def test_every_damage_of_a_real_case_is_told(real: tuple[Case, ModelSpec], bench: ModuleType) -> None:
    case, spec = real
    assert case.labels is not None
    enhancing = replace(case, labels=np.where(case.labels == Tissue.NCR, np.uint8(Tissue.ET), case.labels))
    missed = []
    for damage in bench.DAMAGES:
        sound = enhancing if damage.needs == Region.ET else case
        if damage.code not in told(damage.change(sound), spec):
            missed.append(damage.title)
    # Cut off there, T1c differs from the others no more than they do from each other.
    assert missed == ["brightest tenth of T1c cut off"]


@pytest.mark.parametrize("dice", [0.3, 0.9])
def test_low_confidence(real: tuple[Case, ModelSpec], dice: float) -> None:
    found = told(*real, predicted_dice={Region.WT: (0.9, 0.8, 1.0), Region.ET: (dice, 0.1, 1.0)})
    low = {"low-confidence": "low confidence: expected Dice ET 0.30 (0.10 to 1.00)"}
    assert found == (low if dice == 0.3 else {})


def test_files_that_are_odd_or_not_registered(real: tuple[Case, ModelSpec], tmp_path: Path) -> None:
    case, spec = real
    folder = make.write_brats(tmp_path, case)
    off = case.grid.affine.copy()
    off[0, 3] += 4
    flair = np.where(np.arange(case.image[3].size).reshape(case.image[3].shape) == 7, np.nan, case.image[3])
    nib.Nifti1Image(flair.astype(np.float32), off).to_filename(folder / f"{case.case_id}_flair.nii.gz")
    (files,) = scan(tmp_path).cases
    found = told(read_case(files, modalities=make.MODALITIES, resample_to="t1"), spec)
    assert found["not-registered"] == "not registered: brought onto one grid by scanner coordinates alone"
    remark = f"{case.case_id}_flair.nii.gz: 1 voxels that are not finite were read as 0"
    assert found["read-with-remarks"] == f"read with a remark: {remark}"


def test_no_training_to_compare_with() -> None:
    case = tiny.phantom()
    assert case.labels is not None
    assert told(case, tiny.spec()) == {}
    empty = replace(case, labels=np.zeros_like(case.labels))
    assert told(empty, tiny.spec()) == {"empty-mask": "no tumour found"}
    seen = model_of([case, empty])
    assert told(empty, seen) == {"empty-mask": "no tumour found: as in 1 of 2 training cases"}


def test_one_pass_is_told_until_it_was_compared_with_windows() -> None:
    spec = tiny.spec()
    asked = spec.model_copy(update={"window": spec.window.model_copy(update={"mode": "one-pass"})})
    assert set(told(tiny.phantom(), asked)) == {"one-pass-unproved"}
    compared = asked.model_copy(update={"window_dice": {"windows": {"WT": 0.9}, "one-pass": {"WT": 0.9}}})
    assert told(tiny.phantom(), compared) == {}


def test_the_border_of_a_slice_is_its_four_sides() -> None:
    spec = tiny.slice_spec()
    case = make.slice_case()
    assert case.labels is not None
    prepared = prepare(replace(case, labels=None), spec.prep)
    told = partial(look_at, (), prepared, spec=spec)
    assert told(Prediction("1", case.labels, case.grid)) == ()
    at_side = np.zeros_like(case.labels)
    at_side[0, :3] = case.labels.max()  # the corner counts once
    assert told(Prediction("1", at_side, case.grid)) == (Finding("tumour-at-border", "3 voxels of it"),)


def test_codes_mean_one_thing() -> None:
    assert all(rule == RULES.get(code, rule) and code == rule.code for code, rule in WARNINGS.items())


def test_the_table_of_warnings_is_the_code_s() -> None:
    text = (ROOT / "docs" / "warnings.md").read_text(encoding="utf-8")
    table = text.split("| Code | It means |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    assert table == [f"| `{r.code}` | {r.title} | {r.remedy} |" for r in WARNINGS.values()]
