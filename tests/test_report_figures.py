"""Pictures of cases: which way up, at which scale, which slices, and that files come out whole and equal."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

import make
from gliamap.boxes import Box, Shape, whole
from gliamap.case import Case
from gliamap.errors import ConfigError, GridError
from gliamap.labels import CONVENTIONS, TISSUE_COLOURS, Region, Tissue
from gliamap.report.canvas import drawable
from gliamap.report.figures import MosaicOptions, choose_channel, draw_mosaic, format_amount, region_voxels
from gliamap.report.gallery import GalleryItem, draw_gallery
from gliamap.report.layout import Frame, place_row
from gliamap.report.planes import Cut, Plane, choose_cuts, choose_series, content_box, display_window, make_turn
from gliamap.volume import Grid, image_grid

SMALL = MosaicOptions(width=640, series=4)

# Affines whose voxel axes run in other directions; each sends the voxels of a (4, 5, 6) or permuted grid to RAS mm.
RAS = np.diag([1.0, 2.0, 3.0, 1.0])
LPS = np.diag([-1.0, -2.0, 3.0, 1.0])
SAR = np.array([[0.0, 0, 1, 0], [0, 2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]])  # voxel axes: S, A, R


def _case(values: NDArray[np.float32], affine: NDArray[np.float64], modalities: tuple[str, ...] = ("t1",)) -> Case:
    image = np.stack([values] * len(modalities))
    return Case("c", "c", modalities, image, Grid(values.shape, affine))  # type: ignore[arg-type]


def _marked(affine: NDArray[np.float64], shape: Shape, world: tuple[float, float, float]) -> NDArray[np.float32]:
    """A volume with one bright voxel, the one that lies at ``world`` (R, A, S in mm)."""
    at = np.linalg.inv(affine) @ (*world, 1.0)
    out = np.zeros(shape, np.float32)
    out[tuple(np.round(at[:3]).astype(int))] = 1
    return out


@pytest.mark.parametrize(("affine", "shape"), [(RAS, (4, 5, 6)), (LPS, (4, 5, 6)), (SAR, (6, 5, 4))])
def test_the_patients_right_is_left_and_the_nose_is_up_or_left(affine: NDArray[np.float64], shape: Shape) -> None:
    affine = affine.copy()
    # The grid's corner of smallest R, A, S lies at 0, 0, 0, wherever voxel (0, 0, 0) is.
    corner = affine[:3, :3] @ (np.array(shape) - 1)
    affine[:3, 3] = np.maximum(0, -corner)
    right_front_top = _marked(affine, shape, (3.0, 8.0, 15.0))
    turn = make_turn(Grid(shape, affine))
    shown = turn.apply(right_front_top)
    assert turn.shape == (4, 5, 6)
    assert turn.spacing == (1.0, 2.0, 3.0)
    for plane in Plane:
        picture = Cut(plane, 0, whole(turn.shape)).of(shown)
        assert picture[0, 0] == 1  # right and front are the left edge, front and top the upper edge
        assert picture.sum() == 1
    left = turn.apply(_marked(affine, shape, (0.0, 8.0, 15.0)))
    assert Cut(Plane.AXIAL, 0, whole(turn.shape)).of(left)[0, 3] == 1
    back = turn.apply(_marked(affine, shape, (3.0, 0.0, 15.0)))
    assert Cut(Plane.AXIAL, 0, whole(turn.shape)).of(back)[4, 0] == 1
    assert Cut(Plane.SAGITTAL, 0, whole(turn.shape)).of(back)[0, 4] == 1
    feet = turn.apply(_marked(affine, shape, (3.0, 8.0, 0.0)))
    assert Cut(Plane.CORONAL, 0, whole(turn.shape)).of(feet)[5, 0] == 1


def test_letters_name_the_edges() -> None:
    assert {plane.value: "".join(plane.letters) for plane in Plane} == {
        "axial": "RLAP",
        "coronal": "RLSI",
        "sagittal": "APSI",
    }


def test_an_image_is_shown_as_it_is_stored() -> None:
    pixels = np.arange(12, dtype=np.float32).reshape(4, 3, 1)  # 4 columns, 3 rows
    turn = make_turn(image_grid((4, 3, 1)))
    assert turn.only_plane is Plane.AXIAL
    assert Cut(Plane.AXIAL, 0, whole(turn.shape)).of(turn.apply(pixels)).tolist() == pixels[:, :, 0].T.tolist()


def test_a_single_coronal_slice_is_recognised() -> None:
    affine = np.array([[1.0, 0, 0, 0], [0, 0, 5, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # voxel axes: R, S, A
    assert make_turn(Grid((6, 7, 1), affine)).only_plane is Plane.CORONAL


def test_captions_carry_the_number_of_the_slice_in_the_file() -> None:
    turn = make_turn(Grid((4, 5, 6), RAS))
    volume = np.zeros((4, 5, 6), np.float32)
    volume[:, :, 1] = 1
    shown = turn.apply(volume)
    index = int(np.flatnonzero(shown.any(axis=(0, 1)))[0])
    assert (index, turn.native_index(Plane.AXIAL, index)) == (4, 1)


@given(
    st.lists(st.tuples(st.floats(1, 300), st.floats(1, 300)), min_size=1, max_size=9),
    st.floats(50, 700),
)
def test_a_row_has_one_scale_and_nothing_overlaps(sizes: list[tuple[float, float]], max_height: float) -> None:
    row = place_row(sizes, 10.0, Frame(width=1600, margin=20, gap=8, pad=12, max_height=max_height))
    for (width, height), picture, tile in zip(sizes, row.pictures, row.tiles, strict=True):
        assert picture.width == pytest.approx(row.scale * width)
        assert picture.height == pytest.approx(row.scale * height)
        assert picture.height <= max_height * (1 + 1e-9)
        # Room for the letters on every side.
        assert picture.x - tile.x >= 12 - 1e-6
        assert picture.y - tile.y >= 12 - 1e-6
        assert tile.right - picture.right >= 12 - 1e-6
        assert tile.bottom - picture.bottom >= 12 - 1e-6
    for one, other in itertools.pairwise(row.tiles):
        assert other.x - one.right == pytest.approx(8)
    assert row.right == pytest.approx(1580)


def test_a_row_by_hand() -> None:
    row = place_row([(10, 20), (30, 10)], 5.0, Frame(width=110, margin=5, gap=4, pad=2, max_height=100))
    # 110 - 2*5 - 4 - 2*2*2 = 88 pixels for 40 mm.
    assert row.scale == pytest.approx(2.2)
    assert (row.tiles[0].x, row.tiles[0].y, row.tiles[0].width) == pytest.approx((5, 5, 26))
    assert [tile.height for tile in row.tiles] == pytest.approx([48, 48])
    # The lower picture stands in the middle of its tile: 5 + 2 + (44 - 22) / 2.
    assert row.pictures[1].y == pytest.approx(18)


def test_true_millimetres_for_voxels_that_are_not_cubes() -> None:
    cut = Cut(Plane.CORONAL, 0, Box((0, 0, 0), (40, 50, 10)))
    assert cut.size((0.5, 0.5, 5.0)) == (20.0, 50.0)


def test_slices_go_where_the_tumour_is() -> None:
    tumour = np.zeros((20, 20, 20), np.bool_)
    tumour[2:7, 4:9, 3:10] = True  # the large part: its middle is 4, 6, 6
    tumour[2:9, 4:11, 8] = True  # its widest slice
    tumour[15:17, 15:17, 15:17] = True  # a second part, which must not pull the middle out of the first
    axial, coronal, sagittal = choose_cuts(tumour, whole((20, 20, 20)))
    assert (axial.index, coronal.index, sagittal.index) == (8, 6, 4)
    empty = choose_cuts(np.zeros((20, 20, 20), np.bool_), Box((2, 4, 6), (13, 15, 17)))
    assert [cut.index for cut in empty] == [11, 9, 7]


def test_the_series_runs_upwards_through_the_tumour() -> None:
    tumour = np.zeros((5, 5, 40), np.bool_)
    tumour[:, :, 10:30] = True
    box = whole((5, 5, 40))
    # Parts of five slices each, counted from the top of the head; the last shown is the highest.
    assert [cut.index for cut in choose_series(tumour, box, 4)] == [27, 22, 17, 12]
    tumour[0, 0, 39] = True
    assert [cut.index for cut in choose_series(tumour, box, 4)] == [27, 22, 17, 12]
    # A small tumour is shown with its neighbours, at the edge of the box too.
    small = np.zeros((5, 5, 40), np.bool_)
    small[2, 2, 0:2] = True
    assert [cut.index for cut in choose_series(small, box, 4)] == [3, 2, 1, 0]
    # Fewer slices than asked for: all of them.
    assert [cut.index for cut in choose_series(np.zeros((5, 5, 3), np.bool_), whole((5, 5, 3)), 8)] == [2, 1, 0]
    # Without tumour the outer tenths are left out.
    assert [cut.index for cut in choose_series(np.zeros((5, 5, 40), np.bool_), box, 4)] == [32, 24, 16, 8]


def test_the_window_ignores_zeros_and_what_is_not_a_number() -> None:
    values = np.concatenate([np.zeros(5000), np.arange(1, 1002), [np.nan, np.inf]]).astype(np.float32)
    assert display_window(values) == pytest.approx((6, 996))
    assert display_window(np.zeros(4, np.float32)) == (0, 1)
    low, high = display_window(np.full(4, 7, np.float32))
    assert low < high


def test_panels_are_cropped_to_the_head_with_noise_around_it() -> None:
    values = np.random.default_rng(0).uniform(0, 0.05, (30, 30, 30)).astype(np.float32)
    values[8:20, 9:21, 10:22] = 1
    values[0, 0, 0] = 1  # a speck
    nothing = np.zeros(values.shape, np.bool_)
    assert content_box(values, nothing) == Box((6, 7, 8), (22, 23, 24))
    marked = nothing.copy()
    marked[25, 15, 15] = True  # tumour is never cut off
    assert content_box(values, marked).stop == (28, 23, 24)
    assert content_box(np.zeros((4, 5, 6), np.float32), np.zeros((4, 5, 6), np.bool_)) == whole((4, 5, 6))


def test_the_channel_fits_what_is_marked() -> None:
    case = make.case()
    edema = np.full((2, 2, 2), Tissue.ED, np.uint8)
    core = np.full((2, 2, 2), Tissue.ET, np.uint8)
    assert choose_channel(case, [core]) == "t1c"
    assert choose_channel(case, [edema]) == "flair"
    assert choose_channel(case, [core], "t2") == "t2"
    assert choose_channel(_case(np.ones((2, 2, 2), np.float32), RAS, ("t2", "t1")), [core]) == "t2"
    with pytest.raises(ConfigError, match="dwi"):
        choose_channel(case, [core], "dwi")


def test_sizes_are_written_for_readers() -> None:
    assert format_amount(0.2244, "mm") == "0.22 mL"
    assert format_amount(137.91, "mm") == "137.9 mL"
    assert format_amount(12345, "px") == "12,345 px"
    labels = np.array([[[0, 1, 2, 3, 3, 7]]], np.uint8)
    assert [region_voxels(labels, region) for region in Region] == [4, 3, 2]


def test_every_tissue_has_a_colour_that_readers_with_red_green_blindness_tell_apart() -> None:
    assert set(TISSUE_COLOURS) == set(Tissue) - {Tissue.BACKGROUND}
    # Full protanopia and deuteranopia in linear RGB, Machado et al. 2009, severity 1.0.
    protan = np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    )
    deutan = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    )
    for convention in CONVENTIONS.values():
        for one, other in itertools.combinations(convention.tissues, 2):
            for eye in (np.eye(3), protan, deutan):
                seen = [eye @ np.array(to_rgb(TISSUE_COLOURS[t])) ** 2.2 for t in (one, other)]
                seen = [np.clip(c, 0, 1) ** (1 / 2.2) for c in seen]
                assert np.linalg.norm(seen[0] - seen[1]) > 0.2, (convention.name, one.name, other.name)


def test_names_that_the_font_lacks_do_not_warn() -> None:
    assert drawable("Fälle_07 \u8111 a$b$\n") == "Fälle_07 ? a$b$?"


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        assert set(image.info) <= {"dpi"}
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("kind", make.KINDS)
def test_a_volume_gives_one_picture_always_the_same(kind: str, tmp_path: Path) -> None:
    case = make.case(kind)
    before = case.image.copy()
    assert case.labels is not None
    for name in ("a.png", "b.png"):
        draw_mosaic(case, case.labels, tmp_path / "new" / name, options=SMALL)
    assert (tmp_path / "new" / "a.png").read_bytes() == (tmp_path / "new" / "b.png").read_bytes()
    assert _pixels(tmp_path / "new" / "a.png").shape[1] == 640
    assert np.array_equal(case.image, before)


def _share(pixels: NDArray[np.uint8], colour: str) -> NDArray[np.bool_]:
    """Where a pixel is nearly ``colour``."""
    wanted = np.array(to_rgb(colour)) * 255
    return np.asarray(np.abs(pixels.astype(float) - wanted).max(axis=2) < 30)


def test_a_tumour_at_the_patients_right_is_drawn_on_the_left(tmp_path: Path) -> None:
    values = np.ones((20, 20, 1), np.float32)
    values[:2] = 0.5
    labels = np.zeros((20, 20, 1), np.uint8)
    labels[14:18, 14:18] = Tissue.TUMOUR  # high voxel numbers: right and front in RAS
    draw_mosaic(_case(values, RAS), labels, tmp_path / "a.png", options=MosaicOptions(width=600))
    pixels = _pixels(tmp_path / "a.png")[80:-80]
    rows, columns = np.nonzero(_share(pixels, TISSUE_COLOURS[Tissue.TUMOUR]))
    second_tile = 300 + (300 - 24) / 2  # the middle of the right one of two tiles
    assert columns.size > 20
    assert columns.mean() < second_tile
    assert rows.mean() < pixels.shape[0] / 2


def test_only_tissues_that_are_there_are_drawn(tmp_path: Path) -> None:
    case = make.case(enhancing=False)
    assert case.labels is not None
    draw_mosaic(case, case.labels, tmp_path / "a.png", options=SMALL)
    pixels = _pixels(tmp_path / "a.png")
    assert _share(pixels, TISSUE_COLOURS[Tissue.ED]).any()
    assert _share(pixels, TISSUE_COLOURS[Tissue.NCR]).any()
    assert not _share(pixels, TISSUE_COLOURS[Tissue.ET]).any()


def test_without_tumour_the_mosaic_is_plain(tmp_path: Path) -> None:
    case = make.case()
    nothing = np.zeros(case.grid.shape, np.uint8)
    draw_mosaic(case, nothing, tmp_path / "none.png", options=SMALL)
    draw_mosaic(case, None, tmp_path / "unknown.png", options=SMALL)
    none, unknown = _pixels(tmp_path / "none.png"), _pixels(tmp_path / "unknown.png")
    for colour in TISSUE_COLOURS.values():
        assert not _share(none[100:-60], colour).any()
    # 'no tumour found' is said at the upper right, and only where somebody looked for one.
    assert not np.array_equal(none[:60, 320:], unknown[:60, 320:])
    assert np.array_equal(none[100:], unknown[100:])


def test_an_oblique_grid_is_marked(tmp_path: Path) -> None:
    notice = "#f0b35a"
    for kind, expected in (("oblique", True), ("plain", False)):
        draw_mosaic(make.case(kind), None, tmp_path / "a.png", options=SMALL)
        assert _share(_pixels(tmp_path / "a.png")[:80], notice).any() == expected


def test_prediction_beside_reference(tmp_path: Path) -> None:
    case = make.case()
    assert case.labels is not None
    nothing = np.zeros(case.grid.shape, np.uint8)
    draw_mosaic(case, case.labels, tmp_path / "one.png", options=SMALL)
    draw_mosaic(case, nothing, tmp_path / "two.png", reference=case.labels, options=SMALL)
    one, two = _pixels(tmp_path / "one.png"), _pixels(tmp_path / "two.png")
    assert two.shape[0] > 1.5 * one.shape[0]
    with pytest.raises(GridError, match="another shape"):
        draw_mosaic(case, nothing[1:], tmp_path / "three.png", options=SMALL)
    assert not (tmp_path / "three.png").exists()


def test_images_with_one_modality(tmp_path: Path) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (1, 40, 30, 1)).astype(np.float32)
    labels = np.zeros((40, 30, 1), np.uint8)
    labels[5:15, 5:15] = Tissue.TUMOUR
    case = Case("1.png", "1", ("t1c",), image, image_grid((40, 30, 1)), labels, "binary")
    draw_mosaic(case, labels, tmp_path / "a.png", reference=labels, options=MosaicOptions(show_case_id=False))
    draw_mosaic(case, labels * 0, tmp_path / "b.png")
    assert _pixels(tmp_path / "a.png").shape[1] == 1600
    # Images have no known sides: no letters, so nothing in the letters' colour.
    assert not _share(_pixels(tmp_path / "b.png"), "#7db7ee").any()


def test_a_gallery_of_images_and_volumes(tmp_path: Path) -> None:
    volume = make.case("oblique")
    assert volume.labels is not None
    items = [GalleryItem(volume, volume.labels, volume.labels, "best", "Dice 1.00")] * 3
    items.append(GalleryItem(volume, volume.labels * 0, None, "nothing"))
    draw_gallery(items, tmp_path / "a.png", columns=3, width=600)
    draw_gallery(items, tmp_path / "b.png", columns=3, width=600)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert _pixels(tmp_path / "a.png").shape[1] == 600
    with pytest.raises(ValueError, match="at least one"):
        draw_gallery([], tmp_path / "c.png")
