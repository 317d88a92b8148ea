"""How far a case lies outside those of a training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import make
from gliamap.checks.likeness import (
    QUANTILES,
    Look,
    Tumour,
    look_of,
    seen_in,
    times_outside,
    tumour_of,
    unlike_looks,
    unlike_tumours,
    widths_outside,
)
from gliamap.config import PrepConfig, Seen
from gliamap.labels import Region, Tissue
from gliamap.prep.pipeline import prepare
from gliamap.volume import Grid

LOOK = Look("mm", (1.0, 1.0, 1.0), (140.0, 170.0, 140.0), {"t1": (-3.0, -2.0, -0.5, 0.1, 0.7, 1.2, 1.5)})
TUMOUR = Tumour({Region.WT: 40.0, Region.TC: 10.0, Region.ET: 0.0}, 1)
SEEN = seen_in(
    [
        (LOOK, TUMOUR),
        (replace(LOOK, extent=(150.0, 160.0, 140.0)), Tumour({Region.WT: 200.0, Region.TC: 50.0, Region.ET: 5.0}, 4)),
        (LOOK, Tumour(dict.fromkeys(Region, 0.0), 0)),
    ]
)

sizes = st.floats(1e-3, 1e6)


@pytest.mark.parametrize(
    ("value", "known", "times"),
    [(5, (2, 10), 1), (2, (2, 10), 1), (1, (2, 10), 2), (25, (2, 10), 2.5), (3, (1, 1), 3), (0.25, (1, 1), 4)],
)
def test_times_outside(value: float, known: tuple[float, float], times: float) -> None:
    assert times_outside(value, known) == times


@pytest.mark.parametrize(
    ("value", "known", "widths"),
    [(1, (-1, 2), 0), (5, (-1, 2), 1), (-2.5, (-1, 2), 0.5), (2, (1, 1), 2), (1.5, (0.9, 1), 1)],
)
def test_widths_outside(value: float, known: tuple[float, float], widths: float) -> None:
    assert widths_outside(value, known) == widths


@given(sizes, sizes, sizes, st.floats(0.1, 10))
def test_ratios_do_not_depend_on_the_unit(value: float, one: float, other: float, unit: float) -> None:
    known = (min(one, other), max(one, other))
    times = times_outside(value, known)
    assert (times == 1) == (known[0] <= value <= known[1])
    assert times_outside(value * unit, (known[0] * unit, known[1] * unit)) == pytest.approx(times)


@given(sizes, sizes, sizes, st.floats(-100, 100))
def test_widths_do_not_depend_on_where_zero_is(value: float, one: float, other: float, shift: float) -> None:
    known = (min(one, other), max(one, other))
    widths = widths_outside(value, known)
    assert (widths == 0) == (known[0] <= value <= known[1])
    assert widths_outside(value + shift, (known[0] + shift, known[1] + shift)) == pytest.approx(widths, abs=1e-3)


def test_what_was_seen() -> None:
    assert (
        Seen(
            cases=3,
            without_tumour=1,
            unit="mm",
            spacing=((1, 1), (1, 1), (1, 1)),
            extent=((140, 150), (160, 170), (140, 140)),
            volumes={Region.WT: (40, 200), Region.TC: (10, 50), Region.ET: (5, 5)},
            most_lesions=4,
            intensities={"t1": ((-3, -3), (-2, -2), (-0.5, -0.5), (0.1, 0.1), (0.7, 0.7), (1.2, 1.2), (1.5, 1.5))},
        )
        == SEEN
    )


def test_what_every_case_has_is_never_unlike() -> None:
    assert unlike_looks(LOOK, SEEN) == [] and unlike_tumours(TUMOUR, SEEN) == []


def test_looks_unlike_the_training() -> None:
    look = Look(
        "mm", (0.5, 0.5, 6), (140.0, 205.0, 140.0), {"t1": (-3.0, -2.0, -0.5, 0.1, 0.7, 1.2, 2.5), "t2": (9.0,)}
    )
    assert [(one.code, one.found) for one in unlike_looks(look, SEEN)] == [
        ("spacing-unlike-training", "0.5 x 0.5 x 6 mm, in training 1 x 1 x 1 mm"),
        ("size-unlike-training", "140 x 205 x 140 mm, in training 140-150 x 160-170 x 140 mm"),
        ("intensities-unlike-training", "t1 by 2.0 times the range of the training cases"),
    ]


def test_pixels_are_not_compared_with_millimetres() -> None:
    (finding,) = unlike_looks(replace(LOOK, unit="px", extent=(9.0, 9.0, 1.0)), SEEN)
    assert finding.text == "voxels of another size than in training: in px, in training in mm"


def test_slices_of_a_volume_are_compared_with_images_whose_pixels_are_known() -> None:
    images = [replace(LOOK, unit="px", extent=(side, side + 15, 1.0)) for side in (70.0, 75.0)]
    seen = seen_in([(image, TUMOUR) for image in images])
    assert unlike_looks(LOOK, seen, 2.0) == []  # 140 x 170 mm, finer pixels, any number of slices
    wide = replace(LOOK, spacing=(3.0, 1.0, 6.0), extent=(300.0, 170.0, 140.0))
    assert [(one.code, one.found) for one in unlike_looks(wide, seen, 2.0)] == [
        ("spacing-unlike-training", "3 x 1 mm, in training 0-2 x 0-2 mm"),
        ("size-unlike-training", "300 x 170 mm, in training 140-150 x 170-180 mm"),
    ]
    (finding,) = unlike_looks(LOOK, seen)
    assert finding.found == "in mm, in training in px"


def test_tumours_unlike_the_training() -> None:
    tumour = Tumour({Region.WT: 401.0, Region.TC: 100.0, Region.ET: 1.5}, 9)
    assert [(one.code, one.found) for one in unlike_tumours(tumour, SEEN)] == [
        ("volume-unlike-training", "WT 401 mL, in training 40-200 mL; ET 1.5 mL, in training 5 mL"),
        ("lesions-unlike-training", "9, at most 4 in a training case"),
    ]
    assert (
        unlike_tumours(
            replace(tumour, volumes={r: 30.0 for r in Region if r != "ET"} | {Region.ET: 0.0}, lesions=8), SEEN
        )
        == []
    )


@pytest.mark.parametrize("kind", make.KINDS)
def test_figures_are_along_the_patient_s_axes(kind: str) -> None:
    prepared = prepare(make.case(kind), PrepConfig(modalities=make.MODALITIES))
    look = look_of(prepared, make.MODALITIES)
    own = make.SPACINGS[kind]
    order = {"plain": own, "flipped": own[::-1], "oblique": own}[kind]
    assert look.spacing == pytest.approx(order)
    assert look.extent == pytest.approx([n * s for n, s in zip(prepared.record.shape, order, strict=True)])
    values = prepared.image[1][prepared.image[1] != 0]
    assert look.intensities["t1c"] == pytest.approx(np.quantile(values, QUANTILES))
    native = look_of(prepare(make.case(kind), PrepConfig(modalities=make.MODALITIES, spacing=(3, 3, 3))), ["t1"] * 4)
    assert native.spacing == look.spacing and native.extent == pytest.approx(look.extent)


def test_a_channel_of_zeros_has_no_intensities() -> None:
    prepared = prepare(make.case(), PrepConfig(modalities=make.MODALITIES))
    prepared.image[2] = 0
    assert list(look_of(prepared, make.MODALITIES).intensities) == ["t1", "t1c", "flair"]


def test_specks_are_no_lesions() -> None:
    labels = np.zeros((20, 10, 10), np.uint8)
    labels[:3, :5, :4] = Tissue.ED  # 60 mm3
    labels[10:12, :5, :4] = Tissue.ET  # 40 mm3
    tumour = tumour_of(labels, Grid((20, 10, 10), np.eye(4)))
    assert tumour.lesions == 1
    assert tumour.volumes == pytest.approx({Region.WT: 0.1, Region.TC: 0.04, Region.ET: 0.04})
    assert tumour_of(labels, Grid((20, 10, 10), np.eye(4), "px")).lesions == 2
