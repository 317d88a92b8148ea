"""Headers that cannot be of a head, that disagree with each other or with themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import make
from gliamap.boxes import Shape
from gliamap.checks.geometry import check_brain_size, check_geometry
from gliamap.io.facts import FileFacts, read_facts
from gliamap.volume import Grid, image_grid

Triple = tuple[float, float, float]


def facts(shape: Shape, spacing: Triple, *, moved_mm: float = 0, codes: tuple[int, int] = (1, 1)) -> FileFacts:
    """A NIfTI header, whose qform lies ``moved_mm`` beside its sform."""
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    moved = affine.copy()
    moved[0, 3] = moved_mm
    qform, sform = (form if code else None for form, code in zip((moved, affine), codes, strict=True))
    return FileFacts(
        *("nifti1", Grid(shape, affine), 1, "int16"),
        qform=qform,
        qform_code=codes[0],
        sform=sform,
        sform_code=codes[1],
    )


def codes(**files: FileFacts) -> list[str]:
    return [finding.code for finding in check_geometry(files)]


PLAUSIBLE: list[tuple[Shape, Triple]] = [
    ((240, 240, 155), (1, 1, 1)),  # BraTS
    ((141, 167, 137), (1, 1, 1)),  # cropped to the brain
    ((512, 512, 34), (0.47, 0.47, 5)),  # a clinical scan
    ((20, 512, 512), (6, 0.45, 0.45)),  # sagittal
    ((256, 256, 256), (1, 1, 1)),
    ((512, 512, 12), (0.4, 0.4, 3)),  # a slab of a few thick slices
    ((80, 96, 72), (1.8, 1.8, 1.9)),  # coarse
    ((256, 256, 1), (0.9, 0.9, 1)),  # one slice
    ((110, 120, 90), (0.9, 0.9, 0.9)),  # an infant, cropped
]
IMPLAUSIBLE: list[tuple[Shape, Triple]] = [
    ((256, 256, 24), (1, 1, 1)),  # slices of six millimetres whose header says one
    ((240, 240, 155), (2, 2, 2)),
    ((240, 240, 155), (0.001, 0.001, 0.001)),  # metres taken for millimetres
    ((240, 240, 155), (1, 1, 100)),
    ((512, 512, 24), (1, 1, 6)),
    ((240, 240, 155), (0.3, 0.3, 0.3)),
    ((33, 41, 25), (2, 2, 2)),
    ((64, 64, 64), (1, 1, 1)),
]


@pytest.mark.parametrize(("shape", "spacing"), PLAUSIBLE)
def test_heads(shape: Shape, spacing: Triple) -> None:
    assert codes(t1=facts(shape, spacing)) == []


@pytest.mark.parametrize(("shape", "spacing"), IMPLAUSIBLE)
def test_no_heads(shape: Shape, spacing: Triple) -> None:
    assert codes(t1=facts(shape, spacing)) == ["spacing-implausible"]


@given(st.sampled_from(PLAUSIBLE[:5] + IMPLAUSIBLE), st.permutations((0, 1, 2)))
def test_the_order_of_the_axes_does_not_matter(one: tuple[Shape, Triple], order: list[int]) -> None:
    shape, spacing = one
    x, y, z = ((shape[axis], spacing[axis]) for axis in order)
    assert codes(t1=facts((x[0], y[0], z[0]), (x[1], y[1], z[1]))) == codes(t1=facts(shape, spacing))


def test_the_finding_tells_the_size() -> None:
    (finding,) = check_geometry({"t1c": facts((256, 256, 24), (1, 1, 1)), "mask": facts((256, 256, 24), (1, 1, 1))})
    assert finding.found == "t1c, mask: 256x256x24 voxels of 1x1x1 mm, in all 256x256x24 mm"


def test_pictures_have_no_size() -> None:
    assert codes(t1c=FileFacts("image", image_grid((120, 120, 1)), 1, "uint8")) == []


def test_grids_that_differ_are_all_named() -> None:
    one, other = facts((240, 240, 155), (1, 1, 1)), facts((240, 240, 150), (1, 1, 1))
    (finding,) = check_geometry({"t1": one, "t2": other, "mask": one})
    assert finding.code == "grids-differ"
    assert finding.found == (
        "t1, mask: 240x240x155 voxels of 1x1x1 mm, origin (0.0, 0.0, 0.0); "
        "t2: 240x240x150 voxels of 1x1x1 mm, origin (0.0, 0.0, 0.0)"
    )


def test_the_mask_counts_among_the_grids() -> None:
    one = facts((240, 240, 155), (1, 1, 1))
    flipped = FileFacts("nifti1", Grid((240, 240, 155), np.diag([1.0, -1, 1, 1])), 1, "uint8", sform_code=1)
    assert codes(t1=one, mask=flipped) == ["grids-differ"]
    assert codes(t1=one, mask=one) == []


@pytest.mark.parametrize(("moved_mm", "expected"), [(0.05, []), (0.5, ["qform-sform-differ"])])
def test_two_affines(moved_mm: float, expected: list[str]) -> None:
    shape, spacing = PLAUSIBLE[0]
    assert codes(t1=facts(shape, spacing, moved_mm=moved_mm)) == expected
    assert codes(t1=facts(shape, spacing, moved_mm=moved_mm, codes=(1, 0))) == []
    assert codes(t1=facts(shape, spacing, moved_mm=moved_mm, codes=(0, 2))) == []


def test_no_affine() -> None:
    shape, spacing = PLAUSIBLE[0]
    (finding,) = check_geometry({"t1": facts(shape, spacing, codes=(0, 0)), "t2": facts(shape, spacing)})
    assert (finding.code, finding.found) == ("no-affine", "t1: qform and sform are both unset")
    assert codes(t1=FileFacts("mgz", facts(shape, spacing).grid, 1, "uint8")) == []


@pytest.mark.parametrize(("factor", "right"), [(0.5, False), (1, True), (1.28, False), (1.5, False)])
@pytest.mark.parametrize("kind", make.KINDS)
def test_the_size_of_the_brain(kind: str, factor: float, right: bool) -> None:
    shape: Shape = (48, 44, 40)  # at 4.2 mm the ellipsoid measures 169 x 155 x 141 mm and 1.9 L
    affine = make.affine(kind)
    affine[:3, :3] *= 4.2 * factor / np.array(make.SPACINGS[kind])
    brain = make.ball(shape, (0.5, 0.5, 0.5), 0.42)
    found = [finding.code for finding in check_brain_size(brain, Grid(shape, affine))]
    assert found == ([] if right else ["spacing-implausible"])


def test_a_slab_holds_a_part_of_the_brain() -> None:
    slab = Grid((200, 200, 12), np.diag([1.0, 1, 3, 1]))
    brain = np.zeros(slab.shape, np.bool_)
    brain[40:160, 30:180] = True
    assert check_brain_size(brain, slab) == []
    assert check_brain_size(np.zeros(slab.shape, np.bool_), slab) == []
    assert check_brain_size(brain[..., :1], image_grid((200, 200, 1))) == []


def test_real_headers(data_root: Path) -> None:
    def of(folder: str) -> list[list[str]]:
        cases = [case for case in sorted((data_root / folder).iterdir()) if case.is_dir()]
        return [codes(**{path.name: read_facts(path) for path in sorted(case.glob("*.nii.gz"))}) for case in cases]

    assert of("brats21") == [[]] * 11
    assert of("brats23") == [[]]
    assert of("clinical-raw") == [["grids-differ"]]
    assert of("btp-t1post") == [["spacing-implausible"]] * 12
