"""Patches from the store: a pure function of seed and number, whichever process reads them."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gliamap.boxes import Box, read_padded
from gliamap.case import PreparedCase, TumourIndex
from gliamap.config import AugmentConfig, InputConfig, ModelSpec, OutputConfig, TrainConfig
from gliamap.errors import FileError
from gliamap.io.patch_list import ROW, write_rows
from gliamap.io.soft import open_soft
from gliamap.io.store import read_case
from gliamap.labels import Region, Tissue
from gliamap.sampling import dataset as module
from gliamap.sampling.auxiliary import Auxiliary
from gliamap.sampling.choose import Want, choose_box
from gliamap.sampling.dataset import Patch, PatchDataset, draw_present, encode_target
from gliamap.sampling.drawing import PatchOrder
from gliamap.sampling.extras import Extras, lesion_weights, read_distances
from stores import Store, add_distances, write_certain_teachers, write_tiny_store
from tiny import spec

REGIONS = OutputConfig(kind="regions", convention="brats2021")
CLASSES = OutputConfig(kind="classes", convention="brats2021")
OFF = AugmentConfig(flip=False, affine=0, intensity=0, gamma=0, noise=0, bias=0)
MOVED = AugmentConfig(flip=True, affine=1, elastic=1, intensity=0, gamma=0, noise=0, bias=0)
CONFIG = TrainConfig(patch=(8, 12, 4), seed=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_tiny_store(tmp_path_factory.mktemp("store"))


def dataset(store: Store, *, soft: Path | None = None, wanted: ModelSpec | None = None, **changes: Any) -> PatchDataset:
    """The patches of ``store`` under ``CONFIG`` with changes."""
    extras = Extras(soft, **{name: changes.pop(name) for name in ("distances", "weights") if name in changes})
    return PatchDataset(*store, CONFIG.model_copy(update=changes), wanted or spec(), extras)


def same(one: Patch, other: Patch) -> bool:
    """Bit for bit the same patch."""
    return torch.equal(one.image, other.image) and torch.equal(one.target, other.target)


def cuts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Box]]:
    """Which case and box each patch is cut from, added as it is loaded."""
    seen: list[tuple[str, Box]] = []
    opened = []

    def read(root: Path, case_id: str) -> PreparedCase:
        opened.append(case_id)
        return read_case(root, case_id)

    def choose(
        rng: np.random.Generator,
        shape: tuple[int, int, int],
        patch: tuple[int, int, int],
        index: TumourIndex | None,
        want: Want,
    ) -> Box:
        seen.append((opened[-1], choose_box(rng, shape, patch, index, want)))
        return seen[-1][1]

    monkeypatch.setattr(module, "read_case", read)
    monkeypatch.setattr(module, "choose_box", choose)
    return seen


def test_encode_target_by_eye() -> None:
    tissues = np.array([[[0, Tissue.ED, Tissue.NCR, Tissue.ET]]], np.uint8)
    assert encode_target(tissues, REGIONS)[:, 0, 0].tolist() == [[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]
    assert encode_target(tissues, CLASSES)[:, 0, 0].tolist() == [
        [1, 0, 0, 0],
        [0, 0, 1, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 1],
    ]
    assert encode_target(tissues, REGIONS).dtype == np.uint8


@pytest.mark.parametrize(("output", "channels"), [(REGIONS, 3), (CLASSES, 4)])
def test_shapes_and_types(store: Store, output: OutputConfig, channels: int) -> None:
    patch = dataset(store, wanted=spec(output=output))[0]
    assert patch.image.shape == (4, 8, 12, 4)
    assert patch.image.dtype == torch.float32
    assert patch.target.shape == (channels, 8, 12, 4)
    assert patch.target.dtype == torch.uint8
    assert set(patch.target.unique().tolist()) <= {0, 1}
    assert patch.soft is None


def test_a_patch_depends_on_seed_and_number_alone(store: Store) -> None:
    one, fresh, other = dataset(store), dataset(store), dataset(store, seed=4)
    for number in (7, 0, 3):
        assert same(one[number], fresh[number])
    assert not torch.equal(one[0].image, one[1].image)
    assert not torch.equal(one[0].image, other[0].image)


def test_the_first_patches_of_the_defaults_stay_what_they_were(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run goes on with the same patches after an update only while these numbers stay."""
    patches, cut = dataset(store), cuts(monkeypatch)
    found = [patches[number] for number in range(6)]
    assert [(case_id, box.start) for case_id, box in cut] == [
        ("0", (4, 1, 6)),
        ("0", (9, 0, 4)),
        ("1", (2, 7, 6)),
        ("0", (9, 2, 6)),
        ("1", (1, 1, 1)),
        ("1", (2, 7, 6)),
    ]
    assert [patch.target.sum(dim=(1, 2, 3)).tolist() for patch in found] == [
        [96, 40, 32],
        [172, 90, 72],
        [132, 78, 0],
        [110, 45, 36],
        [1, 0, 0],
        [161, 88, 0],
    ]
    sums = [25.861, 213.909, -126.37, 112.385, 34.015, -213.6]  # of the image: what was drawn to vary it
    assert [float(patch.image.sum()) for patch in found] == pytest.approx(sums, abs=0.01)


@pytest.mark.parametrize("patch", [(8, 12, 4), (6, 6, 1), (2, 2, 2), (32, 32, 32)])
def test_foreground_patches_hold_a_region_of_a_case_that_has_it(store: Store, patch: tuple[int, int, int]) -> None:
    patches = dataset(store, foreground_share=1.0, augment=OFF, patch=patch)
    enhancing = 0
    for number in range(60):
        target = patches[number].target
        assert target[0].any()  # whole tumour, whichever region was aimed at
        enhancing += bool(target[list(Region).index(Region.ET)].any())
    assert enhancing >= 15  # a third of the patches aim at it, though one case of three has it


@pytest.mark.parametrize("balance", ["cases", "sizes"])
def test_other_balances_hold_tumour_too(store: Store, balance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patches, cut = dataset(store, foreground_share=1.0, augment=OFF, balance=balance), cuts(monkeypatch)
    assert all(patches[number].target[0].any() for number in range(60))
    drawn = Counter(case_id for case_id, _ in cut)
    assert set(drawn) == {"0", "1"}
    assert drawn["0"] == pytest.approx(30, abs=12)


def test_patches_are_cut_from_the_stored_case_with_its_labels(store: Store) -> None:
    patches = dataset(store, augment=OFF, patch=(32, 32, 32))  # larger than any case: each patch holds a whole one
    seen = set()
    for number in range(20):
        patch = patches[number]
        image, target = patch.image, patch.target
        counts = tuple(int(channel.sum()) for channel in target)
        (match,) = [e for e in store[1] if tuple(e.voxels[r] for r in Region) == counts]
        seen.add(match.case_id)
        stored = read_case(store[0], match.case_id)
        assert float(image.abs().sum()) == pytest.approx(float(np.abs(stored.image.astype(np.float64)).sum()), rel=1e-5)
        if target[0].any():  # the tumour is bright on FLAIR: labels lie where the image says
            flair = image[3]
            assert flair[target[0].bool()].mean() > flair[(flair != 0) & ~target[0].bool()].mean() + 1
    assert seen == {"0", "1", "2"}


def test_the_dataset_travels_to_worker_processes_that_start_afresh(store: Store) -> None:
    copy = pickle.loads(pickle.dumps(dataset(store)))  # noqa: S301 (its own bytes)
    assert same(copy[2], dataset(store)[2])


class Recorder(np.ndarray[Any, Any]):
    """An array that notes how many of its values are asked for."""

    asked: list[int]

    def __getitem__(self, key: Any) -> Any:
        part = np.asarray(self)[key]
        self.asked.append(part.size)
        return part


def test_of_a_case_the_box_alone_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def read(root: Path, case_id: str) -> PreparedCase:
        one = read_case(root, case_id)
        assert one.labels is not None
        image, labels = one.image.view(Recorder), one.labels.view(Recorder)
        image.asked = labels.asked = asked
        return replace(one, image=image, labels=labels)

    monkeypatch.setattr(module, "read_case", read)
    assert dataset(store, patch=(4, 3, 2))[0].image.shape == (4, 4, 3, 2)
    assert asked == [4 * 24, 24]


def test_a_damaged_case_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"case\.json"):
        PatchDataset(tmp_path, store[1], CONFIG, spec())[0]


def test_dropout_that_is_off_draws_nothing() -> None:
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert draw_present(rng, (True,) * 4, 0.0) is None
    assert rng.bit_generator.state == before


def test_dropout_leaves_some_modality_and_takes_some() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(draw_present(rng, (True,) * 4, 1.0) for _ in range(14000))
    assert len(drawn) == 14  # of 16 subsets all but the empty and the full one
    assert not drawn.keys() & {(True,) * 4, (False,) * 4, None}
    assert min(drawn.values()) > 900
    assert max(drawn.values()) < 1100
    assert {draw_present(rng, (True,) * 2, 1.0) for _ in range(50)} == {(True, False), (False, True)}


def test_dropout_meets_the_share_asked_for() -> None:
    rng = np.random.default_rng(0)
    assert sum(draw_present(rng, (True,) * 4, 0.3) is not None for _ in range(5000)) / 5000 == pytest.approx(
        0.3, abs=0.02
    )


def test_only_what_is_there_is_kept_or_dropped() -> None:
    rng = np.random.default_rng(0)
    some = (False, True, False, True)
    assert draw_present(rng, some, 0.0) == some
    assert {draw_present(rng, some, 1.0) for _ in range(50)} == {
        (False, True, False, False),
        (False, False, False, True),
    }
    assert draw_present(rng, (False, True), 1.0) == (False, True)  # the only one is not dropped


def with_inputs(**inputs: bool) -> ModelSpec:
    return spec(inputs=InputConfig.model_validate(inputs))


def test_the_network_is_shown_what_was_dropped(store: Store) -> None:
    all_there = dataset(store, wanted=with_inputs(presence=True), modality_dropout=0.0)
    patches = dataset(store, wanted=with_inputs(presence=True), modality_dropout=1.0)
    lost = set()
    for number in range(12):
        full, patch = all_there[number], patches[number]
        assert patch.image.shape == (8, 8, 12, 4)
        assert full.image[4:].unique().tolist() == [1]
        assert torch.equal(patch.target, full.target)
        for channel in range(4):
            there = bool(patch.image[4 + channel].all())
            assert patch.image[4 + channel].unique().tolist() == [float(there)]
            assert torch.equal(patch.image[channel], full.image[channel] if there else 0 * full.image[channel])
            lost |= set() if there else {channel}
    assert lost == {0, 1, 2, 3}


def test_new_inputs_leave_the_modalities_as_they_were(store: Store) -> None:
    plain, both = dataset(store), dataset(store, wanted=with_inputs(mirror=True, presence=True))
    for number in range(4):
        assert both[number].image.shape == (12, 8, 12, 4)
        assert torch.equal(both[number].image[:4], plain[number].image)


def test_the_mirrored_hemisphere_is_cut_beside_the_patch(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    patches, cut = dataset(store, wanted=with_inputs(mirror=True), augment=OFF), cuts(monkeypatch)
    for number in range(8):
        image = patches[number].image.numpy()
        case_id, box = cut[number]
        turned = read_case(store[0], case_id).image[:, ::-1].astype(np.float32)
        assert np.array_equal(image[4:], read_padded(turned, box))


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Four patches of a list: two with tumour of the first cases, two without of the third, which has none."""
    rows = np.array([(0, (4, 1, 6), True), (1, (1, 1, 1), True), (2, (0, -3, 2), False), (2, (5, 5, 5), False)], ROW)
    write_rows(tmp_path / "patches.npy", rows)
    return tmp_path / "patches.npy"


def from_list(store: Store, listed: Path, **changes: Any) -> PatchDataset:
    """The patches of ``store`` in the order that ``CONFIG`` with changes gives those of the list."""
    config = CONFIG.model_copy(update=changes)
    order = PatchOrder(listed, [entry.case_id for entry in store[1]], config)
    return PatchDataset(*store, config, spec(), order=order)


def test_patches_of_a_list_are_cut_from_their_boxes(store: Store, listed: Path) -> None:
    patches = from_list(store, listed, augment=OFF, ratio="1:1")
    order = PatchOrder(listed, ["0", "1", "2"], CONFIG.model_copy(update={"ratio": "1:1"}))
    for number in range(8):
        case_id, box = order.draw(np.random.default_rng((CONFIG.seed, number)), number)
        case, patch = read_case(store[0], case_id), patches[number]
        assert case.labels is not None and box.shape == CONFIG.patch
        assert np.array_equal(patch.image.numpy(), read_padded(case.image, box).astype(np.float32))
        assert np.array_equal(patch.target.numpy(), encode_target(read_padded(case.labels, box), REGIONS))
        assert bool(patch.target[0].any()) == (number % 2 == 1)


def test_a_patch_of_a_list_depends_on_seed_and_number_alone(store: Store, listed: Path) -> None:
    one, other = from_list(store, listed, ratio="1:1"), from_list(store, listed, ratio="1:1")
    copy = pickle.loads(pickle.dumps(one))  # noqa: S301 (its own bytes)
    assert [same(one[number], other[number]) for number in (7, 0, 3, 12)] == [True] * 4
    assert same(copy[5], other[5])
    assert not same(from_list(store, listed, ratio="1:1", seed=4)[0], one[0])


@pytest.fixture(scope="module")
def soft(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certain_teachers(tmp_path_factory.mktemp("soft"), store)


def test_teachers_probabilities_are_cut_by_the_same_box(
    store: Store, soft: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches, cut = dataset(store, soft=soft, augment=OFF), cuts(monkeypatch)
    for number in range(6):
        found = patches[number].soft
        assert found is not None
        assert found.dtype == torch.float32
        case_id, box = cut[number]
        assert np.array_equal(found.numpy(), read_padded(open_soft(soft, case_id), box) / np.float32(255))


def test_teachers_probabilities_move_with_the_labels(store: Store, soft: Path) -> None:
    patches = dataset(store, soft=soft, augment=MOVED, patch=(16, 16, 16), foreground_share=1.0)
    for number in range(6):
        patch = patches[number]
        assert patch.soft is not None
        assert patch.soft.shape == patch.target.shape
        assert patch.target[0].any()
        assert ((patch.soft > 0.5) == patch.target.bool()).float().mean() > 0.97  # at borders linear and nearest differ


def test_teachers_change_nothing_else(store: Store, soft: Path) -> None:
    with_teachers, without = dataset(store, soft=soft), dataset(store)
    assert all(same(with_teachers[number], without[number]) for number in range(6))


def test_a_case_that_the_teachers_have_not_seen_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="teachers"):
        dataset(store, soft=tmp_path)[0]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same store with distances."""
    return add_distances(write_tiny_store(tmp_path_factory.mktemp("measured")))


def test_distances_are_cut_by_the_same_box(measured: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    patches, cut = dataset(measured, distances=True, augment=OFF), cuts(monkeypatch)
    for number in range(6):
        found, target = patches[number].distances, patches[number].target
        assert found is not None and found.dtype == torch.float32 and found.shape == target.shape
        case_id, box = cut[2 * number]
        assert torch.equal(found, read_distances(measured[0], case_id, tuple(Region), box))
        assert torch.equal(found < 0, target.bool())


def test_distances_are_those_of_the_outputs_regions(measured: Store) -> None:
    alone = spec(output=OutputConfig(kind="regions", convention="binary"))
    for number in range(3):
        whole, three = (
            dataset(measured, wanted=alone, distances=True)[number],
            dataset(measured, distances=True)[number],
        )
        assert whole.distances is not None and three.distances is not None
        assert whole.distances.shape[0] == 1 and torch.equal(whole.distances[0], three.distances[0])


@pytest.mark.parametrize("patch", [(16, 16, 16), (32, 32, 32), (16, 16, 1)])
def test_distances_move_with_the_labels(measured: Store, patch: tuple[int, int, int]) -> None:
    patches = dataset(measured, distances=True, augment=MOVED, patch=patch, foreground_share=1.0)
    for number in range(6):
        one = patches[number]
        assert one.distances is not None and one.target[0].any()
        there = [bool(channel.any()) for channel in one.target]
        assert ((one.distances < 0) == one.target.bool())[there].float().mean() > 0.97


def test_distances_and_weights_change_nothing_else(measured: Store) -> None:
    with_both, without = dataset(measured, distances=True, weights=True), dataset(measured)
    for number in range(6):
        assert same(with_both[number], without[number])
        assert without[number].distances is None and without[number].weights is None
        assert with_both[number].weights is not None


def test_a_case_without_distances_is_named(store: Store) -> None:
    with pytest.raises(FileError, match=r"distances to the surface of WT of the case"):
        dataset(store, distances=True)[0]


@pytest.mark.parametrize(("output", "first"), [(REGIONS, 0), (CLASSES, 1)])
def test_weights_are_those_of_the_target_as_it_was_moved(store: Store, output: OutputConfig, first: int) -> None:
    patches = dataset(store, wanted=spec(output=output), weights=True, augment=MOVED)
    for number in range(4):
        patch = patches[number]
        assert patch.weights is not None
        assert np.array_equal(patch.weights.numpy(), lesion_weights(patch.target.numpy(), first))


def test_a_share_of_the_patches_is_of_the_auxiliary_cases_in_the_places_of_their_modalities(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The auxiliary store has the same cases, but only their second modality, as its first."""
    other = write_tiny_store(tmp_path)
    for entry in other[1]:
        path = next(tmp_path.glob(f"cases/{entry.case_id}/image.npy"))
        np.save(path, np.load(path)[1:2])
    auxiliary = Auxiliary(tmp_path, tuple(other[1]), (None, 0, None, None), 0.25)
    both = with_inputs(mirror=True, presence=True)
    config = CONFIG.model_copy(update={"augment": OFF})
    patches = PatchDataset(*store, config, both, Extras(auxiliary=auxiliary))
    cut = cuts(monkeypatch)
    known = 0
    for number in range(200):
        image = patches[number].image.numpy()
        if image[8:].all():
            continue
        known += 1
        assert image[8:].any(axis=(1, 2, 3)).tolist() == [False, True, False, False]
        assert not image[[0, 2, 3, 4, 6, 7]].any()
        case_id, box = cut[-1]
        whole = read_case(store[0], case_id)
        assert whole.labels is not None
        assert np.array_equal(image[1], read_padded(whole.image[1:2], box).astype(np.float32)[0])
        turned = whole.image[1:2, ::-1].astype(np.float32)
        assert np.array_equal(image[5], read_padded(turned, box)[0])
        assert np.array_equal(patches[number].target, encode_target(read_padded(whole.labels, box), REGIONS))
    assert 30 < known < 70
