"""Validation counts voxels a patient, not a case, with the windows that users run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import tiny
from gliamap.boxes import Shape, whole
from gliamap.case import GridRecord, PreparedCase
from gliamap.config import CleanUpConfig, ModelSpec, OutputConfig, PrepConfig, WindowConfig
from gliamap.io.store import StoreEntry, write_case
from gliamap.labels import Region, Tissue
from gliamap.prep.tumour_index import build_tumour_index
from gliamap.training.devices import Devices
from gliamap.training.validate import validate
from gliamap.volume import Grid

SHAPE: Shape = (10, 6, 4)
TUMOUR = OutputConfig(kind="regions", convention="binary")


class WhereBright:
    """An engine that says tumour with certainty wherever the image is above 0."""

    channels = 1
    divisor = 2

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        return (patches > 0).astype(np.float32)


def spec(**changes: object) -> ModelSpec:
    base = tiny.spec(output=TUMOUR, prep=PrepConfig(modalities=("t1c",)), window=WindowConfig(patch=(4, 4, 4)))
    return base.model_copy(update=changes)


def store_case(store: Path, case_id: str, patient_id: str, *, bright: int, tumour: int) -> StoreEntry:
    """A case that is bright in its first voxels along a line and has tumour in the first ones of the same line."""
    image, labels = np.zeros((1, *SHAPE), np.float32), np.zeros(SHAPE, np.uint8)
    image[0, :bright, 0, 0] = 1
    labels[:tumour, 0, 0] = Tissue.TUMOUR
    record = GridRecord(Grid(SHAPE, np.eye(4)), (0, 1, 2), (False, False, False), whole(SHAPE), SHAPE, (1.0, 1.0, 1.0))
    index = build_tumour_index(labels, 0.001, np.random.default_rng(0))
    write_case(store, PreparedCase(case_id, patient_id, image, record, labels, index), origin={}, convention="binary")
    return StoreEntry(
        case_id=case_id,
        patient_id=patient_id,
        fold=None,
        exclude_when_test_fold=(),
        convention="binary",
        shape=SHAPE,
        voxels=index.voxels,
    )


def test_dice_by_eye(tmp_path: Path) -> None:
    a = store_case(tmp_path, "a", "one", bright=4, tumour=4)  # 4 rightly found
    b = store_case(tmp_path, "b", "one", bright=2, tumour=4)  # 2 found, 2 missed: together 2 * 6 / (6 + 8)
    c = store_case(tmp_path, "c", "two", bright=3, tumour=1)  # 2 * 1 / (3 + 1)
    dice = validate(tmp_path, [a, b, c], WhereBright(), spec(), Devices()).dice
    assert dice == {Region.WT: pytest.approx((12 / 14 + 2 / 4) / 2)}


def test_the_patient_is_the_one_that_the_store_names_now(tmp_path: Path) -> None:
    a = store_case(tmp_path, "a", "a", bright=4, tumour=4)  # patients as they were when the arrays were written
    b = store_case(tmp_path, "b", "b", bright=2, tumour=4)
    anna = [entry.model_copy(update={"patient_id": "anna"}) for entry in (a, b)]
    assert validate(tmp_path, anna, WhereBright(), spec(), Devices()).dice == {Region.WT: pytest.approx(12 / 14)}


def test_a_patient_without_tumour_scores_by_the_rule_for_empty_masks(tmp_path: Path) -> None:
    none = store_case(tmp_path, "none", "one", bright=0, tumour=0)
    alarm = store_case(tmp_path, "false alarm", "two", bright=1, tumour=0)
    assert validate(tmp_path, [none], WhereBright(), spec(), Devices()).dice == {Region.WT: 1}
    assert validate(tmp_path, [none, alarm], WhereBright(), spec(), Devices()).dice == {Region.WT: 0.5}


def test_an_empty_slice_does_not_count_where_its_patient_has_others(tmp_path: Path) -> None:
    full = store_case(tmp_path, "full", "one", bright=4, tumour=8)
    empty = store_case(tmp_path, "empty", "one", bright=0, tumour=0)
    assert validate(tmp_path, [full, empty], WhereBright(), spec(), Devices()).dice == {Region.WT: pytest.approx(2 / 3)}


def test_the_models_clean_up_counts_millilitres(tmp_path: Path) -> None:
    a = store_case(tmp_path, "a", "one", bright=4, tumour=4)  # a voxel has 1 mm3
    assert (
        validate(tmp_path, [a], WhereBright(), spec(clean_up=CleanUpConfig(min_size=0.004)), Devices()).dice[Region.WT]
        == 1
    )
    assert (
        validate(tmp_path, [a], WhereBright(), spec(clean_up=CleanUpConfig(min_size=0.005)), Devices()).dice[Region.WT]
        == 0
    )


def test_only_the_regions_of_the_convention(tmp_path: Path) -> None:
    class Nothing(WhereBright):
        channels = 3

        def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.zeros((len(patches), 3, *patches.shape[2:]), np.float32)

    a = store_case(tmp_path, "a", "one", bright=0, tumour=0)
    brats = OutputConfig(kind="regions", convention="brats2023")
    assert validate(tmp_path, [a], Nothing(), spec(output=brats), Devices()).dice == dict.fromkeys(Region, 1)


def test_the_example_is_a_slice_through_a_tumour_of_middle_size(tmp_path: Path) -> None:
    sizes = {"none": 0, "large": 9, "small": 1, "middle": 5}
    entries = [store_case(tmp_path, name, name, bright=3, tumour=size) for name, size in sizes.items()]
    example = validate(tmp_path, entries, WhereBright(), spec(), Devices()).example
    assert example is not None and example.case_id == "middle"
    assert np.count_nonzero(example.reference) == 5 and np.count_nonzero(example.predicted) == 3
    example = validate(tmp_path, entries[:1], WhereBright(), spec(), Devices()).example
    assert example is not None and example.case_id == "none"
