"""Phantoms: plausible contrasts, variety, the mark that tells them from scans, and the layout on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gliamap.boxes import Shape
from gliamap.case import Case
from gliamap.errors import ConfigError, OutputError
from gliamap.io.nifti import read_labels, read_volume
from gliamap.labels import LabelMap, Tissue
from gliamap.sources import phantom
from gliamap.sources.phantom import PHANTOM_MODALITIES, is_phantom, make_phantom, write_phantoms
from gliamap.sources.phantom_anatomy import build_anatomy, cerebrum, make_space, ramp
from gliamap.sources.phantom_tumour import Lesion, draw_lesions, grow_tumour
from gliamap.volume import orientation

SMALL: Shape = (40, 48, 36)
SEEDS = range(8)


@cache
def small(seed: int) -> Case:
    return make_phantom(seed, SMALL)


def labels_of(case: Case) -> LabelMap:
    assert case.labels is not None
    return case.labels


def channel(case: Case, modality: str) -> NDArray[np.float32]:
    return np.asarray(case.image[case.modalities.index(modality)])


def normal_white(case: Case) -> NDArray[np.bool_]:
    """Healthy tissue that is bright on T1: white matter."""
    t1 = channel(case, "t1")
    healthy = (t1 > 0) & (labels_of(case) == 0)
    return np.asarray(healthy & (t1 > np.percentile(t1[healthy], 75)))


def test_a_phantom_is_a_native_case_in_brats_form() -> None:
    case = small(0)
    assert case.modalities == ("t1", "t1c", "t2", "flair")
    assert case.image.shape == (4, *SMALL)
    assert case.image.dtype == np.float32
    assert labels_of(case).shape == SMALL
    assert labels_of(case).dtype == np.uint8
    assert case.grid.shape == SMALL
    assert orientation(case.grid.affine) == ((0, -1), (1, -1), (2, 1))  # LPS
    assert case.image.max() < 32767
    np.testing.assert_array_equal(case.image, np.round(case.image))


@pytest.mark.parametrize("shape", phantom.PHANTOM_SHAPES)
def test_the_default_shapes_have_realistic_unequal_spacings(shape: Shape) -> None:
    spacing = make_space(shape).spacing
    assert len(set(shape)) == len({round(s, 3) for s in spacing}) == 3
    assert all(1.4 < s < 2.3 for s in spacing)


def test_the_brain_has_a_brains_size_and_background_zero() -> None:
    case = small(0)
    brain = case.image[0] > 0
    assert all(np.array_equal(channel(case, m) > 0, brain) for m in PHANTOM_MODALITIES)
    litres = brain.sum() * case.grid.voxel_size / 1000
    assert 1.0 < litres < 1.7
    assert 0.3 < brain.mean() < 0.7


def test_the_same_seed_gives_the_same_phantom_and_another_seed_another() -> None:
    again = make_phantom(3, SMALL)
    np.testing.assert_array_equal(again.image, small(3).image)
    np.testing.assert_array_equal(labels_of(again), labels_of(small(3)))
    assert not np.array_equal(small(4).image, small(3).image)
    assert not np.array_equal(labels_of(small(4)), labels_of(small(3)))


def test_a_seed_keeps_its_lesions_at_another_size() -> None:
    fine = make_phantom(1, (60, 48, 54))
    for tissue in (Tissue.ED, Tissue.ET):
        a, b = (float((labels_of(c) == tissue).sum()) * c.grid.voxel_size for c in (small(1), fine))
        assert a == pytest.approx(b, rel=0.35)


def test_all_three_tissues_occur_and_only_they() -> None:
    present = [set(np.unique(labels_of(small(seed))).tolist()) for seed in SEEDS]
    assert set().union(*present) == {0, Tissue.NCR, Tissue.ED, Tissue.ET}
    assert all({Tissue.NCR, Tissue.ED} <= found for found in present)


@pytest.mark.parametrize("seed", SEEDS)
def test_contrasts_are_those_of_a_glioma(seed: int) -> None:
    case = small(seed)
    white, labels = normal_white(case), labels_of(case)
    means = {
        tissue: {m: float(np.median(channel(case, m)[labels == tissue])) for m in PHANTOM_MODALITIES}
        for tissue in (Tissue.NCR, Tissue.ED, Tissue.ET)
        if (labels == tissue).any()
    }
    normal = {m: float(np.median(channel(case, m)[white])) for m in PHANTOM_MODALITIES}
    assert means[Tissue.ED]["flair"] > 1.3 * normal["flair"]
    assert means[Tissue.ED]["t2"] > 1.3 * normal["t2"]
    assert means[Tissue.ED]["t1"] < 0.95 * normal["t1"]
    assert means[Tissue.NCR]["t1"] < means[Tissue.ED]["t1"]
    assert means[Tissue.NCR]["t2"] > 1.3 * normal["t2"]
    if Tissue.ET in means:
        gain = {tissue: mean["t1c"] / normal["t1c"] - mean["t1"] / normal["t1"] for tissue, mean in means.items()}
        assert gain[Tissue.ET] > 0.35
        assert abs(gain[Tissue.ED]) < 0.15


@pytest.mark.parametrize("seed", SEEDS)
def test_the_tumour_stays_in_the_brain(seed: int) -> None:
    assert small(seed).image[:, labels_of(small(seed)) > 0].min() > 0


def test_a_lesion_leaves_out_the_ventricle_and_the_other_hemisphere() -> None:
    space = make_space(SMALL)
    p = space.positions()
    anatomy = build_anatomy(space, p, np.zeros_like(p), np.random.default_rng(0))
    beside = Lesion((24, -40, 12), 20, 12, (1, 1, 1), "thin rim", 3)
    labels = grow_tumour(space, p, anatomy, [beside], np.random.default_rng(0)).labels
    ventricle = anatomy.ventricles > 0.6
    near = np.sqrt((p[0] - 24) ** 2 + (p[1] + 40) ** 2 + (p[2] - 12) ** 2) < 12
    assert (ventricle & near).sum() > 20
    assert not labels[ventricle].any()
    assert not labels[p[0] < -3].any()
    assert (labels[near & ~ventricle] > 0).mean() > 0.9


def test_lesions_vary() -> None:
    drawn = [draw_lesions(np.random.default_rng(seed)) for seed in range(300)]
    counts = np.bincount([len(lesions) for lesions in drawn], minlength=4)
    assert counts.argmax() == 1
    assert 0 < counts[0] < 30
    assert min(counts[2], counts[3]) > 15
    kinds = [lesions[0].enhancement for lesions in drawn if lesions]
    assert set(kinds) == {"none", "thin rim", "thick rim", "solid"}
    assert 0.15 < kinds.count("none") / len(kinds) < 0.35
    sizes = [int((labels_of(small(seed)) > 0).sum()) for seed in SEEDS]
    assert max(sizes) > 3 * min(sizes)


def test_a_brain_without_a_lesion_has_an_empty_label_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom, "draw_lesions", lambda _: [])
    case = make_phantom(0, SMALL)
    assert not labels_of(case).any()
    assert is_phantom(case)


def test_too_few_voxels_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 16"):
        make_phantom(0, (32, 32, 8))


def test_the_hull_is_where_a_brain_is() -> None:
    inside = np.array([[30, 0, 40], [-45, 0, -22], [20, -80, 10]], np.float32)
    outside = np.array([[0, 90, 0], [75, 0, 0], [0, 60, -40], [45, 50, -25]], np.float32)
    assert (cerebrum(inside.T.reshape(3, -1, 1, 1)) > 5).all()
    assert (cerebrum(outside.T.reshape(3, -1, 1, 1)) < -3).all()


def test_a_ramp_is_the_share_of_a_voxel() -> None:
    distance = np.array([-2, -1, -0.5, 0, 0.5, 1, 2], np.float32)
    assert ramp(distance, 2.0).tolist() == [0, 0, 0.25, 0.5, 0.75, 1, 1]


def test_the_mark_survives_what_keeps_intensities_and_nothing_else() -> None:
    case = small(0)
    assert is_phantom(case)
    assert is_phantom(replace(case, image=case.image[:, ::-1, 4:30, 18:19]))
    assert is_phantom(replace(case, image=case.image[1:2], modalities=("t1c",)))
    assert not is_phantom(replace(case, image=case.image * np.float32(1.5)))
    one_off = case.image.copy()
    one_off[(2, *np.argwhere(one_off[2])[0])] += 1
    assert not is_phantom(replace(case, image=one_off))
    assert not is_phantom(replace(case, image=np.zeros_like(case.image)))


def test_noise_of_integers_is_no_phantom() -> None:
    image = np.random.default_rng(0).integers(0, 2000, (4, *SMALL)).astype(np.float32)
    assert not is_phantom(replace(small(0), image=image))


@pytest.mark.parametrize("case_id", ["BraTS2021_00006", "BraTS2021_01476"])
def test_a_real_scan_is_no_phantom(data_root: Path, case_id: str) -> None:
    folder = data_root / "brats21" / case_id
    for suffix in ("t1", "t1ce", "t2", "flair"):
        volume, grid = read_volume(folder / f"{case_id}_{suffix}.nii.gz")
        assert not is_phantom(Case(case_id, case_id, (suffix,), volume[None], grid))


@pytest.fixture
def tiny_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom, "PHANTOM_SHAPES", ((20, 24, 18), (24, 22, 20), (18, 26, 22)))


@pytest.mark.usefixtures("tiny_shapes")
def test_phantoms_are_written_as_a_brats_2021_data_set(tmp_path: Path) -> None:
    out = tmp_path / "new" / "set"
    folders = write_phantoms(out, 4, seed=7)
    assert [f.relative_to(out).name for f in folders] == [f"Phantom_0000{i}" for i in (1, 2, 3, 4)]
    assert sorted(p.name for p in out.iterdir()) == [*(f.name for f in folders), "phantom.json"]
    assert json.loads((out / "phantom.json").read_text())["seed"] == 7
    assert json.loads((out / "phantom.json").read_text())["count"] == 4
    names = sorted(p.name for p in folders[0].iterdir())
    assert names == [f"Phantom_00001_{m}.nii.gz" for m in ("flair", "seg", "t1", "t1ce", "t2")]
    shapes = [read_volume(f / f"{f.name}_t1.nii.gz")[1].shape for f in folders]
    assert shapes == [(20, 24, 18), (24, 22, 20), (18, 26, 22), (20, 24, 18)]
    values = {v for f in folders for v in np.unique(read_labels(f / f"{f.name}_seg.nii.gz")[0]).tolist()}
    assert values == {0, 1, 2, 4}


@pytest.mark.usefixtures("tiny_shapes")
def test_a_written_phantom_is_the_one_made_and_keeps_its_mark(tmp_path: Path) -> None:
    folder = write_phantoms(tmp_path, 1, seed=5)[0]
    own_seed = int(np.random.SeedSequence((5, 0)).generate_state(1)[0])
    made = make_phantom(own_seed, (20, 24, 18))
    read = [read_volume(folder / f"{folder.name}_{m}.nii.gz") for m in ("t1", "t1ce", "t2", "flair")]
    image = np.stack([volume for volume, _ in read])
    np.testing.assert_array_equal(image, made.image)
    assert all(grid.same_as(made.grid) for _, grid in read)
    assert is_phantom(replace(made, image=image, grid=read[0][1]))


@pytest.mark.usefixtures("tiny_shapes")
def test_the_first_phantoms_do_not_depend_on_how_many_are_written(tmp_path: Path) -> None:
    few, many, other = (
        write_phantoms(tmp_path / name, n, seed=s)[0] for name, n, s in (("a", 1, 0), ("b", 2, 0), ("c", 1, 1))
    )
    a, b, c = (read_volume(f / "Phantom_00001_t2.nii.gz")[0] for f in (few, many, other))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.usefixtures("tiny_shapes")
def test_existing_output_is_kept_unless_it_is_phantoms_to_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "set"
    write_phantoms(out, 2)
    with pytest.raises(OutputError, match="--overwrite"):
        write_phantoms(out, 1)
    assert (out / "Phantom_00002").is_dir()
    write_phantoms(out, 1, overwrite=True)
    assert sorted(p.name for p in out.iterdir()) == ["Phantom_00001", "phantom.json"]

    precious = tmp_path / "precious"
    (precious / "Phantom_00001").mkdir(parents=True)
    with pytest.raises(OutputError, match="choose another folder"):
        write_phantoms(precious, 1, overwrite=True)
    assert (precious / "Phantom_00001").is_dir()
    with pytest.raises(ConfigError, match="count 0"):
        write_phantoms(tmp_path / "none", 0)


def test_among_the_default_phantoms_some_do_not_enhance() -> None:
    seeds = [int(np.random.SeedSequence((0, i)).generate_state(1)[0]) for i in range(8)]
    enhancing = [bool((labels_of(make_phantom(s, (24, 28, 22))) == Tissue.ET).any()) for s in seeds]
    assert 0 < enhancing.count(False) < 5
