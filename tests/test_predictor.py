"""The whole way of a prediction, with an engine that knows the truth: labels come out where they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gliamap.boxes import Shape
from gliamap.case import Case
from gliamap.config import (
    CleanUpConfig,
    DiceLine,
    DicePredictor,
    InputConfig,
    ModelSpec,
    NetConfig,
    OutputConfig,
    PrepConfig,
    Seen,
    WindowConfig,
)
from gliamap.errors import ConfigError, LayoutError
from gliamap.infer.decode import decode
from gliamap.infer.engine import EngineChoice, TorchEngine
from gliamap.infer.predictor import Predictor, load_predictor
from gliamap.io.checkpoint import save_checkpoint
from gliamap.labels import LabelMap, Region, encode_classes, encode_regions, region_mask
from gliamap.nets.zoo import build_network
from gliamap.prep.pipeline import prepare, restore
from gliamap.volume import Grid
from make import KINDS, MODALITIES, affine, ball, case, grid, labels, slice_case

Spacing = tuple[float, float, float]


class Threshold:
    """Reads the truth off an image whose channels are brighter inside the regions than in the rest of the brain.

    After z-scoring the regions are positive, the rest of the brain negative, the outside zero.
    """

    name, precision, version = "test", "fp32", "0"
    channels = 3
    divisor = 1

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        return (patches > 0).astype(np.float32)


class Truth:
    """Gives known probabilities of the whole prepared grid in one window."""

    divisor = 1

    def __init__(self, probabilities: NDArray[np.float32]) -> None:
        self.channels = len(probabilities)
        self.probabilities = probabilities

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        assert patches.shape[2:] == self.probabilities.shape[1:]
        return self.probabilities[None]


def spec_of(
    prep: PrepConfig, *, patch: Shape = (8, 6, 4), kind: Literal["regions", "classes"] = "regions", overlap: float = 0.5
) -> ModelSpec:
    output = OutputConfig(kind=kind, convention="brats2021")
    return ModelSpec(
        name="test",
        network=NetConfig(dims=3, in_channels=len(prep.modalities), out_channels=len(output.channels)),
        output=output,
        prep=prep,
        window=WindowConfig(patch=patch, overlap=overlap, batch=3),
    )


def telling_case(at: Grid) -> Case:
    """A brain whose three channels are 2 inside WT, TC, ET and 1 elsewhere."""
    brain = ball(at.shape, (0.5, 0.5, 0.5), 0.48)
    truth: LabelMap = labels(at.shape) * brain
    image = (1 + encode_regions(truth, tuple(Region)).astype(np.float32)) * brain
    return Case("a", "a", ("t1", "t1c", "t2"), image, at, truth)


def anisotropic() -> Grid:
    """Thick slices, tilted."""
    turned = affine("oblique") @ np.diag([0.9 / 1.1, 0.9 / 2.2, 5.0 / 0.8, 1])
    return Grid((40, 36, 12), turned)


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


TELLING = PrepConfig(modalities=("t1", "t1c", "t2"))
GRIDS: dict[str, Callable[[], Grid]] = {kind: lambda kind=kind: grid(kind) for kind in KINDS}  # type: ignore[misc]
GRIDS["anisotropic"] = anisotropic


@pytest.mark.parametrize("name", list(GRIDS))
@pytest.mark.parametrize("patch", [(8, 6, 4), (64, 64, 64), (8, 8, 1)])
def test_labels_come_out_exactly_where_nothing_is_resampled(name: str, patch: Shape) -> None:
    one = telling_case(GRIDS[name]())
    prediction = Predictor(spec_of(TELLING, patch=patch), Threshold()).predict(one, keep_probabilities=True)
    assert one.labels is not None
    assert np.array_equal(prediction.labels, one.labels)
    assert prediction.grid is one.grid
    assert prediction.case_id == "a"
    assert prediction.channels == ("WT", "TC", "ET")
    assert prediction.probabilities is not None
    assert prediction.probabilities.shape == (3, *one.grid.shape)


def big_case(at: Grid) -> Case:
    """A case on a fine enough grid that resampling leaves its blobs whole."""
    truth = labels(at.shape)
    brain = ball(at.shape, (0.5, 0.5, 0.5), 0.5)
    return Case("a", "a", ("t1",), np.where(brain, truth + 1.0, 0).astype(np.float32)[None], at, truth * brain)


@pytest.mark.parametrize("kind", ["regions", "classes"])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.5, 1.8), (0.8, 0.7, 2.0)])
@pytest.mark.parametrize("turn", KINDS)
def test_labels_come_out_nearly_exactly_where_the_grid_was_resampled(
    kind: Literal["regions", "classes"], spacing: Spacing, turn: str
) -> None:
    sizes = np.array([1.0, 1.2, 1.4]) / np.sqrt((affine(turn)[:3, :3] ** 2).sum(axis=0))
    one = big_case(Grid((52, 44, 40), affine(turn) @ np.diag([*sizes, 1])))
    config = PrepConfig(modalities=("t1",), spacing=spacing)
    prepared = prepare(one, config)
    assert prepared.record.resampled
    spec = spec_of(config, patch=prepared.record.shape, kind=kind)
    assert prepared.labels is not None
    output = spec.output
    truth = (
        encode_regions(prepared.labels, output.regions)
        if kind == "regions"
        else encode_classes(prepared.labels, output.tissues)
    )
    prediction = Predictor(spec, Truth(truth.astype(np.float32))).predict(one)
    assert one.labels is not None
    for region in Region:
        assert dice(region_mask(prediction.labels, region), region_mask(one.labels, region)) > 0.9


def test_thick_slices_made_isotropic_and_back() -> None:
    one = big_case(anisotropic())
    config = PrepConfig(modalities=("t1",), spacing=(0.9, 0.9, 0.9))
    prepared = prepare(one, config)
    assert prepared.record.shape[2] > 4 * one.grid.shape[2]
    assert prepared.labels is not None
    truth = encode_regions(prepared.labels, tuple(Region)).astype(np.float32)
    prediction = Predictor(spec_of(config, patch=prepared.record.shape), Truth(truth)).predict(one)
    assert one.labels is not None
    for region in Region:
        assert dice(region_mask(prediction.labels, region), region_mask(one.labels, region)) > 0.9


def test_clean_up_counts_millilitres_on_the_native_grid() -> None:
    one = telling_case(grid("oblique"))
    assert one.labels is not None
    volume = float((one.labels > 0).sum()) * one.grid.voxel_size
    for factor, kept in ((0.99, True), (1.0, True), (1.01, False)):
        spec = spec_of(TELLING).model_copy(update={"clean_up": CleanUpConfig(min_size=volume * factor)})
        prediction = Predictor(spec, Threshold()).predict(one)
        assert prediction.labels.any() == kept


def test_sizes_learned_in_pixels_do_not_count_in_volumes() -> None:
    one = telling_case(grid())
    ranges = ((1.0, 1.0),) * 3
    line = DiceLine(intercept=0.8, low=-0.1, high=0.1, error=0.05, patients=12, cases=12)
    lines = dict.fromkeys(Region, line)
    learned = {
        "clean_up": CleanUpConfig(min_size=1e6),
        "dice_predictor": DicePredictor(mode="windows", flips=False, found=lines, none=lines),
    }
    for unit, kept in (("px", True), ("mm", False)):
        seen = Seen.model_validate({"cases": 1, "unit": unit, "spacing": ranges, "extent": ranges})
        spec = spec_of(TELLING).model_copy(update={**learned, "seen": seen})
        prediction = Predictor(spec, Threshold()).predict(one)
        assert prediction.labels.any() == kept
        assert bool(prediction.predicted_dice) != kept


def test_a_blank_image_has_no_tumour() -> None:
    one = replace(telling_case(grid()), image=np.zeros((3, *grid().shape), np.float32))
    prediction = Predictor(spec_of(TELLING), Threshold()).predict(one)
    assert not prediction.labels.any()
    assert prediction.labels.shape == grid().shape
    assert prediction.probabilities is None


class Watched(Threshold):
    """Remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[NDArray[np.float32]] = []

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        self.seen.extend(patches)
        return super().__call__(patches[:, :3])


ANY = {"inputs": InputConfig(presence=True), "may_be_missing": TELLING.modalities}


def part_of(one: Case, *names: str) -> Case:
    """The case as if it had been scanned with these modalities alone."""
    return replace(one, modalities=names, image=one.image[[one.modalities.index(name) for name in names]])


@pytest.mark.parametrize("there", [names for n in (1, 2, 3) for names in combinations(TELLING.modalities, n)])
def test_any_modalities_will_do_for_a_model_that_needs_none(there: tuple[str, ...]) -> None:
    one, engine = part_of(telling_case(grid("oblique")), *there[::-1]), Watched()
    predictor = Predictor(spec_of(TELLING).model_copy(update=ANY), engine)
    prediction = predictor.predict(one, keep_probabilities=True)
    missing = tuple(m for m in TELLING.modalities if m not in there)
    assert prediction.missing == missing
    shown = np.stack(engine.seen)
    assert one.labels is not None and prediction.probabilities is not None
    for index, (name, region) in enumerate(zip(TELLING.modalities, Region, strict=True)):
        assert shown[:, index].any() == (name in there)
        assert np.unique(shown[:, 3 + index]).tolist() == [name in there]
        expected = region_mask(one.labels, region) if name in there else np.zeros(one.grid.shape)
        assert np.array_equal(prediction.probabilities[index] > 0.5, expected)


def test_a_model_that_needs_all_says_what_is_missing_as_ever() -> None:
    one = part_of(telling_case(grid()), "t1", "t2")
    with pytest.raises(LayoutError, match=r"lacks t1c\."):
        Predictor(spec_of(TELLING), Threshold()).predict(one)
    some = spec_of(TELLING).model_copy(update=ANY | {"may_be_missing": ("t2",)})
    with pytest.raises(LayoutError, match=r"lacks t1c\."):
        Predictor(some, Watched()).predict(one)
    assert Predictor(some, Watched()).predict(part_of(telling_case(grid()), "t1c", "t1")).missing == ("t2",)


def test_a_blank_modality_counts_as_missing() -> None:
    one = telling_case(grid())
    image = one.image.copy()
    image[2] = 0
    engine = Watched()
    prediction = Predictor(spec_of(TELLING).model_copy(update=ANY), engine).predict(replace(one, image=image))
    assert prediction.missing == ("t2",)
    assert not any(patch[5].any() for patch in engine.seen)


@pytest.mark.parametrize("kind", ["regions", "classes"])
@pytest.mark.parametrize("spacing", [None, (2.0, 1.5, 1.8)])
@pytest.mark.parametrize("turn", KINDS)
def test_labels_are_those_of_all_probabilities_on_the_native_grid(
    kind: Literal["regions", "classes"], spacing: Spacing | None, turn: str
) -> None:
    one = case(turn)
    spec = spec_of(PrepConfig(modalities=MODALITIES, spacing=spacing), kind=kind)
    spec = spec.model_copy(update={"clean_up": CleanUpConfig(min_size=0.02)})
    shape = prepare(one, spec.prep).record.shape
    raw = np.random.default_rng(0).dirichlet(np.ones(len(spec.output.channels)), shape).astype(np.float32)
    raw = np.ascontiguousarray(np.moveaxis(raw * (1 if kind == "classes" else 2), -1, 0))
    predictor = Predictor(spec, Truth(raw))
    ready = predictor.prepare(one)
    for answer in (raw, raw.astype(np.float16)):
        every = restore(answer, ready.prepared.record)
        expected = decode(every, spec.output, spec.clean_up, one.grid.voxel_size)
        thrifty = predictor.finish(ready, answer)
        kept = predictor.finish(ready, answer, keep_probabilities=True)
        assert np.array_equal(thrifty.labels, expected) and np.array_equal(kept.labels, expected)
        assert thrifty.probabilities is None and np.array_equal(kept.probabilities, every)


def test_stages_need_only_what_the_one_before_gave() -> None:
    one = telling_case(grid("flipped"))
    predictor = Predictor(spec_of(TELLING), Threshold())
    ready = predictor.prepare(one)
    assert ready.grid is one.grid
    assert not np.shares_memory(ready.prepared.image, one.image)
    raw = predictor.run(ready)
    assert raw.shape == (3, *ready.prepared.record.shape)
    assert np.array_equal(predictor.finish(ready, raw).labels, predictor.predict(one).labels)


class Unsure(Threshold):
    """Tells a standard deviation, too."""

    channels = 6

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([super().__call__(patches), np.full_like(patches, 0.25)], axis=1)


def test_uncertainty_is_told_on_request() -> None:
    one = telling_case(grid("oblique"))
    predictor = Predictor(spec_of(TELLING), Unsure())
    assert predictor.predict(one).uncertainty is None
    prediction = predictor.predict(one, keep_uncertainty=True)
    assert one.labels is not None and np.array_equal(prediction.labels, one.labels)
    assert prediction.uncertainty is not None
    assert prediction.uncertainty.entropy == dict.fromkeys(Region, 0.0)
    assert prediction.uncertainty.disagreement == dict.fromkeys(Region, 0.25)
    assert prediction.entropy_map is not None and prediction.entropy_map.shape == one.grid.shape
    assert prediction.disagreement_map is not None and prediction.disagreement_map.max() == 0.25


def test_one_pass_is_what_the_model_says_or_memory_allows() -> None:
    one = telling_case(grid())
    spec = spec_of(TELLING, patch=(32, 32, 32))
    whole = spec.model_copy(update={"window": spec.window.model_copy(update={"mode": "one-pass"})})
    engine = Watched()
    predictor = Predictor(whole, engine)
    assert np.array_equal(predictor.predict(one).labels, Predictor(spec, Threshold()).predict(one).labels)
    assert len(engine.seen) == 1
    with pytest.raises(ConfigError, match="more memory than is allowed"):
        Predictor(whole, engine, max_memory=1000).prepare(one)


def test_progress_is_passed_on() -> None:
    told: list[tuple[int, int]] = []
    Predictor(spec_of(TELLING), Threshold()).predict(telling_case(grid()), progress=lambda a, b: told.append((a, b)))
    assert told == [(done, len(told)) for done in range(1, len(told) + 1)]


@pytest.mark.parametrize("dims", [2, 3])
def test_a_saved_model_predicts_as_it_did(tmp_path: Path, dims: Literal[2, 3]) -> None:
    one = slice_case() if dims == 2 else case("oblique")
    prep = PrepConfig(modalities=("t1c",) if dims == 2 else MODALITIES, foreground="head" if dims == 2 else "brain")
    output = OutputConfig(kind="regions", convention="binary" if dims == 2 else "brats2021")
    network = NetConfig(
        name="unet", dims=dims, in_channels=len(prep.modalities), out_channels=len(output.channels), widths=(4, 8)
    )
    window = WindowConfig(patch=(8, 8, 1 if dims == 2 else 4), batch=4)
    spec = ModelSpec(name="test", network=network, output=output, prep=prep, window=window)
    torch.manual_seed(0)
    model = build_network(network)
    expected = Predictor(spec, TorchEngine(model, spec)).predict(one, keep_probabilities=True)
    save_checkpoint(tmp_path / "run" / "best", model, spec)
    loaded = load_predictor(tmp_path / "run", EngineChoice(engine="torch", precision="fp32"))
    found = loaded.predict(one, keep_probabilities=True)
    assert loaded.spec.weights_sha256
    assert found.probabilities is not None
    assert expected.probabilities is not None
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert np.array_equal(found.labels, expected.labels)
    by_default = load_predictor(tmp_path / "run").predict(one, keep_probabilities=True).probabilities
    assert by_default is not None
    assert np.abs(by_default - expected.probabilities).mean() < 0.01
