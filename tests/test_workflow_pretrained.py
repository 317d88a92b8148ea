"""A training whose backbone starts from weights of ImageNet."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import tiny
from gliamap.errors import ConfigError, FileError
from gliamap.io.tensors import named_tensors
from gliamap.nets.torchvision_nets import lraspp
from gliamap.recipes.recipe import Recipe
from gliamap.workflows.training.train import TrainOptions, train


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_store(tmp_path_factory.mktemp("pretrained"), 4)


@pytest.fixture(scope="module")
def weights(store: Path) -> Path:
    """A file of the backbone, its biases and scales as drawn, of three colours."""
    torch.manual_seed(1)
    network = lraspp(tiny.slice_spec(modalities=("red", "green", "blue")).network)
    tensors = {n.replace("net.backbone.", "features."): x.detach() for n, x in named_tensors(network).items()}
    path = store.parent / "mobilenet.safetensors"
    save_file({name: tensor for name, tensor in tensors.items() if name.startswith("features.")}, path)
    return path


def options(pretrained: str | None, **changes: Any) -> TrainOptions:
    config = {"patch": (32, 32, 1), "batch": 2, "steps": 3, "validate_every": 3} | changes
    return TrainOptions(network="lraspp", dims=2, pretrained=pretrained, config=tiny.CONFIG | config)


def test_it_starts_from_them_and_says_so(store: Path, weights: Path, tmp_path: Path) -> None:
    held = {"freeze_encoder_steps": 3, "transferred_rate": 0.5}
    done = train(store, tmp_path / "run", options=options(str(weights), **held))
    sha = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert done.spec.training_data["pretrained"] == f"mobilenet.safetensors, sha256 {sha}"
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert sha in record["settings"]["pretrained"]
    given, after = tiny.weights(weights), tiny.weights(tmp_path / "run" / "last")
    assert (after["net.backbone.1.block.0.0.weight"] == given["features.1.block.0.0.weight"]).all()  # it rested


def test_resuming_is_the_run_without_a_break(store: Path, weights: Path, tmp_path: Path) -> None:
    def stop(report: Any) -> None:
        if report.step == 2:
            raise KeyboardInterrupt

    own = options(str(weights))
    with pytest.raises(KeyboardInterrupt):
        train(store, tmp_path / "run", options=own, observe=stop)
    for other in (None, str(tmp_path / "none.pth")):
        with pytest.raises((ConfigError, FileError), match=r"pretrained"):
            train(store, tmp_path / "run", options=options(other), resume=True)
    train(store, tmp_path / "run", options=own, resume=True)
    train(store, tmp_path / "straight", options=own)
    ends = [tiny.weights(tmp_path / name / "last") for name in ("run", "straight")]
    assert tiny.same(*ends)


def test_imagenet_says_clearly_when_it_cannot_be_fetched(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(request: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.urlopen", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    with pytest.raises(FileError, match=r"could not be fetched.*no route to host.*mobilenet_v3_large-8738ca79\.pth"):
        train(store, tmp_path / "run", options=options("imagenet"))
    assert not (tmp_path / "run").exists() and tiny.files_in(tmp_path / "cache") == ["hub", "hub/checkpoints"]


def test_imagenet_is_taken_from_the_cache(
    store: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetched once, it is a file like any other."""
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    tensors = {name: torch.from_numpy(tensor) for name, tensor in tiny.weights(weights).items()}
    torch.save(tensors, cache / "mobilenet_v3_large-8738ca79.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    done = train(store, tmp_path / "run", options=options("imagenet", steps=1, validate_every=1))
    assert done.spec.training_data["pretrained"].startswith("mobilenet_v3_large-8738ca79.pth, sha256 ")


def test_two_origins_are_refused(store: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the weights come from two places"):
        source = tiny.write_model(tmp_path / "model")
        both = options(str(weights)).model_copy(update={"init_from": source, "network": "unet", "dims": 3})
        train(store, tmp_path / "run", options=both.model_copy(update={"config": tiny.CONFIG, "widths": (4, 8)}))
    with pytest.raises(ValueError, match="the base comes first"):
        Recipe(base=Recipe(), pretrained="imagenet")
