"""What a network is shown at inference is what it was shown in training: modalities, mirror image, presence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import make
import tiny
from gliamap.boxes import Box, Shape, window_boxes
from gliamap.case import CaseFiles, CaseIdentity
from gliamap.config import AugmentConfig, InputConfig, OutputConfig, PrepConfig, TrainConfig, WindowConfig
from gliamap.infer.predictor import Predictor
from gliamap.infer.window import predict_windows
from gliamap.inputs import NetworkInput
from gliamap.io.store import entry_of, read_case, write_case
from gliamap.prep.pipeline import prepare
from gliamap.sampling import dataset as sampling
from gliamap.sampling.dataset import PatchDataset
from gliamap.workflows.data import prepare as prepare_verb
from gliamap.workflows.prediction.segment import SegmentOptions, segment
from gliamap.workflows.training.train import train

SIZES = st.tuples(*[st.integers(1, 17)] * 3)
OFF = AugmentConfig(flip=False, affine=0, intensity=0, gamma=0, noise=0, bias=0)
BOTH = InputConfig(mirror=True, presence=True)


class Recorder:
    """Gives some of its input channels back as probabilities, and remembers what it was shown."""

    divisor = 1

    def __init__(self, first: int, channels: int) -> None:
        self.first = first
        self.channels = channels
        self.seen: list[NDArray[np.float32]] = []

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        self.seen.extend(patches)
        return patches[:, self.first : self.first + self.channels]


@settings(max_examples=60)
@given(SIZES, st.tuples(*[st.integers(1, 9)] * 3), st.sampled_from([0.0, 0.25, 0.5]))
def test_the_mirrored_channels_are_the_mirrored_image_at_every_border(
    shape: Shape, patch: Shape, overlap: float
) -> None:
    image = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    shown = NetworkInput(image, InputConfig(mirror=True))
    out = predict_windows(shown, Recorder(2, 2), WindowConfig(patch=patch, overlap=overlap))
    np.testing.assert_allclose(out, image[:, ::-1], atol=1e-5)
    own = predict_windows(shown, Recorder(0, 2), WindowConfig(patch=patch, overlap=overlap))
    np.testing.assert_allclose(own, image, atol=1e-5)


def test_mirrored_windows_by_eye() -> None:
    row = np.array([1, 2, 3, 4, 5], np.float32).reshape(1, 5, 1, 1)
    shown = NetworkInput(row, InputConfig(mirror=True))
    seen = [
        shown.cut(Box((x, 0, 0), (x + 3, 1, 1)))[:, :, 0, 0].tolist()
        for x in (-1, 0, 2, 4)  # the first and the last leave the grid
    ]
    assert seen == [[[0, 1, 2], [0, 5, 4]], [[1, 2, 3], [5, 4, 3]], [[3, 4, 5], [3, 2, 1]], [[5, 0, 0], [1, 0, 0]]]


@pytest.mark.parametrize("kind", make.KINDS)
def test_the_mirror_image_comes_back_to_the_native_grid_on_the_other_side(kind: str) -> None:
    """An engine that says where the other hemisphere shows brain: restored, that is the file's brain, mirrored."""
    one = make.case(kind)
    one.image[:, : one.grid.shape[0] // 3] = 0  # a brain that is not its own mirror image, along any axis
    one.image[:, :, : one.grid.shape[1] // 4] = 0
    one.image[..., : one.grid.shape[2] // 3] = 0
    spec = tiny.spec(inputs=InputConfig(mirror=True), window=WindowConfig(patch=(8, 8, 8)))
    record = prepare(one, spec.prep).record
    found = Predictor(spec, Recorder(4, 3)).predict(one, keep_probabilities=True).probabilities
    assert found is not None
    axis, width = record.axes[0], one.grid.shape[record.axes[0]]
    start, stop = record.crop.start[0], record.crop.stop[0]
    crop = slice(width - stop, width - start) if record.flips[0] else slice(start, stop)
    index = tuple(crop if a == axis else slice(None) for a in range(3))
    brain = one.image[0] != 0
    expected = np.zeros_like(brain)
    expected[index] = np.flip(brain[index], axis)
    np.testing.assert_array_equal(found[0] != 0, expected)
    assert not np.array_equal(expected, brain)


def store_of(root: Path, *, flat: bool) -> str:
    """A store of one case, a volume or a slice; the case's id."""
    one = replace(make.slice_case(), modalities=("t1c",)) if flat else make.case("oblique")
    config = PrepConfig(modalities=one.modalities, foreground="head" if flat else "brain")
    write_case(root, prepare(one, config), origin={}, convention="binary" if flat else "brats2021")
    return one.case_id


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_inference_shows_a_network_exactly_what_training_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flat: bool, dropout: float
) -> None:
    name = store_of(tmp_path, flat=flat)
    base = tiny.slice_spec() if flat else tiny.spec()
    patch = (16, 8, 1) if flat else (8, 8, 16)
    spec = base.model_copy(update={"inputs": BOTH, "output": OutputConfig(kind="regions", convention="binary")})
    image = read_case(tmp_path, name).image
    present = tuple(number % 2 == 0 for number in range(len(image))) if dropout else (True,) * len(image)
    engine = Recorder(0, 1)
    predict_windows(NetworkInput(image, BOTH, present), engine, WindowConfig(patch=patch))
    x, y, z = image.shape[1:]
    boxes: Iterator[Box] = iter(window_boxes((x, y, z), patch, 0.5))
    monkeypatch.setattr(sampling, "choose_box", lambda *_: next(boxes))
    monkeypatch.setattr(sampling, "draw_present", lambda *_: present if dropout else None)
    entries = [entry_of(tmp_path, CaseFiles(CaseIdentity(name, name), {}))]
    config = TrainConfig(patch=patch, augment=OFF, modality_dropout=dropout)
    patches = PatchDataset(tmp_path, entries, config, spec)
    assert len(engine.seen) > 1
    for number, seen in enumerate(engine.seen):
        np.testing.assert_array_equal(patches[number].image.numpy(), seen)
        assert len(seen) == 3 * len(image)
    assert next(boxes, None) is None


@pytest.mark.parametrize("dims", [2, 3])
def test_a_mirrored_network_for_any_modality_from_training_to_mask(tmp_path: Path, dims: int) -> None:
    scans = tiny.write_set(tmp_path / "scans", 2)
    prepare_verb.prepare([scans], tmp_path / "store")
    patch = (16, 16, 1 if dims == 2 else 16)
    changes = {"steps": 2, "validate_every": 2, "modality_dropout": 0.5, "patch": patch}
    options = tiny.options(**changes).model_copy(update={"mirror": True, "dims": dims})
    spec = train(tmp_path / "store", tmp_path / "run", options=options).spec
    assert spec.network.in_channels == 12 and spec.may_be_missing == make.MODALITIES
    folder = next(path for path in sorted(scans.iterdir()))
    for part in ("t1", "flair"):
        (folder / f"{folder.name}_{part}.nii.gz").unlink()
    out = tmp_path / "out"
    wanted = SegmentOptions(flips=True, probabilities=True, pictures=False, overlap=0)
    (summary,) = segment(folder, out, model=tmp_path / "run", options=wanted).cases
    assert summary["modalities"] == ["t1c", "t2"] and summary["missing_modalities"] == ["t1", "flair"]
    assert summary["flips"] == list("xyz"[:dims]) and "without-modality" in {one["code"] for one in summary["warnings"]}
    assert json.loads((out / f"{folder.name}.json").read_text()) == summary
    scan = nib.Nifti1Image.from_filename(folder / f"{folder.name}_t2.nii.gz")
    mask = nib.Nifti1Image.from_filename(out / f"{folder.name}.nii.gz")
    assert mask.shape == scan.shape and np.array_equal(mask.affine, scan.affine)
    probabilities = np.asarray(nib.Nifti1Image.from_filename(out / f"{folder.name}_probabilities.nii.gz").dataobj)
    brain = np.asarray(scan.dataobj) != 0
    assert (probabilities[brain] > 0).all()  # every voxel of it was inside some window
