"""What is added up over cases: histograms that a reader can count, and sums that know no order."""

from __future__ import annotations

from functools import reduce

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gliamap.labels import Tissue
from gliamap.survey.counts import (
    INTENSITY_EDGES,
    PLACES,
    SIZE_EDGES,
    Counts,
    Places,
    count_intensities,
    count_sizes,
)


def test_each_voxel_is_counted_in_the_bin_of_its_intensity_and_tissue() -> None:
    values = np.array([0.0, 0.05, 0.1, -9.0, 99.0, 1.0], np.float32)
    tissues = np.array([0, 0, 0, 0, Tissue.ET, Tissue.ET], np.uint8)
    counted = count_intensities(values, tissues)
    assert list(counted) == [Tissue.BACKGROUND, Tissue.ET]
    zero = int(np.searchsorted(INTENSITY_EDGES, 1e-9)) - 1
    assert INTENSITY_EDGES[zero].round(9) == 0.0
    assert (counted[Tissue.BACKGROUND][[0, zero, zero + 1]].tolist(), counted[Tissue.BACKGROUND].sum()) == (
        [1, 2, 1],
        4,
    )
    assert counted[Tissue.ET][-1] == 1 and counted[Tissue.ET].sum() == 2


def test_lesions_are_counted_by_size_four_bins_a_decade() -> None:
    assert SIZE_EDGES[[0, 4, 12, -1]].round(6).tolist() == [0.001, 0.01, 1.0, 1e6]
    counted = count_sizes(np.array([0.001, 0.0011, 1.0, 1.9, 1e-9, 1e9]))
    assert np.flatnonzero(counted).tolist() == [0, 12, 13, 35]
    assert counted[[0, 12, 13, 35]].tolist() == [3, 1, 1, 1]
    assert count_sizes(np.array([])).sum() == 0


def test_sizes_on_an_edge_belong_to_the_bin_that_it_begins() -> None:
    assert np.flatnonzero(count_sizes(SIZE_EDGES[:-1])).tolist() == list(range(len(SIZE_EDGES) - 1))


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    """Sums of some cases, with any of three modalities and two planes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    keys = draw(st.sets(st.tuples(st.sampled_from(["t1", "t2", "flair"]), st.sampled_from([Tissue.ED, Tissue.ET]))))
    planes = draw(st.sets(st.sampled_from(["axial", "slice"])))
    return Counts(
        {key: rng.integers(0, 9, len(INTENSITY_EDGES) - 1) for key in keys},
        rng.integers(0, 9, len(SIZE_EDGES) - 1),
        {plane: Places(int(rng.integers(1, 9)), *rng.integers(0, 9, (2, PLACES, PLACES))) for plane in planes},
    )


def plain(one: Counts) -> object:
    """All numbers, to be compared."""
    places = {plane: (at.cases, at.tumour.tolist(), at.foreground.tolist()) for plane, at in one.places.items()}
    return {key: n.tolist() for key, n in one.intensities.items()}, one.lesion_sizes.tolist(), places


@settings(max_examples=25)
@given(counts(), counts(), counts())
def test_sums_are_the_same_in_any_order(a: Counts, b: Counts, c: Counts) -> None:
    assert plain(a.plus(b).plus(c)) == plain(a.plus(b.plus(c))) == plain(reduce(Counts.plus, (c, a, b)))
    assert plain(a.plus(Counts())) == plain(Counts().plus(a)) == plain(a)
