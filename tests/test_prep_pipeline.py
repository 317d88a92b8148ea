"""Preparation and the way back: what goes in on the native grid comes out on the native grid."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliamap.boxes import whole
from gliamap.case import Case
from gliamap.config import PrepConfig
from gliamap.errors import LayoutError
from gliamap.labels import Region, Tissue, encode_classes
from gliamap.prep.pipeline import prepare, restore, to_native
from gliamap.prep.steps import reorient
from gliamap.volume import Grid
from make import KINDS, MODALITIES, ball, case, grid, slice_case

CONFIG = PrepConfig(modalities=MODALITIES)
TISSUES = (Tissue.NCR, Tissue.ED, Tissue.ET)


def linear_case(kind: str) -> Case:
    """An image that is a linear function of the place in the room, so that every voxel tells where it lies."""
    at = grid(kind)
    index = np.indices(at.shape).reshape(3, -1)
    world = at.affine[:3, :3] @ index + at.affine[:3, 3:]
    values = (np.array([0.2, -0.3, 0.1]) @ world + 100).reshape(at.shape)
    return Case(kind, kind, ("t1",), values[None].astype(np.float32), at)


def turned_case(one: Case, axes: tuple[int, ...], flips: tuple[bool, ...]) -> Case:
    """The same anatomy as another file would hold it, by nibabel's own arithmetic."""
    turn = np.array([[a, -1 if f else 1] for a, f in zip(axes, flips, strict=True)])
    image = np.stack([nib.orientations.apply_orientation(c, turn) for c in one.image])
    affine = one.grid.affine @ nib.orientations.inv_ornt_aff(turn, one.grid.shape)
    assert one.labels is not None
    mask = nib.orientations.apply_orientation(one.labels, turn)
    return replace(one, image=image, labels=mask, grid=Grid(mask.shape, affine))


def test_a_prepared_case_is_normalised_inside_the_brain_and_zero_outside() -> None:
    prepared = prepare(case("oblique"), CONFIG)
    assert prepared.image.dtype == np.float32
    assert prepared.image.flags.c_contiguous
    assert prepared.labels is not None
    assert prepared.image.shape == (4, *prepared.record.shape) == (4, *prepared.labels.shape)
    brain = (prepared.image != 0).any(axis=0)
    for channel in prepared.image:
        assert channel[brain].mean() == pytest.approx(0, abs=1e-4)
        assert channel[brain].std() == pytest.approx(1, abs=1e-4)
        assert not channel[~brain].any()


def test_robust_normalisation_is_zscore_without_the_specks() -> None:
    one = case("oblique")
    bright = replace(one, image=one.image.copy())
    inside = tuple(np.argwhere((one.image != 0).all(axis=0))[0])
    bright.image[(slice(None), *inside)] = 30000
    robust = CONFIG.model_copy(update={"normalise": "robust"})
    plain, cut = prepare(bright, CONFIG), prepare(bright, robust)
    assert plain.image.max() > 30
    assert cut.image.max() < 6
    brain = (plain.image != 0).any(axis=0)
    assert not cut.image[:, ~brain].any()
    for channel in cut.image:
        assert (channel[brain].mean(), channel[brain].std()) == pytest.approx((0, 1), abs=1e-4)
    assert cut.record.crop == plain.record.crop and np.array_equal(cut.labels, plain.labels)


@pytest.mark.parametrize("kind", KINDS)
def test_the_crop_holds_the_whole_brain_and_its_margin(kind: str) -> None:
    one = case(kind)
    tight = prepare(one, PrepConfig(modalities=MODALITIES, crop_margin=0))
    brain = (tight.image != 0).any(axis=0)
    assert brain.sum() == one.image.any(axis=0).sum()
    for axis in range(3):  # it touches all six faces
        faces = brain.any(axis=tuple(a for a in range(3) if a != axis))
        assert faces[0]
        assert faces[-1]
    x, y, z = (one.grid.shape[a] for a in tight.record.axes)
    wider = prepare(one, PrepConfig(modalities=MODALITIES, crop_margin=2))
    assert wider.record.crop == tight.record.crop.grow(2, (x, y, z)) != tight.record.crop
    assert (wider.image != 0).any(axis=0).sum() == brain.sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("margin", [0, 1, 50])
def test_labels_come_back_exactly_where_nothing_is_resampled(kind: str, margin: int) -> None:
    one = case(kind)
    assert one.labels is not None
    prepared = prepare(one, PrepConfig(modalities=MODALITIES, crop_margin=margin))
    assert prepared.labels is not None
    assert not prepared.record.resampled
    native = restore(encode_classes(prepared.labels, TISSUES).astype(np.float32), prepared.record)
    assert native.shape == (4, *one.grid.shape)
    assert np.array_equal(native[1:], encode_classes(one.labels, TISSUES)[1:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("spacing", "edge", "tolerance"), [(None, 0, 1e-3), ((0.9,) * 3, 2, 0.02), ((2.0,) * 3, 4, 0.2)]
)
def test_a_linear_image_comes_back_at_its_place(
    kind: str, spacing: tuple[float, float, float] | None, edge: int, tolerance: float
) -> None:
    one = linear_case(kind)
    prepared = prepare(one, PrepConfig(modalities=("t1",), spacing=spacing))
    back = restore(prepared.image, prepared.record)[0]
    assert back.shape == one.grid.shape
    # Normalised by a mean and a deviation, so equal to the native image up to a slope and an offset.
    inner = tuple(slice(edge, n - edge) for n in one.grid.shape)
    found, expected = back[inner].ravel(), one.image[0][inner].ravel()
    slope, offset = np.polyfit(found, expected, 1)
    assert found * slope + offset == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.6, 0.6, 0.6), (3.0, 3.0, 3.0)])
@pytest.mark.parametrize("kind", KINDS)
def test_resampling_reaches_the_spacing_and_keeps_the_extent(kind: str, spacing: tuple[float, float, float]) -> None:
    prepared = prepare(case(kind), PrepConfig(modalities=("flair", "t1"), spacing=spacing))
    record = prepared.record
    assert prepared.labels is not None
    assert prepared.image.shape == (2, *record.shape) == (2, *prepared.labels.shape)
    assert record.resampled
    native = [record.native.spacing[a] for a in record.axes]
    for n, s, crop, old in zip(record.shape, record.spacing, record.crop.shape, native, strict=True):
        assert n * s == pytest.approx(crop * old)
        assert n == max(1, round(crop * old / spacing[0]))
    # The lesions' millilitres are counted in voxels of the new size.
    assert prepared.index is not None
    size = np.prod(record.spacing) / 1000
    assert [x.size for x in prepared.index.lesions] == pytest.approx([x.voxels * size for x in prepared.index.lesions])


@settings(max_examples=25)
@given(st.sampled_from(list(permutations(range(3)))), st.tuples(*[st.booleans()] * 3), st.sampled_from(KINDS))
def test_the_orientation_of_the_file_makes_no_difference(
    axes: tuple[int, ...], flips: tuple[bool, ...], kind: str
) -> None:
    one = case(kind)
    other = turned_case(one, axes, flips)
    for config in (CONFIG, PrepConfig(modalities=MODALITIES, spacing=(1.3, 1.3, 1.3))):
        a, b = prepare(one, config), prepare(other, config)
        assert np.array_equal(a.image, b.image)
        assert a.labels is not None
        assert b.labels is not None
        assert np.array_equal(a.labels, b.labels)
        assert a.index is not None
        assert b.index is not None
        assert [(x.box, x.voxels) for x in a.index.lesions] == [(x.box, x.voxels) for x in b.index.lesions]
        for region, points in a.index.samples.items():
            assert np.array_equal(points, b.index.samples[region])
        assert restore(b.image, b.record).shape == other.image.shape


def test_modalities_are_taken_by_name_in_the_configured_order() -> None:
    one = case()
    both = prepare(one, PrepConfig(modalities=("flair", "t1")))
    turned = prepare(one, PrepConfig(modalities=("t1", "flair")))
    assert np.array_equal(both.image, turned.image[::-1])
    alone = prepare(one, PrepConfig(modalities=("flair",)))
    assert np.array_equal(both.image[:1], alone.image)


def test_a_missing_modality_is_named() -> None:
    with pytest.raises(LayoutError, match=r"case 1 lacks flair, t2.*Found: t1c"):
        prepare(slice_case(), PrepConfig(modalities=("t1c", "flair", "t2")))


def part_of(one: Case, *names: str) -> Case:
    """The case as if it had been scanned with these modalities alone."""
    return replace(one, modalities=names, image=one.image[[one.modalities.index(name) for name in names]])


@pytest.mark.parametrize("foreground", ["brain", "head"])
@pytest.mark.parametrize("normalise", ["zscore", "robust"])
@pytest.mark.parametrize("spacing", [None, (1.5, 1.5, 1.5)])
def test_a_modality_that_may_be_missing_becomes_zeros(
    foreground: str, normalise: str, spacing: tuple[float, ...] | None
) -> None:
    one = part_of(case("oblique"), "t2", "t1")
    settings = {"foreground": foreground, "normalise": normalise, "spacing": spacing}
    config = PrepConfig.model_validate({"modalities": MODALITIES, **settings})
    prepared = prepare(one, config, may_be_missing=MODALITIES)
    assert prepared.present == (True, False, True, False)
    assert not prepared.image[[1, 3]].any()
    alone = prepare(one, PrepConfig.model_validate({"modalities": ("t1", "t2"), **settings}))
    assert np.array_equal(prepared.image[[0, 2]], alone.image)
    assert prepared.record.crop == alone.record.crop


def test_the_crop_comes_from_what_is_there() -> None:
    one = case()
    image = one.image.copy()
    image[3, 0, 0, 0] = 1  # flair alone reaches into the corner
    config = PrepConfig(modalities=MODALITIES, crop_margin=0)
    wide = prepare(replace(one, image=image), config)
    narrow = prepare(part_of(replace(one, image=image), "t1", "t1c", "t2"), config, may_be_missing=("flair",))
    assert wide.record.crop.start == (0, 0, 0) != narrow.record.crop.start
    assert narrow.record.crop == prepare(one, config).record.crop
    unasked = PrepConfig(modalities=("t1", "t1c"), crop_margin=0)
    assert prepare(replace(one, image=image), unasked).record.crop == narrow.record.crop


def test_all_are_present_where_none_may_be_missing() -> None:
    one = case()
    prepared = prepare(one, CONFIG)
    assert prepared.present == (True,) * 4
    allowed = prepare(one, CONFIG, may_be_missing=MODALITIES)
    assert allowed.present == (True,) * 4
    assert np.array_equal(allowed.image, prepared.image)


def test_a_blank_modality_that_may_be_missing_is_not_present() -> None:
    image = case().image.copy()
    image[2] = 0
    one = replace(case(), image=image)
    assert prepare(one, CONFIG).present == (True,) * 4
    assert prepare(one, CONFIG, may_be_missing=("t1",)).present == (True,) * 4
    assert prepare(one, CONFIG, may_be_missing=("t1", "t2")).present == (True, True, False, True)
    blank = replace(part_of(one, "t1", "t2"), image=np.zeros((2, *grid().shape), np.float32))
    assert prepare(blank, CONFIG, may_be_missing=MODALITIES).present == (True, False, True, False)


def test_one_modality_must_be_there_and_those_that_are_needed() -> None:
    other = replace(part_of(case(), "t1"), modalities=("dwi",))
    with pytest.raises(LayoutError, match=r"lacks t1, t1c, t2, flair.*Found: dwi\. Expected: at least one of t1, t1c"):
        prepare(other, CONFIG, may_be_missing=MODALITIES)
    with pytest.raises(LayoutError, match=r"lacks t1c\."):
        prepare(part_of(case(), "t1", "t2"), CONFIG, may_be_missing=("flair",))


@pytest.mark.parametrize("foreground", ["brain", "head"])
@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_flat_image_is_prepared_whole_as_zeros(foreground: str, value: float) -> None:
    one = replace(case(), image=np.full((4, *grid().shape), value, np.float32))
    prepared = prepare(one, PrepConfig.model_validate({"modalities": MODALITIES, "foreground": foreground}))
    assert prepared.record.crop == whole(grid().shape)
    assert not prepared.image.any()


def test_a_constant_channel_does_not_disturb_the_others() -> None:
    one = case()
    image = one.image.copy()
    image[1] = np.where(image[1] != 0, np.float32(0.1), 0)
    prepared = prepare(replace(one, image=image), CONFIG)
    assert not prepared.image[1].any()
    assert np.array_equal(prepared.image[[0, 2, 3]], prepare(one, CONFIG).image[[0, 2, 3]])


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 1, 1), (1, 5, 4)])
@pytest.mark.parametrize("spacing", [None, (0.5, 0.5, 0.5)])
def test_grids_of_single_voxels_survive(
    shape: tuple[int, int, int], spacing: tuple[float, float, float] | None
) -> None:
    one = Case("a", "a", ("t1",), np.full((1, *shape), 3, np.float32), Grid(shape, np.eye(4)), np.ones(shape, np.uint8))
    prepared = prepare(one, PrepConfig(modalities=("t1",), spacing=spacing))
    back = restore(np.ones((2, *prepared.record.shape), np.float32), prepared.record)
    assert back.shape == (2, *shape)
    assert back.all()


def test_a_slice_stays_a_slice() -> None:
    one = slice_case()
    assert one.labels is not None
    for spacing in (None, (2.0, 2.0, 2.0)):
        prepared = prepare(one, PrepConfig(modalities=("t1c",), foreground="head", spacing=spacing))
        assert prepared.record.shape[2] == 1
        assert restore(prepared.image, prepared.record).shape == one.image.shape
        assert prepared.index is not None
        pixels = sum(lesion.size for lesion in prepared.index.lesions)
        assert pixels == pytest.approx((one.labels > 0).sum(), rel=0.1)
    # Columns run to the left and rows to posterior, so both are reversed on the way to RAS+.
    assert prepared.record.flips == (True, True, False)


@pytest.mark.parametrize("kind", KINDS)
def test_scans_in_mm_get_the_pixels_of_images_within_slices(kind: str) -> None:
    one, config = case(kind), PrepConfig(modalities=("t1",), spacing=(2.0, 1.0, 1.0), pixel_mm=0.8)
    record = prepare(one, config).record
    x, y, z = (record.native.spacing[a] for a in record.axes)
    assert record.spacing[:2] == pytest.approx((1.6, 0.8), rel=0.05)
    assert (record.shape[2], record.spacing[2]) == (record.crop.shape[2], pytest.approx(z))
    assert config.spacing_of((x, y, z), "px") == config.spacing


def test_images_keep_their_pixels_whatever_these_are_in_mm() -> None:
    config = PrepConfig(modalities=("t1c",), foreground="head")
    known = prepare(slice_case(), config.model_copy(update={"pixel_mm": 0.5}))
    assert np.array_equal(known.image, prepare(slice_case(), config).image)


def test_the_surroundings_of_a_head_keep_their_contrast_to_it() -> None:
    one = slice_case()
    prepared = prepare(one, PrepConfig(modalities=("t1c",), foreground="head"))
    outside = ~ball(one.grid.shape, (0.5, 0.5, 0.5), 0.5)[::-1, ::-1][prepared.record.crop.slices]
    assert (prepared.image[0][outside] < -1).all()


def test_without_labels_there_is_no_index() -> None:
    prepared = prepare(replace(case(), labels=None), CONFIG)
    assert prepared.labels is None
    assert prepared.index is None


def test_labels_without_tumour_have_an_empty_index() -> None:
    prepared = prepare(replace(case(), labels=np.zeros(grid().shape, np.uint8)), CONFIG)
    assert prepared.index is not None
    assert not prepared.index.samples
    assert prepared.index.lesions == ()
    assert prepared.index.voxels == dict.fromkeys(Region, 0)


def test_probabilities_outside_the_crop_are_zero() -> None:
    one = case()
    prepared = prepare(one, PrepConfig(modalities=MODALITIES, crop_margin=0))
    native = restore(np.ones((1, *prepared.record.shape), np.float32), prepared.record)[0]
    assert native.sum() == np.prod(prepared.record.shape)
    assert native[one.image.any(axis=0)].all()
    assert native.size > native.sum()


def test_the_index_is_drawn_from_the_name_of_the_case_alone() -> None:
    big = np.ones((14, 14, 14), np.uint8)  # more voxels than an index keeps
    one = Case("a", "a", ("t1",), np.ones((1, 14, 14, 14), np.float32), Grid((14, 14, 14), np.eye(4)), big)
    points = [
        prepared.index.samples[Region.WT]
        for prepared in (prepare(c, PrepConfig(modalities=("t1",))) for c in (one, one, replace(one, case_id="b")))
        if prepared.index is not None
    ]
    assert np.array_equal(points[0], points[1])
    assert not np.array_equal(points[0], points[2])


@pytest.mark.parametrize("kind", KINDS)
def test_labels_go_back_to_their_voxels(kind: str) -> None:
    one = case(kind)
    record = prepare(one, CONFIG).record
    assert one.labels is not None
    turned = reorient(one.labels, record.axes, record.flips)[record.crop.slices]
    assert not one.labels[~one.image.any(axis=0)].any()
    assert np.array_equal(to_native(turned, record), one.labels)
    assert to_native(turned, record).dtype == np.uint8


def test_nothing_is_copied_where_nothing_changes() -> None:
    one = case()
    record = prepare(replace(one, image=one.image + 1), CONFIG).record
    probabilities = np.zeros((2, *record.shape), np.float32)
    assert np.shares_memory(restore(probabilities, record), probabilities)
