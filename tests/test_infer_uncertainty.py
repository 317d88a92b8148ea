"""Entropy and disagreement, by hand: in bits and standard deviations, of regions, over the voxels in question."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gliamap.config import OutputConfig
from gliamap.infer import uncertainty
from gliamap.infer.uncertainty import disagreement_map, entropy_map, measure
from gliamap.labels import Region

BINARY = OutputConfig(kind="regions", convention="binary")
REGIONS = OutputConfig(kind="regions", convention="brats2021")
CLASSES = OutputConfig(kind="classes", convention="brats2021")  # background, NCR, ED, ET


def voxels(*channels: list[float]) -> NDArray[np.float32]:
    """Channels of some voxels in a row along X."""
    return np.array(channels, np.float32)[..., None, None]


def test_entropy_is_one_bit_at_one_half_and_nothing_where_all_is_sure() -> None:
    raw = voxels([0.5, 1.0, 0.0, 0.75])
    expected = [1, 0, 0, 0.25 * 2 + 0.75 * np.log2(4 / 3)]
    np.testing.assert_allclose(entropy_map(raw, BINARY).ravel(), expected, atol=1e-6)
    found = measure(raw, BINARY)
    assert found.entropy == pytest.approx({Region.WT: (1 + 0 + expected[3]) / 3})  # the third voxel is not in question
    assert found.disagreement is None and disagreement_map(raw, BINARY) is None


def test_a_region_that_is_nowhere_in_question_is_sure() -> None:
    found = measure(voxels([0.29, 0.0], [0.0, 0.0], [0.5, 0.0]), REGIONS)
    assert found.entropy == {Region.WT: 0, Region.TC: 0, Region.ET: 1}


def test_tissues_are_added_up_to_regions() -> None:
    # WT 0.75, TC 0.5, ET 0.5; then all of it edema
    found = measure(voxels([0.25, 0], [0, 0], [0.25, 1], [0.5, 0]), CLASSES)
    quarter = 0.25 * 2 + 0.75 * np.log2(4 / 3)
    assert found.entropy == pytest.approx({Region.WT: quarter / 2, Region.TC: 1, Region.ET: 1})


def test_disagreement_is_that_of_the_channels_after_the_probabilities() -> None:
    raw = voxels([0.5, 0.05], [0.5, 0.5], [0.0, 0.5], [0.2, 0.4], [0.1, 0.3], [0.0, 0.5])
    found = measure(raw, REGIONS)
    assert found.disagreement == pytest.approx({Region.WT: 0.2, Region.TC: 0.2, Region.ET: 0.5})
    apart = disagreement_map(raw, REGIONS)
    assert apart is not None
    np.testing.assert_allclose(apart.ravel(), [0.2, 0.5])


def test_all_tissues_disagree_as_the_background_does_and_several_as_if_independently() -> None:
    found = measure(voxels([0.1], [0.2], [0.3], [0.4], [0.1], [0.3], [0.2], [0.4]), CLASSES)
    assert found.disagreement == pytest.approx({Region.WT: 0.1, Region.TC: 0.5, Region.ET: 0.4})


@given(st.integers(1, 7), st.sampled_from([np.float16, np.float32]))
def test_slabs_do_not_show(thick: int, dtype: type) -> None:
    raw = np.random.default_rng(0).random((6, 7, 3, 2)).astype(dtype)
    expected = measure(raw, REGIONS), entropy_map(raw, REGIONS), disagreement_map(raw, REGIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uncertainty, "_SLAB", thick * 6)
        found = measure(raw, REGIONS), entropy_map(raw, REGIONS), disagreement_map(raw, REGIONS)
    assert found[0].entropy == pytest.approx(expected[0].entropy)
    assert found[0].disagreement == pytest.approx(expected[0].disagreement)
    for one, other in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="4 channels are neither 3"):
        measure(np.zeros((4, 2, 2, 2), np.float32), REGIONS)
