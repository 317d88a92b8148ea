"""The same image, mask or patient is known again after re-saving, and only then."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gliamap.case import Case
from gliamap.checks.duplicates import (
    PATIENTS_OF_AN_OUTLINE,
    Entry,
    Kind,
    Pair,
    across_cases,
    find_duplicates,
)
from gliamap.checks.fingerprint import Fingerprint, fingerprint_of, look_values
from gliamap.labels import CONVENTIONS, from_tissue
from gliamap.sources.phantom import make_phantom
from gliamap.volume import Grid, image_grid
from make import affine, slice_case

Held = tuple[NDArray[np.float32], Grid, NDArray[np.uint8]]
Change = Callable[[NDArray[np.float32], Grid, NDArray[np.uint8]], Held]


@cache
def phantom(seed: int) -> Case:
    return make_phantom(seed, (40, 48, 36))


def labels_of(case: Case) -> NDArray[np.uint8]:
    assert case.labels is not None
    return case.labels


def taken(case: Case, names: tuple[str, ...] | None = None) -> Fingerprint:
    return fingerprint_of(case.image, names or case.modalities, case.grid, labels_of(case))


def entry(name: str, fingerprint: Fingerprint, *, patient: str = "", data_set: str = "a", known: bool = True) -> Entry:
    return Entry(data_set, name, patient or name, fingerprint, known)


# --- ways of saving the same case again ------------------------------------------------------------------------------


def scaled(image: NDArray[np.float32], grid: Grid, labels: NDArray[np.uint8]) -> Held:
    return image * np.float32(3.7), grid, labels


def lifted(image: NDArray[np.float32], grid: Grid, labels: NDArray[np.uint8]) -> Held:
    return image * np.float32(2) + np.float32(5), grid, labels


def other_order(image: NDArray[np.float32], grid: Grid, labels: NDArray[np.uint8]) -> Held:
    turned = grid.affine.copy()
    turned[:, :3] = turned[:, [2, 0, 1]]
    x, y, z = grid.shape
    return image.transpose(0, 3, 1, 2), Grid((z, x, y), turned), labels.transpose(2, 0, 1)


def flipped(image: NDArray[np.float32], grid: Grid, labels: NDArray[np.uint8]) -> Held:
    turned = grid.affine.copy()
    turned[:3, 3] += turned[:3, 0] * (grid.shape[0] - 1)
    turned[:3, 0] *= -1
    return image[:, ::-1], Grid(grid.shape, turned), labels[::-1]


def padded(image: NDArray[np.float32], grid: Grid, labels: NDArray[np.uint8]) -> Held:
    wide = ((3, 1), (0, 5), (2, 2))
    moved = grid.affine.copy()
    moved[:3, 3] -= moved[:3, :3] @ [before for before, _ in wide]
    bigger = np.pad(image, ((0, 0), *wide))
    x, y, z = bigger.shape[1:]
    return bigger, Grid((x, y, z), moved), np.pad(labels, wide)


def eight_bit(image: NDArray[np.float32], grid: Grid, labels: NDArray[np.uint8]) -> Held:
    return np.rint(image / image.max(axis=(1, 2, 3), keepdims=True) * 255), grid, labels


def darker(image: NDArray[np.float32], grid: Grid, labels: NDArray[np.uint8]) -> Held:
    return np.sqrt(image), grid, labels


@pytest.mark.parametrize("change", [scaled, lifted, other_order, flipped, padded])
def test_the_same_voxels_have_the_same_hashes(change: Change) -> None:
    case = phantom(0)
    image, grid, labels = change(case.image, case.grid, labels_of(case))
    assert fingerprint_of(image, case.modalities, grid, labels) == taken(case)


@pytest.mark.parametrize("change", [eight_bit, darker])
def test_other_grey_values_look_the_same(change: Change) -> None:
    case = phantom(0)
    image, grid, labels = change(case.image, case.grid, labels_of(case))
    other = fingerprint_of(image.astype(np.float32), case.modalities, grid, labels)
    assert other.outline == taken(case).outline
    assert other.mask == taken(case).mask
    (pair,) = find_duplicates([entry("1", taken(case)), entry("2", other, data_set="b")])
    assert pair.kind == Kind.DUPLICATE


def test_converted_labels_are_the_same_mask_and_a_changed_voxel_is_not() -> None:
    case = phantom(0)
    names = ("brats2021", "msd", "brats2023")
    values = [from_tissue(labels_of(case), CONVENTIONS[name]) for name in names]
    hashes = {fingerprint_of(case.image, case.modalities, case.grid, mask).mask for mask in values}
    assert len(hashes) == 1
    changed = labels_of(case).copy()
    changed[tuple(np.argwhere(changed > 0)[9])] = 0
    assert fingerprint_of(case.image, case.modalities, case.grid, changed).mask not in hashes


def test_a_mask_of_another_shape_is_another_mask() -> None:
    grid = Grid((40, 40, 1), np.eye(4))
    image = np.zeros((1, 40, 40, 1), np.float32)
    masks = [np.zeros((40, 40, 1), np.uint8) for _ in range(2)]
    masks[0][3:11, 3:19] = 1
    masks[1][3:19, 3:11] = 1
    hashes = [fingerprint_of(image, ("t1",), grid, mask).mask for mask in masks]
    assert None not in hashes
    assert hashes[0] != hashes[1]


def test_different_phantoms_are_not_paired() -> None:
    assert find_duplicates([entry(str(seed), taken(phantom(seed))) for seed in range(6)]) == []


def test_a_fingerprint_is_json() -> None:
    one = taken(phantom(0))
    assert Fingerprint(**json.loads(json.dumps(asdict(one)))) == one
    assert len(json.dumps(asdict(one))) < 24_000
    values = look_values(one.looks["t1"])
    assert values.shape == (16**3,)
    assert float(values @ values) == pytest.approx(1, abs=1e-5)


def test_a_blank_or_tiny_image_has_no_look() -> None:
    grid = Grid((20, 20, 20), affine("plain"))
    image = np.zeros((2, 20, 20, 20), np.float32)
    image[1, 5:9, 5:9, 5:9] = np.arange(1, 65).reshape(4, 4, 4)
    found = fingerprint_of(image, ("t1", "t2"), grid, np.zeros((20, 20, 20), np.uint8))
    assert list(found.hashes) == ["t2"]
    assert found.looks == {}
    assert found.outline is None
    assert found.mask is None


def test_an_image_that_fills_its_file_has_no_outline() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(50, 3, (1, 30, 30, 30)).astype(np.float32)
    assert fingerprint_of(image, ("t1",), Grid((30, 30, 30), np.eye(4))).outline is None


def test_a_slice_as_jpeg_is_known_again(tmp_path: Path) -> None:
    case = phantom(0)
    plane = np.kron(case.image[1, :, :, 18], np.ones((3, 3)))
    grey = (plane / plane.max() * 255).astype(np.uint8)
    Image.fromarray(grey.T).save(tmp_path / "1.jpg", quality=92)
    again = np.asarray(Image.open(tmp_path / "1.jpg")).T.astype(np.float32)
    grid = image_grid((grey.shape[0], grey.shape[1], 1))
    one, other = (fingerprint_of(v[None, :, :, None].astype(np.float32), ("t1c",), grid) for v in (grey, again))
    assert find_duplicates([entry("1", one), entry("2", other)])[0].kind == Kind.DUPLICATE


# --- pairs -----------------------------------------------------------------------------------------------------------


def made(image: str = "", mask: str | None = None, outline: str | None = None) -> Fingerprint:
    """A fingerprint by its hashes alone."""
    return Fingerprint({"t1": image} if image else {}, {}, outline, mask)


def test_the_strongest_kind_only() -> None:
    both = made("i", "m", "o")
    assert find_duplicates([entry("1", both), entry("2", both)]) == [
        Pair(Kind.DUPLICATE, 0, 1, "the same voxels in t1")
    ]
    masks = [made("i", "m", "o"), made("j", "m", "o")]
    assert [pair.kind for pair in find_duplicates([entry("1", masks[0]), entry("2", masks[1])])] == [Kind.SAME_MASK]
    outlines = [made("i", "m", "o"), made("j", "n", "o")]
    (pair,) = find_duplicates([entry("1", outlines[0]), entry("2", outlines[1])])
    assert pair == Pair(Kind.SAME_PATIENT, 0, 1, "the same brain outline")


def test_visits_of_a_patient_are_no_news_but_copies_are() -> None:
    visits = [entry("p-0", made("i", "m", "o"), patient="p"), entry("p-1", made("j", "n", "o"), patient="p")]
    assert find_duplicates(visits) == []
    copies = [entry("p-0", made("i", "m", "o"), patient="p"), entry("p-1", made("i", "n", "o"), patient="p")]
    assert [pair.kind for pair in find_duplicates(copies)] == [Kind.DUPLICATE]


def test_an_id_of_another_data_set_is_another_patient() -> None:
    cases = [entry("01", made("i", None, "o")), entry("01", made("j", None, "o"), data_set="b")]
    assert [pair.kind for pair in find_duplicates(cases)] == [Kind.SAME_PATIENT]


def test_the_same_image_under_another_modality() -> None:
    one, other = taken(phantom(0)), taken(phantom(0), ("a", "b", "c", "d"))
    (pair,) = find_duplicates([entry("1", one), entry("2", other, data_set="b")])
    assert pair.kind == Kind.DUPLICATE
    assert pair.found == "the same voxels in flair, t1, t1c, t2"


def test_an_outline_of_many_patients_is_a_template() -> None:
    few = [entry(str(n), made(f"i{n}", None, "o")) for n in range(PATIENTS_OF_AN_OUTLINE)]
    assert len(find_duplicates(few)) == PATIENTS_OF_AN_OUTLINE * (PATIENTS_OF_AN_OUTLINE - 1) / 2
    assert find_duplicates([*few, entry("one more", made("x", None, "o"))]) == []


def test_very_many_copies_do_not_make_all_pairs() -> None:
    copies = [entry(str(n), made("i")) for n in range(500)]
    pairs = find_duplicates(copies)
    assert {number for pair in pairs for number in (pair.first, pair.second)} == set(range(500))
    assert len(pairs) < 30_000
    looks = Fingerprint({}, {"t1": taken(phantom(0)).looks["t1"]})
    assert len(find_duplicates([entry(str(n), looks) for n in range(300)])) < 300 * 51


def test_alike_looks_are_found_among_many() -> None:
    """Looks are compared block by block: the numbers of a late pair must come out right."""
    rng = np.random.default_rng(0)
    looks = rng.integers(-127, 128, (700, 300)).astype(np.int8)
    looks[690] = looks[650]
    prints = [Fingerprint({}, {"t1": base64.b64encode(row.tobytes()).decode()}) for row in looks]
    (pair,) = find_duplicates([entry(str(n), one) for n, one in enumerate(prints)])
    assert (pair.first, pair.second) == (650, 690)


def test_hashes_of_small_slices_do_not_collide() -> None:
    """Slices of tests are too small for outlines and looks: nothing but equal voxels pairs them."""
    cases = [slice_case(seed) for seed in range(4)]
    prints = [fingerprint_of(c.image, c.modalities, c.grid, None) for c in cases]
    assert find_duplicates([entry(str(n), one) for n, one in enumerate(prints)]) == []


# --- what is said ----------------------------------------------------------------------------------------------------


def test_a_duplicate_is_said_of_both_with_the_data_set_where_it_differs() -> None:
    cases = [entry("1", made("i")), entry("2", made("i")), entry("3", made("i"), data_set="b")]
    found, notes = across_cases(cases, find_duplicates(cases))
    assert notes == ()
    assert [finding.found for finding in found[0]] == ["the same image as 2, b: 3 (the same voxels in t1)"]
    assert [finding.found for finding in found[2]] == ["the same image as a: 1, a: 2 (the same voxels in t1)"]


def test_two_patients_that_look_like_one_are_named_once_each() -> None:
    cases = [
        entry(f"{patient}_z{z}", made(f"{patient}{z}", None, f"o{z}"), patient=patient)
        for patient, z in product("pq", range(5))
    ]
    found, _ = across_cases(cases, find_duplicates(cases))
    assert {number: [one.found for one in said] for number, said in found.items()} == {
        0: ["looks like the patient of q_z0"],
        5: ["looks like the patient of p_z0"],
    }


def test_look_alikes_of_unknown_patients_become_one_note() -> None:
    cases = [entry(str(n), made(f"i{n}", None, f"o{n // 3}"), known=False) for n in range(12)]
    cases += [entry(f"alone {n}", made(f"j{n}"), known=False) for n in range(5)]
    found, (note,) = across_cases(cases, find_duplicates(cases))
    assert found == {}
    assert note.startswith("a: 12 of 17 cases look like slices of the same patient as another, in 4 groups of up to 3")


def test_across_data_sets_unknown_patients_are_named() -> None:
    cases = [entry("1", made("i", None, "o"), known=False), entry("2", made("j", None, "o"), data_set="b", known=False)]
    found, notes = across_cases(cases, find_duplicates(cases))
    assert notes == ()
    assert found[0][0].found == "looks like the patient of b: 2"


# --- real cases ------------------------------------------------------------------------------------------------------


def read(path: Path) -> tuple[NDArray[np.float32], Grid]:
    loaded = nib.load(path)
    volume = np.asarray(loaded.dataobj).astype(np.float32)
    x, y, z = volume.shape
    return volume, Grid((x, y, z), loaded.affine)


def test_different_real_patients_are_not_paired_and_a_copy_is(data_root: Path) -> None:
    cases = []
    for folder in sorted((data_root / "brats21").iterdir())[1:5]:
        volume, grid = read(next(folder.glob("*_t1ce.nii.gz")))
        cases.append(entry(folder.name, fingerprint_of(volume[None], ("t1c",), grid)))
    assert find_duplicates(cases) == []
    again = np.rint(np.clip(volume / np.percentile(volume, 99.8), 0, 1) * 255).astype(np.float32)
    image, wider, _ = padded(again[None], grid, np.zeros(grid.shape, np.uint8))
    copy = entry("copy", fingerprint_of(image, ("t1c",), wider), data_set="b")
    assert [(pair.kind, pair.first) for pair in find_duplicates([*cases, copy])] == [(Kind.DUPLICATE, 3)]
