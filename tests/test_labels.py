"""Label conventions: what each value means, and which conversions lose nothing."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gliamap.errors import LabelError
from gliamap.labels import (
    CONVENTIONS,
    Region,
    Tissue,
    convert,
    decode_classes,
    decode_regions,
    encode_classes,
    encode_regions,
    from_tissue,
    get_convention,
    merges,
    region_mask,
    resolve_convention,
    to_tissue,
    values_in,
)

# convention: (values 1, 2, 3, 4), the values of WT, of TC, of ET. Literally the published tables.
TABLE = {
    "brats2021": (("NCR", "ED", "", "ET"), (1, 2, 4), (1, 4), (4,)),
    "brats2023": (("NCR", "ED", "ET", ""), (1, 2, 3), (1, 3), (3,)),
    "brats2024": (("NCR", "ED", "ET", "RC"), (1, 2, 3), (1, 3), (3,)),
    "msd": (("ED", "NCR", "ET", ""), (1, 2, 3), (2, 3), (3,)),
    "brats-ped": (("ET", "NET", "CC", "ED"), (1, 2, 3, 4), (1, 2, 3), (1,)),
    "brats2013": (("NECROSIS", "ED", "NET", "ET"), (1, 2, 3, 4), (1, 3, 4), (4,)),
    "brats2012": (("ED", "CORE", "", ""), (1, 2), (2,), ()),
    "binary": (("TUMOUR", "", "", ""), (1,), (), ()),
}

# Every pair of different conventions that loses nothing; all others must be refused.
LOSSLESS = {
    *product(("brats2021", "brats2023", "msd"), ("brats2021", "brats2023", "brats2024", "msd")),
    ("binary", "binary255"),
    ("binary255", "binary"),
}

LABEL_ARRAYS = {
    name: arrays(
        np.uint8,
        array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=4),
        elements=st.sampled_from((0, *convention.values)),
    )
    for name, convention in CONVENTIONS.items()
}


@pytest.mark.parametrize("name", TABLE)
def test_values_mean_what_the_published_table_says(name: str) -> None:
    tissues, wt, tc, et = TABLE[name]
    convention = get_convention(name)
    assert dict(convention.values) == {i: Tissue[t] for i, t in enumerate(tissues, start=1) if t}
    assert convention.region_values(Region.WT) == wt
    assert convention.region_values(Region.TC) == tc
    assert convention.region_values(Region.ET) == et
    assert convention.regions == tuple(r for r, v in zip(Region, (wt, tc, et), strict=True) if v)


def test_table_lists_every_convention() -> None:
    assert set(CONVENTIONS) == {*TABLE, "binary255"}
    assert dict(get_convention("binary255").values) == {255: Tissue.TUMOUR}


def test_region_mask_by_eye() -> None:
    labels = np.array([[[0, Tissue.NCR, Tissue.ED, Tissue.ET, Tissue.RC]]], np.uint8)
    assert region_mask(labels, Region.WT).astype(int).tolist() == [[[0, 1, 1, 1, 0]]]
    assert region_mask(labels, Region.TC).astype(int).tolist() == [[[0, 1, 0, 1, 0]]]
    assert region_mask(labels, Region.ET).astype(int).tolist() == [[[0, 0, 0, 1, 0]]]


def test_convert_by_eye() -> None:
    msd = np.array([[[0, 1, 2, 3]]], np.uint8)
    assert convert(msd, get_convention("msd"), get_convention("brats2021")).tolist() == [[[0, 2, 1, 4]]]


@given(st.data())
def test_to_tissue_and_back_is_the_identity(data: st.DataObject) -> None:
    convention = CONVENTIONS[data.draw(st.sampled_from(sorted(CONVENTIONS)))]
    labels = data.draw(LABEL_ARRAYS[convention.name])
    assert np.array_equal(from_tissue(to_tissue(labels, convention), convention), labels)


@given(st.data())
def test_decode_after_encode_of_classes_is_the_identity(data: st.DataObject) -> None:
    convention = CONVENTIONS[data.draw(st.sampled_from(sorted(CONVENTIONS)))]
    labels = to_tissue(data.draw(LABEL_ARRAYS[convention.name]), convention)
    masks = encode_classes(labels, convention.tissues)
    assert masks.sum(axis=0).max(initial=1) == 1
    assert np.array_equal(decode_classes(masks, convention.tissues), labels)


@given(st.data())
def test_decode_after_encode_of_regions_is_the_identity_where_regions_tell_all(data: st.DataObject) -> None:
    names = ["brats2021", "brats2023", "msd", "brats2012", "binary", "binary255"]
    convention = CONVENTIONS[data.draw(st.sampled_from(names))]
    labels = to_tissue(data.draw(LABEL_ARRAYS[convention.name]), convention)
    masks = encode_regions(labels, convention.regions)
    assert np.array_equal(decode_regions(masks, convention.regions, convention), labels)


def test_decode_regions_refuses_a_region_without_a_single_label() -> None:
    masks = np.ones((3, 1, 1, 1), bool)
    with pytest.raises(LabelError, match="brats-ped has no single label for TC"):
        decode_regions(masks, tuple(Region), get_convention("brats-ped"))


def test_decode_regions_counts_an_inner_voxel_outside_its_outer_region_as_inner() -> None:
    masks = np.zeros((3, 1, 1, 2), bool)
    masks[2, 0, 0, 1] = True  # ET without TC and WT
    assert decode_regions(masks, tuple(Region), get_convention("brats2023")).tolist() == [[[0, Tissue.ET]]]


@pytest.mark.parametrize("pair", [p for p in product(CONVENTIONS, CONVENTIONS) if p[0] != p[1]])
def test_convert_is_lossless_or_refused(pair: tuple[str, str]) -> None:
    source, target = (get_convention(name) for name in pair)
    labels = np.array([[[0, *source.values]]], np.uint8)
    if pair in LOSSLESS:
        there = convert(labels, source, target)
        assert np.array_equal(convert(there, target, source), labels)
        assert merges(source, target) == ()
    else:
        with pytest.raises(LabelError, match="has no value in the label convention"):
            convert(labels, source, target)


def test_refusal_to_lose_names_the_merge_and_the_switch() -> None:
    labels = np.array([[[0, 1]]], np.uint8)
    with pytest.raises(LabelError) as caught:
        convert(labels, get_convention("brats2013"), get_convention("brats2023"))
    assert "'necrosis' has no value in the label convention brats2023" in str(caught.value)
    assert "becomes 'necrotic / non-enhancing core' with --lossy" in str(caught.value)


def test_lossy_merges_by_eye() -> None:
    source, target = get_convention("brats2013"), get_convention("brats2023")
    labels = np.array([[[0, 1, 2, 3, 4]]], np.uint8)
    assert convert(labels, source, target, lossy=True).tolist() == [[[0, 1, 2, 1, 3]]]
    assert merges(source, target) == ((Tissue.NECROSIS, Tissue.NCR), (Tissue.NET, Tissue.NCR))
    assert merges(get_convention("brats2024"), get_convention("brats2023")) == ((Tissue.RC, Tissue.BACKGROUND),)
    everything = get_convention("brats2021")
    assert convert(np.array([[[0, 1, 2, 4]]], np.uint8), everything, get_convention("binary"), lossy=True).tolist() == [
        [[0, 1, 1, 1]]
    ]


def test_lossy_never_invents_detail() -> None:
    tumour = np.array([[[1]]], np.uint8)
    with pytest.raises(LabelError, match="no wider label can hold it"):
        convert(tumour, get_convention("binary"), get_convention("brats2023"), lossy=True)


def test_values_of_several_conventions_are_refused_with_the_candidates_named() -> None:
    with pytest.raises(LabelError) as caught:
        resolve_convention({0, 1, 2, 3})
    message = str(caught.value)
    for name in ("brats2023", "brats2024", "msd", "brats-ped", "brats2013"):
        assert name in message
    assert "brats2021" not in message
    assert "--labels" in message


def test_edema_alone_in_a_file_is_ambiguous_until_the_candidates_agree() -> None:
    with pytest.raises(LabelError, match="fit more than one"):
        resolve_convention({0, 2})
    agreeing = [get_convention("brats2021"), get_convention("brats2023")]
    assert resolve_convention({0, 2}, agreeing).name == "brats2021"
    assert resolve_convention({0, 3}, agreeing).name == "brats2023"


def test_an_empty_mask_fits_anything() -> None:
    assert resolve_convention({0}, [get_convention("msd")]).name == "msd"
    assert resolve_convention(()).name == next(iter(CONVENTIONS))
    empty = np.zeros((2, 3, 1), np.int16)
    assert to_tissue(empty, get_convention("msd")).tolist() == empty.tolist()


def test_a_value_outside_its_convention_is_refused_with_what_fits() -> None:
    with pytest.raises(LabelError) as caught:
        to_tissue(np.array([[[0, 4]]], np.uint8), get_convention("brats2023"))
    message = str(caught.value)
    assert "values [4]" in message
    assert "brats2023 (1 necrotic / non-enhancing core, 2 edema, 3 enhancing tumour)" in message
    assert "brats2021" in message


@pytest.mark.parametrize("value", [-1, 256, 257])
def test_values_beyond_a_byte_do_not_wrap_round(value: int) -> None:
    with pytest.raises(LabelError, match="outside its label convention"):
        to_tissue(np.array([[[value]]], np.int16), get_convention("binary"))


def test_values_in_is_ascending_without_background() -> None:
    for dtype in (np.uint8, np.int16, np.int32):
        assert values_in(np.array([[[4, 0, 1, 4]]], dtype)) == (1, 4)
    assert values_in(np.zeros((0, 2, 2), np.uint8)) == ()


def test_an_unknown_convention_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LabelError, match=r"'brats1999'.*brats2021, brats2023"):
        get_convention("brats1999")


PAIRS = [pair for pair in product(CONVENTIONS, CONVENTIONS) if pair[0] != pair[1]]


@pytest.mark.parametrize(("a", "b"), PAIRS)
@settings(max_examples=20)
@given(data=st.data())
def test_a_conversion_loses_nothing_or_is_refused_where_a_tissue_has_no_value(
    a: str, b: str, data: st.DataObject
) -> None:
    source, target = get_convention(a), get_convention(b)
    labels = data.draw(LABEL_ARRAYS[a])
    present = {source.values[v] for v in values_in(labels)}
    if not present <= set(target.tissues):
        with pytest.raises(LabelError, match=f"has no value in the label convention {b}"):
            convert(labels, source, target)
        return
    there = convert(labels, source, target)
    assert np.array_equal(convert(there, target, source), labels)
    for region in Region:
        before, after = (np.isin(x, c.region_values(region)) for x, c in ((labels, source), (there, target)))
        assert np.array_equal(before, after)


@pytest.mark.parametrize(("a", "b"), PAIRS)
@settings(max_examples=20)
@given(data=st.data())
def test_a_lossy_conversion_is_merging_tissues_and_then_converting(a: str, b: str, data: st.DataObject) -> None:
    source, target = get_convention(a), get_convention(b)
    labels = data.draw(LABEL_ARRAYS[a])
    becomes = dict(merges(source, target))
    merged = to_tissue(labels, source)
    for tissue, wider in becomes.items():  # no merge leads to a tissue that is merged itself
        merged[merged == tissue] = wider
    if set(values_in(merged)) <= set(target.tissues):
        assert np.array_equal(convert(labels, source, target, lossy=True), from_tissue(merged, target))
        for region in target.regions:  # a merge moves no voxel into or out of a region that the target can tell
            assert np.array_equal(region_mask(merged, region), region_mask(to_tissue(labels, source), region))
    else:
        with pytest.raises(LabelError, match="no wider label can hold it"):
            convert(labels, source, target, lossy=True)


def test_an_image_taken_for_a_mask_is_not_listed_value_by_value() -> None:
    with pytest.raises(LabelError) as caught:
        resolve_convention(range(5000), [get_convention("brats2021")])
    assert caught.value.found == "4999 different values (1, 2, 3, 4, 5, 6, 7, 8 ...), as in an image rather than a mask"
    with pytest.raises(LabelError) as caught:
        resolve_convention(range(1, 9), [get_convention("brats2021")])
    assert caught.value.found == "values [1, 2, 3, 4, 5, 6, 7, 8]"
    assert caught.value.remedy == "check that this is the mask: no label convention has these values"
    with pytest.raises(LabelError) as caught:
        resolve_convention({7})
    assert caught.value.expected == " or ".join(CONVENTIONS)
    assert "outside every label convention" in caught.value.what


@pytest.mark.slow
def test_every_lossless_pair_round_trips_on_whole_volumes() -> None:
    rng = np.random.default_rng(0)
    for source_name, target_name in sorted(p for p in LOSSLESS if p[0] != p[1]):
        source, target = get_convention(source_name), get_convention(target_name)
        for _ in range(20):
            labels = rng.choice(np.array([0, *source.values], np.uint8), (60, 70, 50))
            assert np.array_equal(convert(convert(labels, source, target), target, source), labels)
            for region in Region:
                native = np.isin(labels, source.region_values(region))
                assert np.array_equal(region_mask(to_tissue(labels, source), region), native)
