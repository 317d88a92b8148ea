"""What voxels tell: brain or head, the meaning of labels, swapped modalities, masks of another case."""

from __future__ import annotations

from functools import cache
from itertools import combinations, permutations
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from gliamap.case import Case
from gliamap.checks.anatomy import measure_rim, stripped_or_head
from gliamap.checks.brightness import against_normal, background_of, brightness, tissue_of
from gliamap.checks.contrast import swapped_modalities
from gliamap.checks.fit import best_place, mask_fits
from gliamap.checks.meaning import Evidence, settle, tell_convention
from gliamap.labels import CONVENTIONS, Region, Tissue, from_tissue, region_mask
from gliamap.sources.phantom import make_phantom
from gliamap.volume import Grid

NAMES = ("t1", "t1c", "t2", "flair")
EVERY = list(CONVENTIONS.values())
SWAPS = list(combinations(NAMES, 2))


@cache
def phantom(seed: int) -> Case:
    """A small phantom; seeds 0, 1 and 5 enhance, 2, 3 and 4 do not."""
    return make_phantom(seed, (40, 48, 36))


def disc(size: int, radius: float) -> NDArray[np.bool_]:
    x, y = np.mgrid[:size, :size] - (size - 1) / 2
    return np.asarray(np.hypot(x, y * 1.2) <= radius)


def head(*, air: float = 3.0, size: int = 96) -> NDArray[np.float32]:
    """A slice of a head ``(1, size, size, 1)``: bright scalp, dark skull, grey brain, air with noise."""
    rng = np.random.default_rng(0)
    plane = np.abs(rng.normal(0, air, (size, size))) if air else np.zeros((size, size))
    for radius, value in ((40, 200), (36, 15), (31, 110)):
        plane = np.where(disc(size, radius), value + rng.normal(0, 4, plane.shape), plane)
    return plane[None, :, :, None].astype(np.float32)


def called(case: Case, names: tuple[str, ...]) -> NDArray[np.float32]:
    """The images of ``case`` in the order in which files of these ``names`` would give them."""
    return np.ascontiguousarray(case.image[[case.modalities.index(name) for name in names]])


# --- brain or head ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_a_stripped_brain_in_any_orientation(axes: tuple[int, int, int]) -> None:
    image = phantom(0).image.transpose(0, *(axis + 1 for axis in axes))[:, ::-1]
    assert stripped_or_head(image) == "brain"


def test_a_normalised_brain_whose_background_is_not_the_smallest_value() -> None:
    image = phantom(0).image[:2]
    assert stripped_or_head(np.where(image > 0, image - 900, 0).astype(np.float32)) == "brain"


@pytest.mark.parametrize("air", [3.0, 0.0], ids=["noise in the air", "air set to zero"])
def test_a_head_by_the_dark_ring_of_its_skull(air: float) -> None:
    assert stripped_or_head(head(air=air)) == "head"
    assert stripped_or_head(np.repeat(head(air=air), 5, axis=3)) == "head"


def test_doubt_is_none() -> None:
    brain = phantom(0).image[:1]
    noise = np.abs(np.random.default_rng(0).normal(0, 30, brain.shape)).astype(np.float32)
    assert stripped_or_head(brain + noise) is None  # no ring, but no clean background either
    assert stripped_or_head(np.zeros((2, 30, 30, 30), np.float32)) is None
    assert stripped_or_head(brain[:, ::6, ::6, ::6]) is None  # too few voxels to tell


def test_values_that_are_not_finite_or_huge_do_no_harm() -> None:
    image = head()
    image[0, 0, :5, 0] = (np.nan, np.inf, -np.inf, 3e38, -3e38)
    assert stripped_or_head(image) in ("head", None)


def test_a_gap_open_to_the_outside_is_no_skull() -> None:
    plane = np.where(disc(96, 40), 100.0, 0.0) * (1 + 0.05 * np.random.default_rng(0).random((96, 96)))
    plane[16:24, 40:] = 0  # a fissure, and a lobe beyond it
    rim = measure_rim(plane.astype(np.float32))
    assert rim is not None
    assert rim.ring < 0.1
    assert rim.dark < 0.05


@pytest.mark.parametrize(
    ("place", "pattern", "shown"), [("brats21", "*01476*/*.nii.gz", "brain"), ("btp-t1post", "*/*t1post*", "head")]
)
def test_real_scans(data_root: Path, place: str, pattern: str, shown: str) -> None:
    files = [path for path in sorted((data_root / place).glob(pattern)) if "_seg" not in path.name][:4]
    assert len(files) == 4
    for path in files:
        volume = np.asarray(nib.load(path).dataobj).astype(np.float32)
        assert stripped_or_head(volume[None]) == shown, path.name


# --- brightness ------------------------------------------------------------------------------------------------------


def test_background_is_the_most_frequent_value_not_the_smallest() -> None:
    plane = np.array([[-2.0, 0, 0, 0], [0, 3, 1, 0], [0, 0, 0, 0]], np.float32)
    assert background_of(plane) == 0
    bright = brightness(plane, 0)
    assert bright[1, 1] > bright[1, 2] > bright[0, 0] > bright[2, 0] == 0


def test_a_blank_image_has_no_tissue() -> None:
    blank = np.full((5, 6, 7), 4.0, np.float32)
    assert not brightness(blank, background_of(blank)).any()
    assert not tissue_of(brightness(blank, 4.0)).any()


def test_against_normal_is_in_spreads_of_normal_brain() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(50, 5, (1, 20, 20, 20)).astype(np.float32)
    relative = against_normal(image * 7 + 3, np.ones((20, 20, 20), np.bool_))
    assert relative is not None
    assert abs(float(np.median(relative))) < 0.01
    assert float(relative.std()) == pytest.approx(1, abs=0.05)
    assert against_normal(np.ones_like(image), np.ones((20, 20, 20), np.bool_)) is None  # nothing varies
    assert against_normal(image, np.zeros((20, 20, 20), np.bool_)) is None  # nothing is normal


# --- swapped modalities ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_labels", [True, False])
def test_true_names_are_not_doubted(with_labels: bool) -> None:
    for seed in range(4):
        case = phantom(seed)
        assert swapped_modalities(case.image, NAMES, case.labels if with_labels else None) == []


@pytest.mark.parametrize(("one", "other"), SWAPS)
def test_every_swap_is_found_and_named(one: str, other: str) -> None:
    case = phantom(0)
    turned = {one: other, other: one}
    order = tuple(turned.get(name, name) for name in NAMES)
    (finding,) = swapped_modalities(called(case, order), NAMES, case.labels)
    assert finding.code == "modalities-swapped"
    assert finding.found == f"what is called {one} looks like {other}, what is called {other} looks like {one}"
    assert swapped_modalities(called(case, order), NAMES) != []  # without labels too


def test_the_channels_of_another_order_are_found() -> None:
    decathlon = ("flair", "t1", "t1c", "t2")
    (finding,) = swapped_modalities(called(phantom(1), decathlon), NAMES)
    assert "what is called t1 looks like flair" in finding.found


def test_t1_and_t1c_that_do_not_differ_are_not_doubted() -> None:
    image = called(phantom(0), ("t1", "t1", "t2", "flair"))
    image[1] = np.where(image[1] > 0, image[1] * 1.5 + 7, 0)
    assert swapped_modalities(image, NAMES) == []


def test_names_that_fit_either_way_are_left_alone() -> None:
    """T1 and T1c hold nearly the same here: that T2 and FLAIR were swapped says nothing of those two."""
    case = phantom(0)
    for first, second in (("t1", "t1c"), ("t1c", "t1")):
        image = called(case, ("t1", "t1", "flair", "t2"))
        image[1] += np.where(image[1] > 0, np.random.default_rng(0).normal(0, 9, image[1].shape), 0)
        (finding,) = swapped_modalities(image, (first, second, "t2", "flair"))
        assert finding.found == "what is called t2 looks like flair, what is called flair looks like t2"


def test_t2_and_flair_alone_are_enough() -> None:
    case = phantom(3)
    assert swapped_modalities(called(case, ("t2", "flair")), ("t2", "flair")) == []
    assert swapped_modalities(called(case, ("flair", "t2")), ("t2", "flair")) != []


def test_nothing_is_said_of_what_cannot_be_told() -> None:
    case = phantom(0)
    assert swapped_modalities(case.image[:1], ("flair",)) == []
    assert swapped_modalities(case.image[:, :, :, 15:16], NAMES[::-1]) == []  # a slice
    assert swapped_modalities(case.image[:, ::3, ::3, ::3], NAMES[::-1]) == []  # too few voxels
    assert swapped_modalities(case.image, ("a", "b", "c", "d")) == []
    assert swapped_modalities(np.where(case.image > 0, 5, 0).astype(np.float32), NAMES) == []  # without contrast


# --- masks of another case -------------------------------------------------------------------------------------------


def labels_of(case: Case) -> NDArray[np.uint8]:
    assert case.labels is not None
    return case.labels


def test_a_true_mask_fits() -> None:
    for seed in range(4):
        case = phantom(seed)
        assert mask_fits(case.image, NAMES, labels_of(case), case.grid) is None


def test_a_flipped_mask_does_not_and_the_way_is_told() -> None:
    case = phantom(0)
    finding = mask_fits(case.image, NAMES, labels_of(case)[::-1], case.grid)
    assert finding is not None
    assert finding.code == "mask-does-not-fit"
    tumour = np.argwhere(labels_of(case) > 0).mean(axis=0)[0]
    is_right = tumour < (case.grid.shape[0] - 1) / 2  # phantoms are held LPS: small indices lie on the right
    assert finding.found.endswith("towards the right" if is_right else "towards the left")


def test_the_way_is_told_in_the_patients_directions() -> None:
    """The same brain held in another order of axes is given the same way."""
    case = phantom(0)
    axes = (2, 0, 1)
    affine = case.grid.affine.copy()
    affine[:, :3] = affine[:, list(axes)]
    grid = Grid(tuple(case.grid.shape[axis] for axis in axes), affine)  # type: ignore[arg-type]
    turned = mask_fits(
        case.image.transpose(0, *(axis + 1 for axis in axes)), NAMES, labels_of(case)[::-1].transpose(axes), grid
    )
    assert turned == mask_fits(case.image, NAMES, labels_of(case)[::-1], case.grid)


def test_the_mask_of_another_case_does_not_fit() -> None:
    doubted = [
        mask_fits(phantom(one).image, NAMES, labels_of(phantom(other)), phantom(one).grid) is not None
        for one, other in permutations(range(4), 2)
    ]
    assert sum(doubted) >= 11


def test_a_binary_mask_is_looked_for_on_flair() -> None:
    case = phantom(0)
    tumour = np.where(labels_of(case) > 0, np.uint8(Tissue.TUMOUR), np.uint8(0))
    flair = called(case, ("flair",))
    assert mask_fits(flair, ("flair",), tumour, case.grid) is None
    assert mask_fits(flair, ("flair",), tumour[::-1], case.grid) is not None
    assert mask_fits(called(case, ("t2",)), ("t2",), tumour[::-1], case.grid) is None  # no way to look
    assert mask_fits(called(case, ("t1c",)), ("t1c",), tumour[::-1], case.grid) is None  # the tumour may be dark


def test_enhancing_tumour_is_looked_for_on_t1c() -> None:
    case = phantom(0)
    image = called(case, ("t1c",))
    assert mask_fits(image, ("t1c",), labels_of(case), case.grid) is None
    assert mask_fits(image, ("t1c",), labels_of(case)[::-1], case.grid) is not None


def test_a_mask_of_a_few_voxels_or_none_is_not_judged() -> None:
    case = phantom(0)
    few = np.zeros_like(labels_of(case))
    assert mask_fits(case.image, NAMES, few, case.grid) is None
    few[20, 20, 18] = Tissue.ED
    assert mask_fits(case.image, NAMES, few, case.grid) is None


def test_the_best_place_of_a_shifted_mask_is_where_it_came_from() -> None:
    case = phantom(0)
    mask = region_mask(labels_of(case), Region.WT)
    place = best_place(called(case, ("flair", "t2")), np.roll(mask, 5, axis=1), (1, 1, 1))
    assert place is not None
    assert place.elsewhere > place.here
    assert place.shift == (0, -5, 0)


# --- the meaning of labels -------------------------------------------------------------------------------------------


def coded(case: Case, name: str) -> NDArray[np.uint8]:
    """The labels of ``case`` as a file of that convention would hold them; parts are made up where it has more."""
    labels = labels_of(case).copy()
    core = labels == Tissue.NCR
    wet = core & (case.image[2] >= np.quantile(case.image[2][core], 0.6)) if core.any() else core
    made_up = {"brats2013": (Tissue.NET, Tissue.NECROSIS), "brats-ped": (Tissue.NET, Tissue.CC)}
    if name in made_up:
        labels[core], labels[wet] = made_up[name]
    if name == "brats2024":
        labels[wet] = Tissue.RC
    return from_tissue(labels, CONVENTIONS[name], lossy=True)


def evidence(seed: int, name: str, modalities: tuple[str, ...] = NAMES) -> Evidence:
    case = phantom(seed)
    found = tell_convention(called(case, modalities), modalities, coded(case, name), EVERY)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["brats2021", "brats2023", "brats2024", "msd", "brats-ped", "brats2013", "brats2012"])
@pytest.mark.parametrize("modalities", [NAMES, ("t1c",)], ids=["four modalities", "T1c alone"])
def test_three_cases_tell_their_convention(name: str, modalities: tuple[str, ...]) -> None:
    cases = [evidence(seed, name, modalities) for seed in (0, 1, 5)]
    found, why = settle(cases, EVERY)
    assert found is not None, why
    assert found.name == name
    assert "3 cases" in why


def test_the_same_tumour_scores_the_same_in_other_numbers() -> None:
    assert evidence(0, "msd").scores["msd"] == pytest.approx(evidence(0, "brats2023").scores["brats2023"])
    assert evidence(0, "msd").scores["brats2023"] == pytest.approx(evidence(0, "brats2023").scores["msd"])


def test_what_looks_the_same_is_not_guessed() -> None:
    found, why = settle([evidence(2, "msd")], EVERY)  # 1 and 2 without enhancement: msd or brats2012
    assert found is None
    assert "msd" in why
    assert "brats2012" in why


def test_cases_that_disagree_are_not_guessed() -> None:
    mixed = [evidence(seed, name) for seed, name in ((0, "msd"), (5, "brats2023"), (1, "msd"), (0, "brats2023"))]
    found, why = settle(mixed, [CONVENTIONS["brats2023"], CONVENTIONS["msd"]])
    assert found is None
    assert "remain possible after 4 cases" in why


def test_what_no_case_shows_counts_against_a_convention_that_has_it() -> None:
    """1, 2 and 4 fit brats2021 and, without its value 3, brats2013: one case leaves it open, three do not."""
    assert settle([evidence(0, "brats2021")], EVERY)[0] is None
    assert settle([evidence(0, "brats2021")] * 3, EVERY)[0] == CONVENTIONS["brats2021"]


def test_only_one_fits() -> None:
    candidates = [CONVENTIONS["brats2023"], CONVENTIONS["brats2021"]]
    case = tell_convention(phantom(0).image, NAMES, coded(phantom(0), "brats2021"), candidates)
    assert settle([case, None], candidates) == (CONVENTIONS["brats2021"], "only this one knows 1, 2, 4")


def test_conventions_that_mean_the_same_are_one() -> None:
    candidates = [CONVENTIONS["brats2024"], CONVENTIONS["brats2023"]]
    case = tell_convention(phantom(0).image, NAMES, coded(phantom(0), "brats2023"), candidates)
    assert settle([case], candidates)[0] == CONVENTIONS["brats2024"]


def test_no_evidence() -> None:
    case = phantom(0)
    assert tell_convention(case.image, NAMES, np.zeros(case.grid.shape, np.uint8), EVERY) is None
    assert tell_convention(case.image, NAMES, np.full(case.grid.shape, 77, np.int32), EVERY) is None
    assert settle([None, None], EVERY) == (None, "no mask that was looked at tells")
    odd = Evidence((1, 4), {}, "")
    assert settle([odd], [CONVENTIONS["msd"]]) == (None, "no convention knows 1, 4")


def test_an_image_without_contrast_leaves_it_to_where_labels_lie() -> None:
    case = phantom(0)
    flat = np.where(case.image > 0, 9, 0).astype(np.float32)
    found = tell_convention(flat, NAMES, coded(case, "msd"), [CONVENTIONS["brats2023"], CONVENTIONS["msd"]])
    assert found is not None
    assert found.scores["msd"] > found.scores["brats2023"]  # edema is the outer shell


def test_slices_weigh_less_than_cases() -> None:
    """That no slice shows a tissue says little: slices are many and each shows a part."""
    whole = Evidence((1,), {"binary": 0.0, "msd": 0.0}, "")
    part = Evidence((1,), {"binary": 0.0, "msd": 0.0}, "", is_slice=True)
    candidates = [CONVENTIONS["binary"], CONVENTIONS["msd"]]
    assert settle([whole] * 2, candidates)[0] == CONVENTIONS["binary"]
    assert settle([part] * 2, candidates)[0] is None
    assert settle([part] * 12, candidates)[0] == CONVENTIONS["binary"]
