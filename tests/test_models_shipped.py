"""Models that come along: what each must be, and what a name means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import shipped as made
import tiny
from gliamap.config import ModelSpec, modality_subset
from gliamap.errors import ConfigError, FileError
from gliamap.infer.engine import EngineChoice, EngineName
from gliamap.infer.predictor import load_predictor
from gliamap.io.checkpoint import file_sha256, read_spec, save_checkpoint
from gliamap.models.shipped import read_card, resolve_model, shipped_bytes, shipped_model, shipped_names, shipped_specs
from gliamap.nets.zoo import load_network

LARGEST = 16_000_000
"""Bytes of a model that comes along."""


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_model_is_small_whole_and_described(name: str) -> None:
    folder, spec = shipped_model(name), shipped_specs()[name]
    assert spec.name == name
    assert spec.summary.endswith(".") and spec.licence
    assert read_card(name).startswith(f"# {name}\n")
    assert shipped_bytes(name) < LARGEST
    assert spec.weights_sha256 == file_sha256(folder / spec.weights_file)
    assert load_predictor(folder).spec == spec


@pytest.mark.parametrize("name", [name for name, spec in shipped_specs().items() if not spec.phantom_only])
def test_every_shipped_model_for_real_scans_says_what_it_is_worth(name: str) -> None:
    spec = shipped_specs()[name]
    assert set(spec.validated) == set(spec.output.regions) and spec.seen
    if spec.may_be_missing:
        assert len(spec.dice_per_modality_subset) == 2 ** len(spec.prep.modalities) - 1


def test_a_run_means_its_best_checkpoint_else_its_last(tmp_path: Path) -> None:
    tiny.write_model(tmp_path / "last")
    assert resolve_model(tmp_path) == tmp_path / "last"
    tiny.write_model(tmp_path / "best")
    assert resolve_model(tmp_path) == tmp_path / "best"
    assert resolve_model(tmp_path / "last") == tmp_path / "last"


def test_a_name_means_a_model_of_one_s_own_before_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = made.ship(tmp_path / "shipped", monkeypatch, {"drawn": made.specs()["drawn"]})
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert resolve_model(Path("drawn")) == root / "drawn"
    (here / "drawn").mkdir()  # masks, say
    assert resolve_model(Path("drawn")) == root / "drawn"
    tiny.write_model(here / "drawn" / "best")
    assert resolve_model(Path("drawn")) == Path("drawn/best")
    with pytest.raises(FileError, match="is not a model"):
        resolve_model(here)
    with pytest.raises(FileError, match=r"no model at down\. Expected: a run, a model folder, or one of drawn\."):
        resolve_model(Path("down"))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no model at"):
        resolve_model(tmp_path / "nothing")
    with pytest.raises(FileError, match=r"is not a model\..*name a run folder"):
        resolve_model(tmp_path)
    file = tmp_path / "scan.nii"
    file.write_bytes(b"")
    with pytest.raises(FileError, match="is not a model"):
        resolve_model(file)


def test_an_unknown_shipped_model_and_a_lost_card_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = made.ship(tmp_path, monkeypatch, {"drawn": made.specs()["drawn"]})
    with pytest.raises(ConfigError, match="no shipped model called 'nonsense'"):
        shipped_model("nonsense")
    (root / "drawn" / "CARD.md").unlink()
    with pytest.raises(FileError, match=r"card of the model drawn cannot be read\..*install gliamap again"):
        read_card("drawn")


def test_a_model_of_an_earlier_version_loads_and_one_names_subsets_in_its_own_order() -> None:
    older = tiny.spec().model_dump(mode="json", exclude={"summary", "licence", "validated"})
    spec = ModelSpec.model_validate(older | {"dice_per_modality_subset": {}, "intensity_ranges": {}})
    assert (spec.summary, spec.validated) == ("", {})
    assert modality_subset({"flair", "t1c", "dwi"}, spec.prep.modalities) == "t1c+flair"


@pytest.mark.parametrize("engine", ["torch", "openvino", "onnxruntime"])
def test_weights_in_half_precision_serve_every_engine(tmp_path: Path, engine: EngineName) -> None:
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime")
    tiny.write_model(tmp_path / "whole")
    made.in_halves(tiny.write_model(tmp_path / "halves"))
    assert (tmp_path / "halves/weights.safetensors").stat().st_size < 0.6 * (
        tmp_path / "whole/weights.safetensors"
    ).stat().st_size
    x = np.random.default_rng(0).normal(size=(1, 4, 16, 16, 16)).astype(np.float32)
    choice = EngineChoice(engine=engine, precision="fp32")
    whole, halves = (load_predictor(tmp_path / name, choice).engine(x) for name in ("whole", "halves"))
    assert 0 < np.abs(whole - halves).max() < 2e-3


def test_weights_in_half_precision_become_single_and_are_checked_first(tmp_path: Path) -> None:
    folder = made.in_halves(tiny.write_model(tmp_path / "halves"))
    network = load_network(folder, read_spec(folder))
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    sealed = save_checkpoint(tmp_path / "again", network, read_spec(folder))
    assert tiny.same(
        {name: value.astype(np.float32) for name, value in tiny.weights(folder).items()},
        tiny.weights(tmp_path / "again" / sealed.weights_file),
    )
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(FileError, match=r"is not the file that model\.json describes"):
        load_network(folder, read_spec(folder))
