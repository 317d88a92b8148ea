"""What a viewer is given: every part of it read back as a script would, and the limits."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import make
from gliamap.errors import GridError
from gliamap.io.cases import read_case
from gliamap.labels import Tissue
from gliamap.sources.detect import scan
from gliamap.viewer.packing import base64_bytes
from gliamap.viewer.payload import Limits, Payload, ScalarMap, make_payload


def volume(payload: Payload, name: str) -> NDArray[np.uint8]:
    """A volume blob as a script reads it."""
    shape = payload.about["grid"]["shape"]
    return np.frombuffer(gzip.decompress(payload.blobs[name]), np.uint8).reshape(shape, order="F")


def in_file(payload: Payload, at: Sequence[int]) -> list[int]:
    """The voxel of the case's own grid that the viewer's voxel ``at`` is."""
    native = [0, 0, 0]
    for axis, along, index in zip(payload.frame.axes, payload.about["grid"]["numbers"], at, strict=True):
        native[axis] = along[index]
    return native


def size(payload: Payload) -> int:
    return sum(base64_bytes(blob) for blob in payload.blobs.values())


@pytest.mark.parametrize("kind", make.KINDS)
def test_all_parts_of_a_case(kind: str) -> None:
    case = make.case(kind)
    assert case.labels is not None
    reference = np.where(case.labels == Tissue.ET, np.uint8(Tissue.NCR), case.labels)
    entropy = ScalarMap("entropy", "uncertainty", case.labels.astype(np.float32) / 6, (0.0, 1.0))
    payload = make_payload(case, case.labels, reference=reference, maps=[entropy])
    about = json.loads(json.dumps(payload.about))
    assert about["version"] == 1
    assert about["title"] == case.case_id
    assert [image["name"] for image in about["images"]] == ["t1c", "flair", "t1", "t2"]
    assert [one["name"] for one in about["tissues"]] == ["ED", "ET", "NCR"]
    frame = payload.frame
    assert np.array_equal(volume(payload, about["labels"]), frame.cut(case.labels))
    assert np.array_equal(volume(payload, about["reference"]), frame.cut(reference))
    shown = about["images"][0]
    low, high = shown["range"]
    assert low <= shown["window"][0] < shown["window"][1] <= high
    image = frame.cut(case.image[1])
    back = low + volume(payload, shown["blob"]) * (high - low) / 255
    assert np.abs(back - np.clip(image, low, high)).max() <= (high - low) / 255 * 0.51
    (uncertain,) = about["maps"]
    assert np.array_equal(volume(payload, uncertain["blob"]) == 0, frame.cut(case.labels) == 0)
    assert {"head", "WT"} <= {one["name"] for one in about["surfaces"]}
    named = {one[key] for one in about["surfaces"] for key in ("vertices", "faces")}
    named |= {one["blob"] for one in (*about["images"], *about["maps"])} | {"labels", "reference"}
    assert named == set(payload.blobs)
    assert frame.cut(case.labels)[tuple(about["start"])] != 0
    assert payload.remarks == ()


def test_the_crosshair_begins_in_the_largest_slice() -> None:
    case = make.case()
    labels = np.zeros(case.grid.shape, np.uint8)
    labels[3:8, 4:9, 6] = Tissue.ED
    labels[9, 9, 2:5] = Tissue.ED
    payload = make_payload(case, labels)
    assert in_file(payload, payload.about["start"]) == [5, 6, 6]


def test_oblique_grids_say_so() -> None:
    plain, oblique = (make_payload(make.case(kind), None) for kind in ("plain", "oblique"))
    assert plain.about["grid"]["oblique_degrees"] == 0
    assert 20 < oblique.about["grid"]["oblique_degrees"] < 25


@pytest.mark.parametrize("kind", make.KINDS)
def test_voxels_are_told_where_they_lie_and_what_number_they_have_in_the_file(kind: str) -> None:
    payload = make_payload(make.case(kind), None)
    grid = payload.about["grid"]
    at = (4, 2, 6)
    native = in_file(payload, at)
    places = make.affine(kind) @ [*native, 1]
    assert np.array(grid["affine"]) @ [*at, 1] == pytest.approx(places[:3], abs=1e-3)
    marked = np.zeros(make.SHAPES[kind], bool)
    marked[tuple(native)] = True
    assert payload.frame.cut(marked)[at]


def test_a_case_without_any_mask() -> None:
    payload = make_payload(make.case(), None, title="<b>")
    assert payload.about["title"] == "<b>"
    assert (payload.about["labels"], payload.about["reference"], payload.about["tissues"]) == (None, None, [])
    assert payload.about["surfaces"] == []


def test_an_empty_mask_and_a_blank_image() -> None:
    case = make.case()
    empty = np.zeros(case.grid.shape, np.uint8)
    payload = make_payload(case, empty)
    assert payload.about["tissues"] == []
    assert not volume(payload, "labels").any()
    assert payload.about["start"] == [n // 2 for n in payload.about["grid"]["shape"]]
    blank = make_payload(replace(case, image=np.zeros_like(case.image)), empty)
    assert blank.frame.shape == case.grid.shape
    json.dumps(blank.about, allow_nan=False)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, -7])
def test_images_of_one_value(value: float) -> None:
    case = make.case()
    payload = make_payload(replace(case, image=np.full_like(case.image, value)), case.labels)
    json.dumps(payload.about, allow_nan=False)


def test_a_photograph_is_shown_whole_and_as_it_is() -> None:
    case = make.slice_case()
    assert case.labels is not None
    payload = make_payload(case, case.labels)
    grid = payload.about["grid"]
    assert (grid["two_d"], grid["unit"], grid["letters"], grid["shape"]) == (True, "px", [], [33, 26, 1])
    assert "affine" not in grid
    assert grid["numbers"] == [[*range(32, -1, -1)], [*range(25, -1, -1)], [0]]
    assert payload.about["surfaces"] == []
    assert np.array_equal(volume(payload, "labels")[::-1, ::-1], case.labels)


def test_modalities_are_left_out_before_voxels_become_coarser() -> None:
    case = make.case()
    whole = make_payload(case, case.labels, limits=Limits(surfaces=False))
    assert whole.about["surfaces"] == []
    few = Limits(base64_bytes=size(whole) - 100, surfaces=False)
    three = make_payload(case, case.labels, limits=few)
    assert len(three.about["images"]) == 3
    assert three.remarks == ("not shown, to keep the page small: T2",)
    two = make_payload(case, case.labels, limits=Limits(images=2, surfaces=False))
    assert len(two.about["images"]) == 2
    assert two.remarks == ("not shown, to keep the page small: T1, T2",)
    one = make_payload(case, case.labels, limits=Limits(base64_bytes=1, surfaces=False))
    assert len(one.about["images"]) == 1  # a viewer without any image would be none


def test_what_does_not_fit_becomes_coarser() -> None:
    shape = (64, 60, 50)
    rng = np.random.default_rng(0)
    case = replace(
        make.case(),
        image=rng.uniform(50, 100, (4, *shape)).astype(np.float32),
        grid=replace(make.grid(), shape=shape, affine=np.diag([0.5, 0.5, 1.0, 1])),
        labels=None,
    )
    labels = make.labels(shape)
    payload = make_payload(case, labels, limits=Limits(base64_bytes=150_000, surfaces=False))
    assert size(payload) <= 150_000
    assert len(payload.about["images"]) >= 2
    assert payload.about["grid"]["spacing"] == [1, 1, 1]
    assert "shown coarser than scanned, to keep the page small: voxels of 1 × 1 × 1 mm, not 0.5 × 0.5 × 1 mm" in (
        payload.remarks
    )
    assert volume(payload, "labels").shape == payload.frame.shape


def test_maps_of_another_shape_are_refused() -> None:
    case = make.case()
    with pytest.raises(GridError, match="another shape"):
        make_payload(case, np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(GridError, match="another shape"):
        make_payload(case, None, maps=[ScalarMap("a", "a", np.zeros((3, 3, 3), np.float32), (0, 1))])


def test_a_brats_case_fits_and_is_quick(data_root: Path) -> None:
    files = next(one for one in scan(data_root / "brats21").cases if one.case_id == "BraTS2021_00006")
    case = read_case(files)
    assert case.labels is not None
    entropy = ScalarMap("entropy", "uncertainty", (case.labels > 0).astype(np.float32), (0.0, 1.0))
    two = replace(case, modalities=("t1c", "flair"), image=case.image[[1, 3]])
    start = time.process_time()
    payload = make_payload(two, case.labels, reference=case.labels, maps=[entropy])
    seconds = time.process_time() - start
    assert payload.remarks == ()
    assert size(payload) < 6_000_000
    assert seconds < 3  # half of it is usual
