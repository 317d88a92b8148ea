"""The verb 'segment' with some of the modalities, and with flips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

import make
import tiny
from gliamap.config import InputConfig, ModelSpec, OutputConfig, PrepConfig, WindowConfig
from gliamap.errors import ConfigError, LayoutError
from gliamap.workflows.prediction import segment_case as work
from gliamap.workflows.prediction.segment import SegmentOptions, segment

PLAIN = SegmentOptions(pictures=False, probabilities=True, precision="fp32")
CASE = "BraTS2021_00001"


def any_spec(base: ModelSpec | None = None, **changes: Any) -> ModelSpec:
    """A model that can do with any of its modalities."""
    base = base or tiny.spec()
    own = base.prep.modalities
    network = base.network.model_copy(update={"in_channels": 2 * len(own)})
    return base.model_copy(
        update={"network": network, "inputs": InputConfig(presence=True), "may_be_missing": own} | changes
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model for any of the four modalities."""
    return tiny.write_model(tmp_path / "any", any_spec())


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    make.write_brats_set(tmp_path / "scans")
    return tmp_path / "scans"


def remove(folder: Path, *parts: str) -> Path:
    """Take modalities, as BraTS calls them, away from a case."""
    for part in parts:
        (folder / f"{folder.name}_{part}.nii.gz").unlink()
    return folder


def probabilities(out: Path, name: str = CASE) -> NDArray[np.float32]:
    return np.asarray(nib.Nifti1Image.from_filename(out / f"{name}_probabilities.nii.gz").dataobj)


def test_a_case_may_lack_what_the_model_can_do_without(
    scans: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, ...]] = []
    honest = work.draw_mosaic

    def listen(case: Any, *args: Any, options: Any) -> None:
        said.append((*case.modalities, options.notice))  # the one that is shown is the only one that is read again
        honest(case, *args, options=options)

    monkeypatch.setattr(work, "draw_mosaic", listen)
    remove(scans / CASE, "t1", "flair")
    done = segment(scans, tmp_path / "out", model=model)
    assert done.failed == {}
    whole, part, _ = done.cases
    assert (whole["modalities"], whole["missing_modalities"]) == (list(make.MODALITIES), [])
    assert (part["modalities"], part["missing_modalities"]) == (["t1c", "t2"], ["t1", "flair"])
    told = [[one["text"] for one in case["warnings"] if one["code"] == "without-modality"] for case in done.cases]
    assert told == [[], ["done without a modality: t1, flair"], []]
    assert said == [("t1c", ""), ("t1c", "without t1, flair"), ("t1c", "")]
    scan = nib.Nifti1Image.from_filename(scans / CASE / f"{CASE}_t2.nii.gz")
    mask = nib.Nifti1Image.from_filename(tmp_path / "out" / f"{CASE}.nii.gz")
    assert mask.shape == scan.shape and np.array_equal(mask.affine, scan.affine)


@pytest.mark.parametrize("left", [("flair",), ("T1ce", "t2"), ("t2", "t1", "FLAIR")])
def test_modalities_not_asked_for_are_as_good_as_missing(
    scans: Path, model: Path, tmp_path: Path, left: tuple[str, ...]
) -> None:
    asked = PLAIN.model_copy(update={"modalities": left})
    (one,) = segment(scans / CASE, tmp_path / "a", model=model, options=asked).cases
    names = {"t1": "t1", "t1c": "t1ce", "t2": "t2", "flair": "flair"}
    remove(scans / CASE, *(part for part in names.values() if part not in {name.lower() for name in left}))
    (other,) = segment(scans / CASE, tmp_path / "b", model=model, options=PLAIN).cases
    np.testing.assert_array_equal(probabilities(tmp_path / "a"), probabilities(tmp_path / "b"))
    own = ("seconds", "stages", "made_from")
    assert {key: one[key] for key in one if key not in own} == {key: other[key] for key in other if key not in own}
    assert one["made_from"]["inputs"] == other["made_from"]["inputs"]
    assert one["modalities"] == [name for name in make.MODALITIES if names[name] in {n.lower() for n in left}]


def test_what_is_not_asked_for_is_not_even_read(scans: Path, model: Path, tmp_path: Path) -> None:
    (scans / CASE / f"{CASE}_t1.nii.gz").write_bytes(b"damaged")
    asked = SegmentOptions(modalities=("t1c", "flair"))
    (summary,) = segment(scans / CASE, tmp_path / "out", model=model, options=asked).cases
    assert summary["missing_modalities"] == ["t1", "t2"]


def test_a_model_that_needs_all_takes_no_fewer(scans: Path, tmp_path: Path) -> None:
    needy = tiny.write_model(tmp_path / "needy")
    every = PLAIN.model_copy(update={"modalities": ("flair", "t2", "t1ce", "t1")})
    segment(scans / CASE, tmp_path / "a", model=needy, options=every)
    (summary,) = segment(scans / CASE, tmp_path / "b", model=needy, options=PLAIN).cases
    np.testing.assert_array_equal(probabilities(tmp_path / "a"), probabilities(tmp_path / "b"))
    assert summary["missing_modalities"] == []
    with pytest.raises(ConfigError, match=r"tiny cannot do without t1, t2\b.*Found: --modalities t1c,flair.*all of t1"):
        segment(scans, tmp_path / "x", model=needy, options=SegmentOptions(modalities=("t1c", "flair")))
    remove(scans / CASE, "t2")
    with pytest.raises(LayoutError, match="lacks t2"):
        segment(scans / CASE, tmp_path / "x", model=needy)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("asked", "words"), [(("t1", "dwi"), "knows no modality 'dwi'"), ((), "no modality is named")])
def test_a_modality_that_the_model_does_not_know(
    scans: Path, model: Path, tmp_path: Path, asked: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{words}.*some of t1, t1c, t2, flair.*--modalities"):
        segment(scans, tmp_path / "out", model=model, options=SegmentOptions(modalities=asked))


def test_some_may_be_missing_and_others_not(scans: Path, tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "some", any_spec(may_be_missing=("t1", "flair")))
    with pytest.raises(ConfigError, match=r"cannot do without t2\b.*all of t1c, t2"):
        segment(scans, tmp_path / "out", model=model, options=SegmentOptions(modalities=("t1c", "flair")))
    remove(scans / CASE, "t1ce")
    remove(scans / "BraTS2021_00002", "t1")
    done = segment(scans, tmp_path / "out", model=model, options=PLAIN)
    assert list(done.failed) == [CASE] and "lacks t1c" in done.failed[CASE]
    assert [summary["missing_modalities"] for summary in done.cases] == [[], ["t1"]]


def test_a_case_without_any_of_them_fails_alone(scans: Path, model: Path, tmp_path: Path) -> None:
    remove(scans / CASE, "t1ce", "flair")
    asked = PLAIN.model_copy(update={"modalities": ("t1c", "flair")})
    done = segment(scans, tmp_path / "out", model=model, options=asked)
    assert list(done.failed) == [CASE] and len(done.cases) == 2
    assert "lacks t1c, flair" in done.failed[CASE] and "at least one of t1c, flair" in done.failed[CASE]


def test_others_are_brought_onto_the_grid_of_one_that_is_not_used(scans: Path, model: Path, tmp_path: Path) -> None:
    path = scans / CASE / f"{CASE}_t2.nii.gz"
    image = nib.Nifti1Image.from_filename(path)
    nib.Nifti1Image(np.asarray(image.dataobj)[..., ::2], image.affine @ np.diag([1, 1, 2, 1])).to_filename(path)
    asked = SegmentOptions(pictures=False, modalities=("flair", "t1c"), resample_to="t2")
    (summary,) = segment(scans / CASE, tmp_path / "out", model=model, options=asked).cases
    assert summary["not_registered"] and summary["missing_modalities"] == ["t1", "t2"]
    mask = nib.Nifti1Image.from_filename(tmp_path / "out" / f"{CASE}.nii.gz")
    assert mask.shape == nib.Nifti1Image.from_filename(path).shape


def test_slices_of_colour_channels(tmp_path: Path) -> None:
    make.write_lgg(tmp_path / "lgg")
    base = tiny.slice_spec(modalities=("t1", "flair", "t1c"))
    model = tiny.write_model(tmp_path / "model", any_spec(base))
    asked = SegmentOptions(modalities=("flair",), pictures=False)
    done = segment(tmp_path / "lgg", tmp_path / "out", model=model, options=asked)
    assert len(done.cases) == 6
    assert {tuple(summary["modalities"]) for summary in done.cases} == {("flair",)}
    told = {one["text"] for case in done.cases for one in case["warnings"] if one["code"] == "without-modality"}
    assert told == {"done without a modality: t1, t1c"}


def test_a_network_for_volumes_is_refused_on_a_slice_without_its_first_modality(tmp_path: Path) -> None:
    make.write_pairs(tmp_path / "pairs")
    prep = PrepConfig(modalities=("t1", "t1c"), foreground="head")
    network = tiny.spec().network.model_copy(update={"in_channels": 2, "out_channels": 1})
    base = tiny.spec(network=network, prep=prep, output=OutputConfig(kind="regions", convention="binary"))
    model = tiny.write_model(tmp_path / "model", any_spec(base))
    with pytest.raises(ConfigError, match=r"takes volumes, .*1\.png is a single slice"):
        segment(tmp_path / "pairs" / "images", tmp_path / "out", model=model)


@pytest.mark.parametrize("dims", [2, 3])
def test_flips_are_the_mean_of_what_each_would_say(tmp_path: Path, dims: int) -> None:
    """One window in whose middle the whole image lies: the files flipped by hand give the same mean."""
    base = tiny.spec() if dims == 3 else tiny.slice_spec(modalities=make.MODALITIES, convention="brats2021")
    window = WindowConfig(patch=(32, 32, 32 if dims == 3 else 1), overlap=0)
    uncropped = base.prep.model_copy(update={"crop_margin": 50})
    model = tiny.write_model(tmp_path / "model", base.model_copy(update={"window": window, "prep": uncropped}))
    folder = make.write_brats(tmp_path / "scans", tiny.phantom(kind="plain"))  # file axes are X, Y, Z
    flipped = PLAIN.model_copy(update={"flips": True})
    (summary,) = segment(folder, tmp_path / "flips", model=model, options=flipped).cases
    assert summary["flips"] == list("xyz"[:dims])
    total = np.zeros_like(probabilities(tmp_path / "flips", folder.name))
    for bits in range(2**dims):
        axes = [axis for axis in range(dims) if bits >> axis & 1]
        turned = tmp_path / f"turned-{bits}" / folder.name
        turned.mkdir(parents=True)
        for part in ("t1", "t1ce", "t2", "flair"):
            image = nib.Nifti1Image.from_filename(folder / f"{folder.name}_{part}.nii.gz")
            data = np.flip(np.asarray(image.dataobj), axes)
            nib.Nifti1Image(data, image.affine).to_filename(turned / f"{folder.name}_{part}.nii.gz")
        (plain,) = segment(turned, tmp_path / f"out-{bits}", model=model, options=PLAIN).cases
        assert plain["flips"] == []
        total += np.flip(probabilities(tmp_path / f"out-{bits}", folder.name), axes) / 2**dims
    np.testing.assert_allclose(probabilities(tmp_path / "flips", folder.name), total, atol=1e-5)
    assert not np.allclose(probabilities(tmp_path / "out-0", folder.name), total, atol=1e-3)
