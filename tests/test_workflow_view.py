"""gliamap.view: a picture everywhere, the viewer where it is installed, and clear words where it is no case."""

from __future__ import annotations

import gzip
import io
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import make
import tiny
from gliamap.errors import GridError, LabelError, LayoutError
from gliamap.io.atomic import write_json
from gliamap.io.cases import write_mask
from gliamap.labels import Tissue
from gliamap.sources.detect import scan
from gliamap.workflows.data import view as module
from gliamap.workflows.data.view import Picture, view

SHAPE = (24, 28, 26)

NEEDS_VIEWER = pytest.mark.skipif(find_spec(module.VIEWER) is None, reason="the extra 'notebook' is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A case folder whose axes run to other sides than the viewer's."""
    return make.write_brats(tmp_path, tiny.phantom(kind="flipped"))


@pytest.fixture
def no_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra is not installed."""
    monkeypatch.setitem(sys.modules, module.VIEWER, None)


def size_of(shown: object) -> tuple[int, int]:
    """Width and height of the picture that a notebook would show."""
    assert isinstance(shown, Picture)
    return Image.open(io.BytesIO(shown._repr_png_())).size


def mask_file(folder: Path, value: int, *, at: tuple[int, int, int] = (5, 6, 7)) -> Path:
    """A mask for the case in ``folder``, apart from it, with one block of ``value``."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[tuple(slice(n, n + 3) for n in at)] = value
    out = folder.parent / "masks" / f"{folder.name}.nii.gz"
    out.parent.mkdir(exist_ok=True)
    write_mask(out, labels, folder / f"{folder.name}_t1.nii.gz")
    return out


def opened(case: Path, mask: Path | None = None, **options: str) -> tuple[Any, str]:
    """The viewer and the line below it."""
    both: Any = view(case, mask, **options)
    shown, legend = both.children
    return shown, legend.value


@pytest.mark.usefixtures("no_viewer")
class TestPicture:
    """Without the viewer, and for images always."""

    def test_a_case_is_a_wide_mosaic_whose_bytes_are_not_printed(self, folder: Path) -> None:
        shown = view(folder)
        assert size_of(shown)[0] == 1600
        assert repr(shown) == "Picture()"

    def test_the_mask_given_is_shown_in_place_of_the_case_s_own(self, folder: Path) -> None:
        own = view(folder)
        assert view(scan(folder).cases[0]) == own
        assert view(folder, mask_file(folder, 4)) != own

    def test_a_case_without_a_mask_is_shown_too(self, folder: Path) -> None:
        (folder / f"{folder.name}_seg.nii.gz").unlink()
        assert size_of(view(folder))[0] == 1600


def test_an_image_is_a_picture_although_there_is_a_viewer(tmp_path: Path) -> None:
    root = make.write_pairs(tmp_path / "pairs", count=2)
    assert size_of(view(root / "images" / "1.png"))[0] == 1600
    assert size_of(view(scan(root).cases[0]))[0] == 1600


@NEEDS_VIEWER
class TestViewer:
    """What the viewer is handed; how it draws that is its own affair."""

    def test_scan_and_tissues_lie_on_the_case_s_grid(self, folder: Path) -> None:
        shown, _ = opened(folder)
        one = scan(folder).cases[0]
        image, overlay = (nib.Nifti1Image.from_bytes(gzip.decompress(v.data)) for v in shown.volumes)
        original = nib.Nifti1Image.from_filename(one.modalities["t1c"])
        np.testing.assert_allclose(image.affine, original.affine, atol=1e-4)
        np.testing.assert_allclose(overlay.affine, original.affine, atol=1e-4)
        np.testing.assert_array_equal(image.get_fdata(), original.get_fdata())
        assert set(np.unique(overlay.get_fdata())) - {0} <= set(map(float, Tissue))

    def test_tissues_have_our_colours_and_let_the_scan_through(self, folder: Path) -> None:
        shown, legend = opened(folder)
        overlay = shown.volumes[1]
        table = overlay.colormap_label
        colour = {n: tuple(table.lut[4 * (n - int(table.min)) :][:4]) for n in (0, Tissue.ED, Tissue.ET)}
        assert colour == {0: (0, 0, 0, 0), Tissue.ED: (0x12, 0xB8, 0x86, 255), Tissue.ET: (0xFF, 0xD4, 0x3B, 255)}
        assert 0 < overlay.opacity < 1
        assert "edema" in legend and "research use only" in legend and folder.name in legend

    def test_it_opens_on_the_tumour_the_radiological_way_round(self, tmp_path: Path) -> None:
        folder = make.write_brats(tmp_path, tiny.phantom())  # voxel axes to the left, the back and the top
        shown, _ = opened(folder, mask_file(folder, 4, at=(2, 4, 20)))
        assert shown.opts.is_radiological_convention and shown.opts.sagittal_nose_left
        right, front, top = shown.scene.crosshair_pos
        assert (right, front) == pytest.approx((1 - 3.5 / 24, 1 - 5.5 / 28))
        assert 20 / 26 < top < 23 / 26

    def test_the_modality_asked_for_is_the_only_one_read(self, folder: Path) -> None:
        (folder / f"{folder.name}_t1ce.nii.gz").write_bytes(b"damaged")
        shown, legend = opened(folder, modality="FLAIR")
        assert [volume.name for volume in shown.volumes] == ["flair.nii.gz", "tissues.nii.gz"]
        assert "FLAIR" in legend

    def test_without_a_mask_there_is_no_overlay(self, folder: Path) -> None:
        (folder / f"{folder.name}_seg.nii.gz").unlink()
        shown, legend = opened(folder)
        assert len(shown.volumes) == 1
        assert "edema" not in legend


@NEEDS_VIEWER
class TestMeaning:
    """What the numbers of a mask mean; seen in the name of the tissue below the viewer."""

    def test_the_layout_says_it_unless_a_file_beside_the_mask_or_the_user_does(self, folder: Path) -> None:
        mask = mask_file(folder, 1)
        assert "necrotic" in opened(folder, mask)[1]
        assert "edema" in opened(folder, mask, labels="msd")[1]
        write_json(mask.with_name(f"{folder.name}.json"), {"label_convention": "msd"})
        assert "edema" in opened(folder, mask)[1]

    def test_values_that_it_does_not_have_are_refused(self, folder: Path) -> None:
        with pytest.raises(LabelError):
            view(folder, mask_file(folder, 9))


def test_a_folder_of_cases_is_not_one(tmp_path: Path) -> None:
    root = tiny.write_set(tmp_path / "set", 2)
    with pytest.raises(LayoutError, match="holds 2 cases") as caught:
        view(root)
    assert "Phantom_00001" in str(caught.value) and "scan(folder).cases" in str(caught.value)


def test_what_is_no_case_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="does not exist"):
        view(tmp_path / "nothing")
    with pytest.raises(LayoutError, match="taken alone"):
        view(folder / f"{folder.name}_t1.nii.gz")
    with pytest.raises(LayoutError, match="ct"):
        view(folder, modality="ct")


def test_a_mask_of_another_case_is_refused(folder: Path, tmp_path: Path) -> None:
    other = make.write_brats(tmp_path / "other", make.case("plain"))
    with pytest.raises(GridError, match="do not share a voxel grid"):
        view(folder, other / f"{other.name}_seg.nii.gz")


@NEEDS_VIEWER
def test_a_real_case_opens(data_root: Path) -> None:
    shown, legend = opened(data_root / "brats21" / "BraTS2021_01479")
    assert len(shown.volumes) == 2
    assert sum(len(volume.data) for volume in shown.volumes) < 10e6
    assert "enhancing tumour" in legend
