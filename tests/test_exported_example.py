"""The example beside an exported network does, with numpy alone, what gliamap does to a case."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import make
import tiny
from gliamap.boxes import window_boxes
from gliamap.case import Case, CaseFiles, CaseIdentity
from gliamap.config import CleanUpConfig, InputConfig, ModelSpec, OutputConfig, PrepConfig, Seen, WindowConfig
from gliamap.infer.engine import TorchEngine
from gliamap.infer.one_pass import one_pass_patch
from gliamap.infer.predictor import Predictor
from gliamap.io.cases import read_case, read_mask_file
from gliamap.labels import from_tissue, get_convention
from gliamap.nets.zoo import build_network
from gliamap.prep import steps
from gliamap.prep.pipeline import prepare
from gliamap.workflows.prediction import exported_example as example
from gliamap.workflows.prediction.export_model import describe_network
from gliamap.workflows.prediction.export_model_files import FORMATS

sizes = st.tuples(*[st.integers(1, 9)] * 3)


@given(sizes, sizes)
def test_resampling_is_ours(old: tuple[int, int, int], new: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).normal(size=(2, *old)).astype(np.float32)
    assert np.allclose(example.resample(image, new), steps.resample(image, new), atol=1e-5)


@given(sizes, st.sampled_from([1, 2, 5, 8]), st.sampled_from([0.0, 0.25, 0.5, 0.75]))
def test_windows_are_ours(shape: tuple[int, int, int], patch: int, overlap: float) -> None:
    padded = tuple(max(n, patch) for n in shape)
    boxes = window_boxes((padded[0], padded[1], padded[2]), (patch,) * 3, overlap)
    for axis, n in enumerate(padded):
        assert example._starts(n, patch, overlap) == sorted({box.start[axis] for box in boxes})


@given(sizes, st.sampled_from([2, 16, 32, 48]), st.booleans())
def test_the_one_pass_is_ours(shape: tuple[int, int, int], divisor: int, flat: bool) -> None:
    patch = (64, 64, 1 if flat else 64)
    assert tuple(example.one_pass(shape, patch, divisor)) == one_pass_patch(shape, patch, divisor)


@pytest.mark.parametrize("kind", ["brain", "head"])
@pytest.mark.parametrize("normalise", ["zscore", "robust"])
@pytest.mark.parametrize("zoom", [None, (1.3, 0.8, 1.0)])
def test_the_preparation_is_ours(kind: Any, normalise: Any, zoom: Any) -> None:
    one = tiny.phantom() if kind == "brain" else tiny.with_skull(tiny.phantom())
    spacing = zoom and tuple(s * z for s, z in zip(one.grid.spacing, zoom, strict=True))
    prep = PrepConfig(modalities=make.MODALITIES, foreground=kind, normalise=normalise, spacing=spacing)
    ours = prepare(one, prep)
    turned = steps.reorient(one.image, ours.record.axes, ours.record.flips)
    native = np.array(one.grid.spacing)[list(ours.record.axes)]
    image, crop = example.prepare(turned, native, prep.model_dump())
    assert crop == ours.record.crop.slices
    assert np.allclose(image, ours.image, atol=1e-4)


def network(spec: ModelSpec) -> torch.nn.Module:
    """The model's network with random weights whose answers are certain, so that rounding decides nothing."""
    torch.manual_seed(0)
    model = build_network(spec.network).eval()
    with torch.no_grad():
        model.head.weight.mul_(40)
    return model


def by_gliamap(files: CaseFiles, spec: ModelSpec) -> np.ndarray[Any, Any]:
    case = read_case(files, modalities=spec.prep.modalities, may_be_missing=spec.may_be_missing)
    prediction = Predictor(spec, TorchEngine(network(spec), spec)).predict(case)
    return from_tissue(prediction.labels, get_convention(spec.output.convention))


def by_example(
    files: CaseFiles, spec: ModelSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> np.ndarray[Any, Any]:
    describe_network(folder, spec, FORMATS["pt2"])
    module = network(spec)

    def run(patch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(patch)))

    monkeypatch.setattr(example, "load", lambda path, shape: run)
    out = folder / f"mask{'.png' if spec.network.dims == 2 else '.nii.gz'}"
    example.segment(folder, out, files.modalities)
    return read_mask_file(out)[0]


def with_inputs(**wanted: bool) -> dict[str, Any]:
    inputs = InputConfig(**wanted)
    network = tiny.spec().network.model_copy(update={"in_channels": inputs.channels(4)})
    return {"inputs": inputs, "network": network}


SPECS: dict[str, dict[str, Any]] = {
    "windows": {},
    "small windows": {"window": WindowConfig(patch=(8, 6, 10), overlap=0.3)},
    "large windows": {"window": WindowConfig(patch=(32, 28, 34))},
    "one pass": {"window": WindowConfig(patch=(16, 16, 16), mode="one-pass")},
    "spacing": {"prep": PrepConfig(modalities=make.MODALITIES, spacing=(1.3, 1.4, 1.6))},
    "classes": {
        "output": OutputConfig(kind="classes", convention="msd"),
        "network": tiny.spec().network.model_copy(update={"out_channels": 4}),
    },
    "mirror": {**with_inputs(mirror=True), "window": WindowConfig(patch=(18, 20, 22))},
    "presence": {**with_inputs(presence=True), "may_be_missing": make.MODALITIES},
    "temperature": {"temperature": 2.5},
    "clean-up": {"clean_up": CleanUpConfig(min_size=0.05)},
    "clean-up in pixels": {
        "clean_up": CleanUpConfig(min_size=1e6),
        "seen": Seen(cases=1, unit="px", spacing=((1.0, 1.0),) * 3, extent=((1.0, 1.0),) * 3),
    },
}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("kind", make.KINDS)
def test_masks_are_ours(name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny.spec(**SPECS[name])
    case = make.case(kind)
    folder = make.write_brats(tmp_path, case)
    names = [m for m in make.MODALITIES if name != "presence" or m != "t1c"]
    paths = {m: folder / f"{case.case_id}_{make.SUFFIXES['brats2021'][1][m]}.nii.gz" for m in names}
    files = CaseFiles(CaseIdentity(case.case_id, case.patient_id), paths)
    ours = by_gliamap(files, spec)
    assert len(np.unique(ours)) > 1
    assert np.mean(by_example(files, spec, tmp_path, monkeypatch) != ours) <= 1e-3


def test_masks_of_slices_are_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny.slice_spec()
    head: Case = tiny.with_skull(tiny.phantom())
    rows = np.clip(head.image[1, :, :, 20], 0, 255).astype(np.uint8).T
    Image.fromarray(rows).save(tmp_path / "1.png")
    files = CaseFiles(CaseIdentity("1", "1"), {"t1c": tmp_path / "1.png"})
    ours = by_gliamap(files, spec)
    assert len(np.unique(ours)) > 1
    assert np.mean(by_example(files, spec, tmp_path, monkeypatch) != ours) <= 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t2": None}, "expected files for t1, t1c, t2, flair, found t1, t1c, flair"),
        ({"t2": "other"}, "do not share a voxel grid"),
    ],
)
def test_files_that_do_not_fit_are_refused(change: dict[str, str | None], message: str, tmp_path: Path) -> None:
    case = make.case("plain")
    folder = make.write_brats(tmp_path, case)
    other = make.write_brats(tmp_path, replace(make.case("flipped"), case_id="other"))
    paths = {m: folder / f"{case.case_id}_{make.SUFFIXES['brats2021'][1][m]}.nii.gz" for m in make.MODALITIES}
    for name, to in change.items():
        del paths[name]
        if to:
            paths[name] = other / "other_t2.nii.gz"
    with pytest.raises(SystemExit, match=message):
        example.read(paths, make.MODALITIES, ())
