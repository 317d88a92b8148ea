"""Every layout is recognised, gives its cases in order, and says what it knows of them."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import make
from gliamap.errors import LayoutError
from gliamap.io.cases import read_case
from gliamap.sources.detect import LAYOUTS, scan
from gliamap.sources.layout import natural_key, summarise, unwrapped
from gliamap.sources.modalities import MODALITIES


def png(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((3, 4), value, np.uint8)).save(path)
    return path


def graded(root: Path) -> None:
    make.write_brats(root / "HGG", make.case(case_id="Brats17_TCIA_10_1"))
    make.write_brats(root / "LGG", make.case(case_id="Brats17_TCIA_9_1", enhancing=False))


def training_pairs(root: Path) -> None:
    for part, name in (("training", "BRATS_10_z46"), ("training", "BRATS_2_z62"), ("test", "BRATS_3_z46")):
        png(root / f"{part}_images" / f"{name}.png", 90)
        png(root / f"{part}_labels" / f"{name}.png", 3)


def bare(root: Path) -> None:
    for name in ("slice10.png", "slice9.png"):
        png(root / name)


def brats23(root: Path) -> None:
    make.write_brats_set(root, convention="brats2023")


def in_tar(write: Callable[[Path], object]) -> Callable[[Path], object]:
    """The same data set inside ``set.tar``, in a folder that wraps it."""

    def packed(root: Path) -> None:
        write(root / "unpacked" / "set")
        with tarfile.open(root / "set.tar", "w") as archive:
            archive.add(root / "unpacked" / "set", "set")

    return packed


def nnunet_1(root: Path) -> None:
    make.write_nnunet(root, version=1)


def africa(root: Path) -> None:
    for group, number in (("95_Glioma", 10), ("51_OtherNeoplasms", 9)):
        one = make.case(case_id=f"BraTS-SSA-{number:05d}-000")
        make.write_brats(root / group, one, convention="brats2023")


def radiotherapy(root: Path) -> None:
    """BraTS-MEN-RT: one modality and a binary mask."""
    for kind, number in (("plain", 2), ("oblique", 10)):
        one = make.case(kind)
        assert one.labels is not None
        stem = root / f"BraTS-MEN-RT-{number:04d}-1" / f"BraTS-MEN-RT-{number:04d}-1"
        stem.parent.mkdir(parents=True)
        nib.Nifti1Image(one.image[1], one.grid.affine).to_filename(f"{stem}_t1c.nii.gz")
        nib.Nifti1Image((one.labels > 0).astype(np.uint8), one.grid.affine).to_filename(f"{stem}_gtv.nii.gz")


@dataclass(frozen=True)
class Example:
    """One data set: how it is written below a folder and what a scan must say.

    ``inside`` is what is scanned there. ``read_as`` is the convention to read the masks in where the layout says none.
    ``by_names`` is false for layouts that must look into their image files.
    """

    write: Callable[[Path], object]
    layout: str
    case_ids: tuple[str, ...]
    patients: tuple[str, ...]
    modalities: tuple[str, ...]
    conventions: tuple[str, ...]
    foreground: str | None
    patients_known: bool = True
    without_masks: tuple[str, ...] = ()
    pattern: str | None = None
    inside: str = "."
    read_as: str | None = None
    by_names: bool = True

    def made(self, folder: Path) -> Path:
        """The data set, written below ``folder``."""
        self.write(folder)
        return folder / self.inside


GLI = tuple(f"BraTS-GLI-0000{n}-000" for n in range(3))
BRATS21 = tuple(f"BraTS2021_0000{n}" for n in range(3))
NNUNET = ("BRATS_001", "BRATS_002", "BRATS_010")
MSD = ("BRATS_001", "BRATS_002", "BRATS_003")
MSD_ORDER = ("flair", "t1", "t1c", "t2")
LGG = tuple(f"{name}_{n}" for name in ("TCGA_CS_4941_19960909", "TCGA_DU_5849_19950405") for n in (1, 2, 10))
VISITS = ("P 1_v2", "P 1_v10", "Ä2_v1")
EXAMPLES = {
    "brats 2017, HGG and LGG": Example(
        graded, "brats", ("Brats17_TCIA_9_1", "Brats17_TCIA_10_1"), ("Brats17_TCIA_9_1", "Brats17_TCIA_10_1"),
        MODALITIES, ("brats2021",), "brain",
    ),
    "brats 2021": Example(make.write_brats_set, "brats", BRATS21, BRATS21, MODALITIES, ("brats2021",), "brain"),
    "brats 2021 in a tar": Example(
        in_tar(make.write_brats_set), "brats", BRATS21, BRATS21, MODALITIES, ("brats2021",), "brain", inside="set.tar"
    ),
    "brats 2023": Example(
        brats23, "brats", GLI, tuple(name[:-4] for name in GLI), MODALITIES, ("brats2023", "brats2024"), "brain"
    ),
    "brats africa": Example(
        africa, "brats", ("BraTS-SSA-00009-000", "BraTS-SSA-00010-000"), ("BraTS-SSA-00009", "BraTS-SSA-00010"),
        MODALITIES, ("brats2023", "brats2024"), "brain",
    ),
    "brats radiotherapy": Example(
        radiotherapy, "brats", ("BraTS-MEN-RT-0002-1", "BraTS-MEN-RT-0010-1"),
        ("BraTS-MEN-RT-0002", "BraTS-MEN-RT-0010"), ("t1c",), ("binary",), "head",
    ),
    "pairs": Example(
        make.write_pairs, "pairs", ("1", "2", "3"), ("1", "2", "3"), ("t1c",), ("binary", "binary255"), "head", False
    ),
    "training pairs": Example(
        training_pairs, "training-pairs", ("BRATS_2_z62", "BRATS_3_z46", "BRATS_10_z46"),
        ("BRATS_2", "BRATS_3", "BRATS_10"), ("t1c",), ("msd",), "brain",
    ),
    "images": Example(
        bare, "images", ("slice9", "slice10"), ("slice9", "slice10"), ("t1c",), (), "head", False,
        without_masks=("slice9", "slice10"),
    ),
    "nnU-Net": Example(
        make.write_nnunet, "nnunet", NNUNET, NNUNET, MSD_ORDER, ("msd",), None, False, without_masks=("BRATS_010",)
    ),
    "nnU-Net version 1": Example(
        nnunet_1, "nnunet", NNUNET, NNUNET, MSD_ORDER, ("msd",), None, False, without_masks=("BRATS_010",)
    ),
    "nnU-Net in a tar": Example(
        in_tar(make.write_nnunet), "nnunet", NNUNET, NNUNET, MSD_ORDER, ("msd",), None, False,
        without_masks=("BRATS_010",), inside="set.tar",
    ),
    "nnU-Net, test images alone": Example(
        make.write_nnunet, "nnunet", ("BRATS_010",), ("BRATS_010",), MSD_ORDER, ("msd",), None, False,
        without_masks=("BRATS_010",), inside="imagesTs",
    ),
    "msd": Example(
        make.write_msd, "msd", MSD, MSD, MSD_ORDER, ("msd",), "brain", False, without_masks=("BRATS_003",)
    ),
    "msd in a tar": Example(
        in_tar(make.write_msd), "msd", MSD, MSD, MSD_ORDER, ("msd",), "brain", False, without_masks=("BRATS_003",),
        inside="set.tar",
    ),
    "cheng": Example(
        make.write_cheng, "cheng-mat", ("1", "2", "3"), ("100360", "MR024220F", "100360"), ("t1c",), ("binary",),
        "head", by_names=False,
    ),
    "cheng in a tar": Example(
        in_tar(make.write_cheng), "cheng-mat", ("1", "2", "3"), ("100360", "MR024220F", "100360"), ("t1c",),
        ("binary",), "head", inside="set.tar",
    ),
    "lgg": Example(
        make.write_lgg, "lgg", LGG, tuple(name[:12] for name in LGG), ("t1", "t1c", "flair"), ("binary", "binary255"),
        None,
    ),
    "lgg in a tar": Example(
        in_tar(make.write_lgg), "lgg", LGG, tuple(name[:12] for name in LGG), ("t1", "t1c", "flair"),
        ("binary", "binary255"), None, inside="set.tar",
    ),
    "bids": Example(
        make.write_bids, "bids", ("sub-9", "sub-10_ses-1", "sub-10_ses-2"), ("sub-9", "sub-10", "sub-10"), MODALITIES,
        ("brats2023",), None,
    ),
    "bids in a tar": Example(
        in_tar(make.write_bids), "bids", ("sub-9", "sub-10_ses-1", "sub-10_ses-2"), ("sub-9", "sub-10", "sub-10"),
        MODALITIES, ("brats2023",), None, inside="set.tar",
    ),
    "bids, one subject": Example(
        make.write_bids, "bids", ("sub-10_ses-1", "sub-10_ses-2"), ("sub-10", "sub-10"), MODALITIES, ("brats2023",),
        None, inside="sub-10",
    ),
    "pattern": Example(
        make.write_named, "pattern", VISITS, ("P 1", "P 1", "Ä2"), MODALITIES, (), None,
        pattern="{patient}/{modality} {case}", read_as="msd",
    ),
}  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
class TestEveryLayout:
    def test_cases_are_found_in_natural_order(self, tmp_path: Path, example: Example) -> None:
        data = scan(example.made(tmp_path), example.pattern)
        assert data.layout == example.layout
        assert tuple(case.case_id for case in data.cases) == example.case_ids
        assert tuple(case.identity.patient_id for case in data.cases) == example.patients
        assert data.patients_known == example.patients_known
        assert data.foreground == example.foreground
        assert len(set(example.case_ids)) == len(example.case_ids)

    def test_no_other_layout_takes_it(self, tmp_path: Path, example: Example) -> None:
        root = unwrapped(example.made(tmp_path))
        found = [layout.name for layout in LAYOUTS if (data := layout.scan(root)) and data.cases]
        assert found == ([] if example.pattern else [example.layout])

    def test_files_and_conventions(self, tmp_path: Path, example: Example) -> None:
        for case in scan(example.made(tmp_path), example.pattern).cases:
            assert tuple(case.modalities) == example.modalities
            assert case.conventions == example.conventions
            assert (case.labels is None) == (case.case_id in example.without_masks)

    def test_cases_can_be_read(self, tmp_path: Path, example: Example) -> None:
        for files in scan(example.made(tmp_path), example.pattern).cases:
            case = read_case(files, convention=example.read_as)
            assert case.modalities == example.modalities
            assert case.image.shape == (len(example.modalities), *case.grid.shape)
            if files.labels is None:
                assert case.labels is None
            else:
                assert case.convention in (*example.conventions, example.read_as)
                assert case.labels is not None and case.labels.shape == case.grid.shape and case.labels.any()

    def test_what_is_hidden_or_left_by_macos_changes_nothing(self, tmp_path: Path, example: Example) -> None:
        root = in_place(example.made(tmp_path))
        before = scan(root, example.pattern)
        for path in [p for p in tmp_path.rglob("*") if p.is_file()]:
            make.touch(path.with_name(f"._{path.name}"))
            make.touch(path.with_name(f".{path.name}"))
            make.touch(root / "__MACOSX" / path.name)
        make.touch(root / ".DS_Store")
        assert scan(root, example.pattern) == before

    def test_no_image_is_opened(self, tmp_path: Path, example: Example) -> None:
        if not example.by_names:
            pytest.skip("what is in the files says which cases there are")
        root = in_place(example.made(tmp_path))
        before = scan(root, example.pattern)
        for path in images_below(tmp_path):
            path.write_bytes(b"")
        assert scan(root, example.pattern) == before

    def test_without_its_images_it_is_refused(self, tmp_path: Path, example: Example) -> None:
        root = in_place(example.made(tmp_path))
        for path in images_below(tmp_path):
            path.unlink()
        with pytest.raises(LayoutError, match=r"Found: .*Expected: ") as caught:
            scan(root, example.pattern)
        assert root.name in str(caught.value)

    def test_names_with_spaces_and_letters_of_all_kinds(self, tmp_path: Path, example: Example) -> None:
        data = scan(example.made(tmp_path / "Köpfe, 2. Lieferung" / "脑 (1)"), example.pattern)
        assert tuple(case.case_id for case in data.cases) == example.case_ids
        read_case(data.cases[0], convention=example.read_as)


def in_place(root: Path) -> Path:
    """``root``, where its files can be changed one by one."""
    if not root.is_dir():
        pytest.skip("an archive is not changed file by file")
    return root


def images_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".json", ".tsv", ".csv")]


def test_every_layout_has_an_example() -> None:
    assert {layout.name for layout in LAYOUTS} | {"pattern"} == {example.layout for example in EXAMPLES.values()}


# Pairs


def test_pairs_without_a_partner_are_told(tmp_path: Path) -> None:
    for name in ("images/1.png", "images/2.jpg", "masks/2.png", "masks/7.png"):
        make.touch(tmp_path / name)
    data = scan(tmp_path)
    assert [case.labels is None for case in data.cases] == [True, False]
    assert data.notes == ("1 images have no mask: 1", "1 masks have no image and were passed over: 7")


def test_test_images_are_fold_0(tmp_path: Path) -> None:
    training_pairs(tmp_path)
    data = scan(tmp_path)
    assert [case.identity.fold for case in data.cases] == [None, 0, None]
    assert data.notes == ("test_images are fold 0",)


def test_names_without_a_slice_number_leave_patients_unknown(tmp_path: Path) -> None:
    make.touch(tmp_path / "training_images" / "a.png")
    make.touch(tmp_path / "training_labels" / "a.png")
    assert not scan(tmp_path).patients_known


def test_a_single_image(tmp_path: Path) -> None:
    (case,) = scan(png(tmp_path / "head.png")).cases
    assert (case.case_id, case.labels, case.modalities) == ("head", None, {"t1c": tmp_path / "head.png"})


# What is refused


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"Found: an empty folder\. Expected: 2D pairs.*BraTS cases.*images"):
        scan(tmp_path)


@pytest.mark.parametrize("folders", [("images", "masks"), ("HGG", "LGG"), ("training_images", "training_labels")])
def test_a_layout_without_cases(tmp_path: Path, folders: tuple[str, ...]) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    with pytest.raises(LayoutError, match=f"{folders[0]}/, {folders[1]}/"):
        scan(tmp_path)


def test_an_unknown_layout_tells_what_was_found(tmp_path: Path) -> None:
    make.touch(tmp_path / "scan.dcm")
    make.touch(tmp_path / "A" / "brain.nii.gz")
    make.touch(tmp_path / "B" / "B_seg.nii.gz")  # a mask alone is no case
    with pytest.raises(LayoutError, match=r"Found: A/, B/, scan\.dcm"):
        scan(tmp_path)


def test_a_path_that_is_not_there_or_no_case(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="does not exist"):
        scan(tmp_path / "none")
    with pytest.raises(LayoutError, match=r"a\.nii\.gz is not an image that can be taken alone.*case folder"):
        scan(make.touch(tmp_path / "a.nii.gz"))


def test_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    for grade in ("HGG", "LGG"):
        make.touch(tmp_path / grade / "A" / "A_t1.nii.gz")
    with pytest.raises(LayoutError, match=r"several cases alike.*Found: A"):
        scan(tmp_path)
    make.touch(tmp_path / "2d" / "1.png")
    make.touch(tmp_path / "2d" / "1.jpg")
    with pytest.raises(LayoutError, match=r"several cases alike.*Found: 1"):
        scan(tmp_path / "2d")


def test_natural_order() -> None:
    assert sorted(["10", "9", "a10", "a9", "a9b", ""], key=natural_key) == ["", "9", "10", "a9", "a9b", "a10"]
    assert summarise("abcde") == "a, b, c and 2 more"
    assert summarise("ab") == "a, b"


@pytest.mark.parametrize("kind", [("images", "masks"), ("training_images", "training_labels")])
def test_two_masks_of_one_name_are_refused(tmp_path: Path, kind: tuple[str, str]) -> None:
    for name in (f"{kind[0]}/0.png", f"{kind[1]}/0.png", f"{kind[1]}/0.tif"):
        make.touch(tmp_path / name)
    with pytest.raises(LayoutError, match=r"several masks of one name.*Found: 0\.png, 0\.tif"):
        scan(tmp_path)
