"""What one case shows, where it can be counted by eye."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import make
from gliamap.case import Case
from gliamap.labels import Tissue
from gliamap.survey.case import survey_case
from gliamap.survey.counts import INTENSITY_EDGES, PLACES
from gliamap.survey.quality import Measure, Property
from gliamap.volume import Grid, image_grid

SHAPE = (8, 10, 12)


def block(spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Case:
    """A brain that fills all but a border of one, 6 x 8 x 10; two lesions, of 2 x 2 x 3 and of one voxel."""
    image = np.zeros((1, *SHAPE), np.float32)
    image[0, 1:-1, 1:-1, 1:-1] = 100
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:3, 1:3, 1:4] = Tissue.ED
    labels[1, 1, 1:4] = Tissue.ET
    labels[6, 8, 10] = Tissue.NCR
    image[0][labels > 0] = 200
    affine = np.diag([*spacing, 1.0])
    return Case("a", "p", ("t1",), image, Grid(SHAPE, affine), labels, "brats2021")


def test_tissues_lesions_and_slices_are_counted() -> None:
    facts = survey_case(block(), "brain", {"t1": 0.25}).facts
    assert facts.foreground == 6 * 8 * 10
    assert facts.voxels == {Tissue.NCR: 1, Tissue.ED: 9, Tissue.ET: 3}
    assert (facts.tumour, facts.lesions, facts.largest) == (13, 2, pytest.approx(0.012))
    assert (facts.slices, facts.tumour_slices, facts.extent) == (10, 4, (6.0, 8.0, 10.0))
    assert facts.quality[Property(Measure.CUT_OFF, "t1")] == 0.25
    assert facts.quality[Property(Measure.CONTRAST)] == 1.0


def test_slices_lie_across_the_thickest_voxels_and_sizes_are_in_ml() -> None:
    facts = survey_case(block((5.0, 1.0, 1.0)), "brain", {}).facts
    assert (facts.slices, facts.tumour_slices, facts.extent) == (6, 3, (30.0, 8.0, 10.0))
    assert facts.largest == pytest.approx(0.06)


def test_intensities_are_normalised_inside_the_brain() -> None:
    counts = survey_case(block(), "brain", {}).counts
    share = 13 / 480
    mean, std = 100 + 100 * share, 100 * np.sqrt(share * (1 - share))
    for tissue, value, voxels in ((0, 100, 467), (Tissue.ED, 200, 9), (Tissue.ET, 200, 3), (Tissue.NCR, 200, 1)):
        counted = counts.intensities["t1", Tissue(tissue)]
        (at,) = np.flatnonzero(counted)
        assert INTENSITY_EDGES[at] <= (value - mean) / std < INTENSITY_EDGES[at + 1]
        assert counted[at] == voxels
    assert counts.lesion_sizes.sum() == 2


def test_places_are_seen_through_the_brain_from_the_left_back_feet() -> None:
    places = survey_case(block(), "brain", {}).counts.places
    assert set(places) == {"axial", "coronal", "sagittal"}
    axial = places["axial"]
    assert (axial.cases, axial.tumour.shape, axial.foreground.min()) == (1, (PLACES, PLACES), 1)
    third, quarter = PLACES // 3, PLACES // 4
    assert axial.tumour[: third - 3, : quarter - 3].all() and not axial.tumour[third + 1 : -third, :].any()
    assert axial.tumour[-5:, -4:].all() and axial.tumour.mean() == pytest.approx((2 * 2 + 1) / (6 * 8), abs=0.01)
    assert places["sagittal"].tumour[:5, :5].all() and places["coronal"].tumour[-5:, -5:].all()


@pytest.mark.parametrize("kind", make.KINDS)
def test_a_case_says_the_same_however_its_voxels_are_ordered(kind: str) -> None:
    one = make.case(kind)
    assert one.labels is not None
    flipped = np.eye(4)
    flipped[1, 1], flipped[1, 3] = -1, one.grid.shape[1] - 1
    other = replace(
        one,
        image=one.image[:, :, ::-1],
        labels=one.labels[:, ::-1],
        grid=Grid(one.grid.shape, one.grid.affine @ flipped),
    )
    a, b = survey_case(one, "brain", {}), survey_case(other, "brain", {})
    assert a.facts == b.facts
    assert all((a.counts.places[plane].tumour == b.counts.places[plane].tumour).all() for plane in a.counts.places)


def test_a_picture_has_one_plane_and_pixels() -> None:
    found = survey_case(make.slice_case(), "head", {})
    assert set(found.counts.places) == {"slice"}
    assert (found.facts.unit, found.facts.slices, found.facts.tumour_slices, found.facts.lesions) == ("px", 1, 1, 1)
    assert found.facts.largest == (make.slice_case().labels != 0).sum()  # type: ignore[union-attr]


def test_a_slice_with_a_scale_tells_its_plane() -> None:
    one = make.slice_case()
    affine = np.array([[0, 0, 1.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    found = survey_case(replace(one, grid=Grid(one.grid.shape, affine)), "head", {})
    assert set(found.counts.places) == {"sagittal"}


def test_without_a_mask_there_is_no_tumour_to_speak_of() -> None:
    found = survey_case(replace(make.case(), labels=None), "brain", {})
    assert found.facts.voxels is None and not found.counts.places
    assert {tissue for _, tissue in found.counts.intensities} == {Tissue.BACKGROUND}


def test_tumour_outside_the_brain_is_counted_too() -> None:
    one = block()
    assert one.labels is not None
    one.labels[7, 9, 11] = Tissue.ED
    assert survey_case(one, "brain", {}).facts.tumour == 14


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_blank_image_says_nothing(value: float) -> None:
    one = Case("a", "p", ("t1",), np.full((1, 9, 7, 1), value, np.float32), image_grid((9, 7, 1)))
    found = survey_case(one, "head", {"t1": 1.0})
    assert not found.counts.intensities and not found.facts.quality
