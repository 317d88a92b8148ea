"""Masks from one label convention to another, from files to files."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import make
from gliamap.cli.app import app
from gliamap.errors import FileError, LabelError, LayoutError, OutputError
from gliamap.io.cases import read_mask_file
from gliamap.labels import Tissue
from gliamap.workflows.data.convert import ConvertOptions, Merged, convert_labels
from tiny import files_in

VALUES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 4  # 0, 1, 2, 3: brats2023, msd and others


def write_mask(path: Path, values: NDArray[np.generic], kind: str = "oblique") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, make.affine(kind))
    image.header.set_qform(make.affine(kind), code=2)
    image.header.set_sform(make.affine(kind), code=4)
    image.to_filename(path)
    return path


def options(**changes: object) -> ConvertOptions:
    return ConvertOptions.model_validate(changes)


def test_a_mask_keeps_its_grid_and_header_and_gets_tables(tmp_path: Path) -> None:
    source = write_mask(tmp_path / "in" / "a.nii.gz", VALUES)
    target = tmp_path / "out" / "b.nii"
    done = convert_labels(source, target, to="brats2021", options=options(labels="msd"))
    assert done.files == {"a": target} and done.conventions == {"a": "msd"} and done.merged == ()
    before, after = nib.load(source), nib.load(target)
    np.testing.assert_array_equal(np.asarray(after.dataobj), np.array([0, 2, 1, 4], np.uint8)[VALUES])
    np.testing.assert_array_equal(after.affine, before.affine)
    for field in ("qform_code", "sform_code", "xyzt_units", "pixdim", "srow_x", "quatern_b"):
        np.testing.assert_array_equal(after.header[field], before.header[field])
    assert files_in(tmp_path / "out") == ["b.nii", "labels.ctbl", "labels.label"]
    assert "4 enhancing_tumour" in (tmp_path / "out" / "labels.ctbl").read_text()


def test_there_and_back_is_the_same_file(tmp_path: Path) -> None:
    source = write_mask(tmp_path / "a.nii.gz", VALUES)
    convert_labels(source, tmp_path / "b" / "a.nii.gz", to="brats2023", options=options(labels="msd"))
    convert_labels(tmp_path / "b" / "a.nii.gz", tmp_path / "c", to="msd", options=options(labels="brats2023"))
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "c" / "a.nii.gz").dataobj), VALUES)


def test_values_that_fit_several_conventions_are_refused_and_the_option_is_named(tmp_path: Path) -> None:
    source = write_mask(tmp_path / "a.nii.gz", VALUES)
    with pytest.raises(LabelError) as caught:
        convert_labels(source, tmp_path / "out", to="brats2021")
    assert all(name in str(caught.value) for name in ("brats2023", "msd", "--from"))
    assert "--labels" not in str(caught.value)
    assert files_in(tmp_path) == ["a.nii.gz"]


def test_a_mask_says_its_convention_beside_it(tmp_path: Path) -> None:
    source = write_mask(tmp_path / "in" / "a.nii.gz", VALUES)
    (tmp_path / "in" / "a.json").write_text('{"label_convention": "msd"}')
    done = convert_labels(source, tmp_path / "out", to="brats2023")
    assert done.conventions == {"a": "msd"}
    np.testing.assert_array_equal(read_mask_file(done.files["a"])[0], np.array([0, 2, 1, 3])[VALUES])


def test_a_folder_of_masks_keeps_its_names_and_passes_pictures_over(tmp_path: Path) -> None:
    only_2021 = np.array([0, 1, 2, 4], np.uint8)[VALUES]
    write_mask(tmp_path / "in" / "A-seg.nii.gz", only_2021)
    write_mask(tmp_path / "in" / "B.nii", only_2021)
    Image.new("L", (4, 4)).save(tmp_path / "in" / "A_mosaic.png")
    done = convert_labels(tmp_path / "in", tmp_path / "out", to="msd", options=options(labels="brats2021"))
    assert files_in(tmp_path / "out") == ["A-seg.nii.gz", "B.nii", "labels.ctbl", "labels.label"]
    assert list(done.files) == ["A", "B"]


def test_masks_of_slices_stay_images(tmp_path: Path) -> None:
    make.write_pairs(tmp_path / "set")
    done = convert_labels(
        tmp_path / "set" / "masks", tmp_path / "out", to="binary", options=options(labels="binary255")
    )
    assert files_in(tmp_path / "out") == ["1.png", "2.png", "3.png", "labels.ctbl", "labels.label"]
    before, after = (
        np.asarray(Image.open(folder / "2.png")) for folder in (tmp_path / "set" / "masks", tmp_path / "out")
    )
    np.testing.assert_array_equal(after, before // 255)
    assert done.failed == {}


@pytest.mark.parametrize("kind", ["brats2021", "brats2023"])
def test_masks_of_a_data_set_are_named_after_their_cases(kind: str, tmp_path: Path) -> None:
    folders = make.write_brats_set(tmp_path / "set", convention=kind)
    done = convert_labels(tmp_path / "set", tmp_path / "out", to="msd")
    assert list(done.files) == [folder.name for folder in folders]
    assert set(done.conventions.values()) == {kind}
    for folder in folders:
        mask = next(folder.glob("*seg.nii.gz"))
        table = np.array([0, 2, 1, 3, 3])  # NCR 1, ED 2, ET 3 or 4 in BraTS; ED 1, NCR 2, ET 3 in MSD
        np.testing.assert_array_equal(
            np.asarray(nib.load(done.files[folder.name]).dataobj), table[np.asarray(nib.load(mask).dataobj)]
        )
        np.testing.assert_array_equal(nib.load(done.files[folder.name]).affine, nib.load(mask).affine)


def test_an_mgz_mask_becomes_nifti_on_the_same_grid(tmp_path: Path) -> None:
    nib.MGHImage(VALUES, make.affine("flipped")).to_filename(tmp_path / "a.mgz")
    done = convert_labels(tmp_path / "a.mgz", tmp_path / "out", to="brats2023", options=options(labels="msd"))
    assert done.files["a"].name == "a.nii.gz"
    written = nib.load(done.files["a"])
    np.testing.assert_allclose(written.affine, make.affine("flipped"), atol=1e-4)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.array([0, 2, 1, 3])[VALUES])


def test_a_name_for_slicer_makes_a_segmentation(tmp_path: Path) -> None:
    source = write_mask(tmp_path / "a.nii.gz", VALUES)
    convert_labels(source, tmp_path / "a.seg.nrrd", to="brats2021", options=options(labels="msd"))
    head = (tmp_path / "a.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert "Segment2_LabelValue:=4" in head and "Segment2_Name:=enhancing tumour" in head
    done = convert_labels(source, tmp_path / "many", to="brats2021", options=options(labels="msd", slicer=True))
    assert done.files == {"a": tmp_path / "many" / "a.seg.nrrd"}
    assert (tmp_path / "many" / "a.seg.nrrd").read_bytes() == (tmp_path / "a.seg.nrrd").read_bytes()


def test_what_cannot_be_held_is_refused_or_merged_and_named(tmp_path: Path) -> None:
    write_mask(tmp_path / "in" / "a.nii.gz", np.array([0, 1, 2, 4], np.uint8)[VALUES])  # with a cavity
    write_mask(tmp_path / "in" / "b.nii.gz", np.array([0, 1, 2, 3], np.uint8)[VALUES])
    done = convert_labels(tmp_path / "in", tmp_path / "strict", to="brats2021", options=options(labels="brats2024"))
    assert list(done.files) == ["b"]
    assert "'resection cavity' has no value" in done.failed["a"] and "--lossy" in done.failed["a"]
    loose = options(labels="brats2024", lossy=True)
    done = convert_labels(tmp_path / "in", tmp_path / "lossy", to="brats2021", options=loose)
    assert done.merged == (Merged(Tissue.RC, Tissue.BACKGROUND, 1),)
    np.testing.assert_array_equal(read_mask_file(done.files["a"])[0], np.array([0, 1, 2, 0])[VALUES])


def test_one_alone_raises_and_leaves_nothing(tmp_path: Path) -> None:
    source = write_mask(tmp_path / "a.nii.gz", VALUES)
    with pytest.raises(LabelError, match="has no value in the label convention binary"):
        convert_labels(source, tmp_path / "out", to="binary", options=options(labels="msd"))
    with pytest.raises(LabelError, match=r"outside its label convention.*values \[1, 2, 3\].*--from \(brats2023, "):
        convert_labels(source, tmp_path / "out", to="msd", options=options(labels="brats2021"))
    damaged = tmp_path / "b.nii.gz"
    damaged.write_bytes(source.read_bytes()[:100])
    with pytest.raises(FileError, match=r"b\.nii\.gz"):
        convert_labels(damaged, tmp_path / "out", to="brats2023", options=options(labels="msd"))
    assert files_in(tmp_path) == ["a.nii.gz", "b.nii.gz"]


def test_a_damaged_mask_does_not_stop_the_others(tmp_path: Path) -> None:
    source = write_mask(tmp_path / "in" / "a.nii.gz", VALUES)
    (tmp_path / "in" / "b.nii.gz").write_bytes(source.read_bytes()[:100])
    write_mask(tmp_path / "in" / "c.nii.gz", VALUES)
    done = convert_labels(tmp_path / "in", tmp_path / "out", to="brats2023", options=options(labels="msd"))
    assert list(done.files) == ["a", "c"] and list(done.failed) == ["b"]
    assert files_in(tmp_path / "out") == ["a.nii.gz", "c.nii.gz", "labels.ctbl", "labels.label"]


def test_a_full_disk_ends_it_and_leaves_no_half_mask(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 4, (30, 31, 32)).astype(np.uint8)
    for name in "ab":
        write_mask(tmp_path / "in" / f"{name}.nii.gz", noise)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))  # a file of more bytes cannot be written
    try:
        for slicer in (False, True):
            with pytest.raises(OutputError, match=r"cannot be written.*free space"):
                wanted = options(labels="msd", slicer=slicer)
                convert_labels(tmp_path / "in", tmp_path / "out", to="brats2023", options=wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(tmp_path / "out") == []


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    source = write_mask(tmp_path / "in" / "a.nii.gz", VALUES)
    msd = options(labels="msd")
    convert_labels(source, tmp_path / "out", to="brats2023", options=msd)
    with pytest.raises(OutputError, match=r"1 outputs are there already.*--overwrite"):
        convert_labels(source, tmp_path / "out", to="brats2023", options=msd)
    other = write_mask(tmp_path / "in" / "b.nii.gz", VALUES)
    convert_labels(other, tmp_path / "out", to="brats2023", options=msd)  # the tables are the same
    third = write_mask(tmp_path / "in" / "c.nii.gz", VALUES)
    with pytest.raises(OutputError, match=r"labels\.ctbl"):  # those of another convention would lie beside
        convert_labels(third, tmp_path / "out", to="brats2021", options=msd)
    convert_labels(third, tmp_path / "out", to="brats2021", options=options(labels="msd", overwrite=True))
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="would replace the mask that it is made from"):
            convert_labels(source, source, to="msd", options=options(labels="msd", overwrite=overwrite))


def test_a_target_of_another_kind_is_refused(tmp_path: Path) -> None:
    source = write_mask(tmp_path / "in" / "a.nii.gz", VALUES)
    with pytest.raises(OutputError, match=r"cannot hold the mask.*\.nii\.gz"):
        convert_labels(source, tmp_path / "a.png", to="brats2023", options=options(labels="msd"))
    with pytest.raises(OutputError, match="is named like a file"):
        convert_labels(tmp_path / "in", tmp_path / "b.nii.gz", to="brats2023", options=options(labels="msd"))
    with pytest.raises(LabelError, match="no label convention called 'brats'"):
        convert_labels(source, tmp_path / "b", to="brats")
    write_mask(tmp_path / "in" / "a.nii", VALUES)
    nib.MGHImage(VALUES, np.eye(4)).to_filename(tmp_path / "in" / "a.mgz")
    with pytest.raises(LayoutError, match=r"several masks of one case.*Found: a\."):
        convert_labels(tmp_path / "in", tmp_path / "b", to="brats2023", options=options(labels="msd"))
    with pytest.raises(LayoutError, match="does not exist"):
        convert_labels(tmp_path / "nowhere", tmp_path / "b", to="brats2023")


def test_the_command_says_what_it_did_and_what_it_merged(tmp_path: Path) -> None:
    write_mask(tmp_path / "in" / "a.nii.gz", VALUES)
    (tmp_path / "in" / "b.nii.gz").write_bytes(b"")
    words = [
        "convert-labels",
        str(tmp_path / "in"),
        str(tmp_path / "out"),
        "--to",
        "binary",
        "--from",
        "msd",
        "--lossy",
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert "1 mask converted from msd to binary" in result.output
    assert "merged: edema became tumour in 1 mask" in result.output
    assert "b.nii.gz is empty" in result.output
    result = CliRunner().invoke(app, [*words, "--overwrite", "--json"])
    content = json.loads(result.stdout)
    assert content["merged"][0] == {"tissue": "ED", "becomes": "TUMOUR", "masks": 1}
    assert content["to"] == "binary" and content["from"] == {"a": "msd"} and list(content["failed"]) == ["b"]
